"""TensorFlow's files: TensorBundle, V1, SavedModels, graphs and object graphs, read from their bytes."""

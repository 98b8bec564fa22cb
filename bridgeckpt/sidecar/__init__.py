"""What lies beside the tensors: facts in the graph, the model config, the vocabulary."""

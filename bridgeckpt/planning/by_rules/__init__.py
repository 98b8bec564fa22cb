"""Planning for classes of transformers that no table lists, by rules and by the parameters of the PyTorch class."""

"""Planning for classes of transformers that no table lists: rules, and the PyTorch class as the judge."""

"""The vocabulary beside the tensors, and the tokenizer files made of it."""

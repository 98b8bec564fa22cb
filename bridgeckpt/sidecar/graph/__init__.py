"""What a graph beside the tensors says: epsilon, activation, heads, and which head it computes."""

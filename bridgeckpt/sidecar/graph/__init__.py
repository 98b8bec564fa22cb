"""Facts in a checkpoint's graph: epsilon, activation, number of heads, and which head it computes."""

"""What the parts of a model are computed from in a graph, compared with what its classes compute."""

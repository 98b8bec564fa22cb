"""Planning: what will become of a checkpoint, decided before a tensor is read."""

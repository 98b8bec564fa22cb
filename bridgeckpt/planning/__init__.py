"""Planning: how a checkpoint will be converted, decided before a tensor is read."""

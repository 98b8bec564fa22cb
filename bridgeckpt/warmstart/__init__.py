"""The half of :mod:`bridgeckpt.tf` that needs no TensorFlow: which tensor of a checkpoint a variable starts from."""

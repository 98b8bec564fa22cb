"""What :mod:`bridgeckpt.difference` is made of: the sides, the pairs they make, and the elements of a pair."""

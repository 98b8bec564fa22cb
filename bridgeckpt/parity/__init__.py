"""Parity: whether a PyTorch model computes what a TensorFlow model computes, and where it first does not.

An oracle: nothing here knows the mapping tables or the plan, whose mistakes it would repeat. TensorFlow's side
(``tensorflow/``, ``recording``) makes a :class:`~bridgeckpt.parity.reference.Reference`, a file between two machines;
PyTorch's side (``pytorch``, ``verifying``) runs the converted folder on the same inputs; ``rounding`` and
``comparison`` judge; ``diagnosing`` says what is to blame.
"""

"""Parity: whether a PyTorch model computes what a TensorFlow model computes, and where it first does not.

An oracle: nothing here knows the mapping tables or the plan, whose mistakes it would repeat. TensorFlow's side
(``tensorflow/``, ``reference/``) makes a :class:`~bridgeckpt.parity.reference.reference.Reference`, a file between two
machines; PyTorch's side (``judging/``) runs the converted folder on the same inputs and judges it; ``diagnosing/`` says
what is to blame, ``showing/`` shows the verdict. What is known of a model family stands in a room of its own,
``bert/``.
"""

"""What is to blame for a stage that fails: ``diagnosis`` starts, collects the evidence and tries causes.

``anatomy`` is what is asked of a model family: the parts of a model, and how each is computed. A ``view`` is one
recorded run in which each stage can be computed by itself, and ``evidence`` judges it. ``substitutions`` and
``widening`` try tensors in place of each other; ``blame`` finds the tensor of a ``dense`` stage if no known cause
explains it.
"""

"""What is to blame where a model diverges: ``diagnosis`` begins, the reference gives the evidence, causes are tried.

``anatomy`` takes the model apart and ``definition`` says what each part should compute; a ``view`` is one recorded run
against which any part can be computed by itself. ``causes`` and ``substitutions`` are what is known to go wrong;
``blame``, ``entries`` and ``tables`` find the tensor when none of it fits.
"""

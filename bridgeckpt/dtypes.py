"""Names of dtypes that callers choose from, in a module of their own: the help of the command line needs no more."""

WEIGHT_DTYPES = ("float32", "float16", "bfloat16")  # dtypes of stored weights
RUN_DTYPES = ("tf32", "float16", "bfloat16")  # dtypes that a model can run in, besides float32

"""Names of dtypes that callers choose from. They stand apart since the help of the command line needs nothing else."""

WEIGHT_DTYPES = ("float32", "float16", "bfloat16")  # what weights can be stored as

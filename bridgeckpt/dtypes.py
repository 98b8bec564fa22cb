"""Names of dtypes that callers choose from. They stand apart since the help of the command line needs nothing else."""

WEIGHT_DTYPES = ("float32", "float16", "bfloat16")  # what weights can be stored as
RUN_DTYPES = ("tf32", "float16", "bfloat16")  # what a model can be run in beside float32

"""The verdict: the PyTorch model is run on a reference's inputs and judged by measured rounding."""

"""The verdict: the PyTorch model run on a reference's inputs, and judged by the rounding that is measured."""

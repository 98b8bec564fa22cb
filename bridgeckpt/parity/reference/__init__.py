"""A reference: inputs, and what TensorFlow computes from them, in one file."""

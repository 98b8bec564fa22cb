"""Tables checked without tensors: lints, coverage of the Hugging Face classes, and what a table does with a name."""

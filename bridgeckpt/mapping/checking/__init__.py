"""Checks of tables without a checkpoint: lints, coverage of the Hugging Face classes, explanations of one name."""

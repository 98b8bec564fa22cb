"""A plan carried out: a Hugging Face folder, a state dict, the report, and what a checkpoint is."""

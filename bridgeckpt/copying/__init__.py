"""Copying: tensors streamed from file to file. An engine with a small interface; it knows no mapping and no model."""

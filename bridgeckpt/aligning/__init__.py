"""Two checkpoints brought to one set of names: what comparing and warm starts both stand on."""

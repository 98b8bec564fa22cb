"""Two checkpoints under one set of names: comparing and warm starts are both built on this."""

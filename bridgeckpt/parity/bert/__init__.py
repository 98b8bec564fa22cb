"""What parity knows of BERT: its stages, its forward pass, its variables' names and its heads."""

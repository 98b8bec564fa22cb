"""Which checkpoint a path means (a folder, a prefix, any of its files), and which reader opens it."""

"""What a path is: which file a folder, a prefix or any of its files stands for, and which reader opens it."""

"""Bytes in files: sizes, ranges and texts are read; files and folders are written whole or not at all."""

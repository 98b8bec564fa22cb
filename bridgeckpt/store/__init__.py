"""Bytes, wherever they lie: sizes, ranges and texts read, files and folders written whole or not at all."""

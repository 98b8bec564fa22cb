"""The mapping language: tables of names and axes. It knows no checkpoint format."""

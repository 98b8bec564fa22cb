"""The mapping language: tables of names and axes. It knows no file format and touches no tensor but to lint."""

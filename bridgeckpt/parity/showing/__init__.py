"""A verdict shown: as lines of text for a terminal and a failing test, and as a page for a pull request."""

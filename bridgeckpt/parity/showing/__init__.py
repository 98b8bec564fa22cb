"""A verdict shown: as lines of text for a terminal and a failing test, as a page for a pull request."""

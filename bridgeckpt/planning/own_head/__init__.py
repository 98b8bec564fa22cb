"""A head of one's own, which no row of a table reads: what it is, which class can have it, what to do about it."""

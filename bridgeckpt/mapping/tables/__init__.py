"""Mapping tables loaded: documents, records, groups, rules, and the library of shipped tables."""

"""Loads mapping tables: documents, records, groups, rules, and the library of shipped tables."""

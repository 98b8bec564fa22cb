"""The notation of mapping tables: layouts, name templates, expressions, and the errors they raise."""

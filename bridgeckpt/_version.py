"""The version of bridgeckpt."""

__version__ = "0.1.0"

"""Advice that several parts of parity give."""

from __future__ import annotations

# What to do about a model whose family is not known.
OWN_FUNCTION = "record it through a function of your own: `bridgeckpt.record(fn, inputs, path)`"

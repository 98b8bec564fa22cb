"""Advice that several parts of parity give."""

from __future__ import annotations

# What to do about a model that is not known here.
OWN_FUNCTION = "record it through a function of your own: `bridgeckpt.record(fn, inputs, path)`"

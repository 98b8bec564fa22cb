"""Warm starts: the variables of a TensorFlow program start from any checkpoint that bridgeckpt reads.

The program may be written for TensorFlow 1 (``tf.compat.v1``) or 2. Nothing is skipped silently: a variable without a
value, or with a value of another shape, is an error or is reported. TensorFlow is imported when a function is called.

=======================================  ===============================================================================
``get_assignment_map_from_checkpoint``   replaces the function of this name in google-research/bert
``init_from_checkpoint``                 replaces ``tf.compat.v1.train.init_from_checkpoint``
``WarmStartHook``                        a SessionRunHook that sets variables before the first step
``scaffold_fn``                          a function that makes a Scaffold, which sets variables before the first step
``assign``                               sets variables at once: of a module, a model, or a graph in a session
=======================================  ===============================================================================
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bridgeckpt.tf.assigning import assign
    from bridgeckpt.tf.assignment_map import get_assignment_map_from_checkpoint, init_from_checkpoint
    from bridgeckpt.tf.hook import WarmStartHook
    from bridgeckpt.tf.options import WarmStartOptions
    from bridgeckpt.tf.scaffold import scaffold_fn
    from bridgeckpt.warmstart.report import WarmStartError, WarmStartReport

_HOME = {
    "WarmStartError": "warmstart.report",
    "WarmStartHook": "tf.hook",  # imports TensorFlow: it is a SessionRunHook
    "WarmStartOptions": "tf.options",
    "WarmStartReport": "warmstart.report",
    "assign": "tf.assigning",
    "get_assignment_map_from_checkpoint": "tf.assignment_map",
    "init_from_checkpoint": "tf.assignment_map",
    "scaffold_fn": "tf.scaffold",
}

__all__ = [
    "WarmStartError",
    "WarmStartHook",
    "WarmStartOptions",
    "WarmStartReport",
    "assign",
    "get_assignment_map_from_checkpoint",
    "init_from_checkpoint",
    "scaffold_fn",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the module exports
    if name not in _HOME:
        raise AttributeError(f"module 'bridgeckpt.tf' has no attribute {name!r}")
    from bridgeckpt.options import shown

    value = shown(getattr(import_module(f"bridgeckpt.{_HOME[name]}"), name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

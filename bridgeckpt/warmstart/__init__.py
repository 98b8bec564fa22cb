"""Warm starts without TensorFlow: which tensor of a checkpoint each variable of a program starts from.

:mod:`bridgeckpt.tf` stands on it.
"""

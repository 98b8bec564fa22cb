"""Parity: whether a PyTorch model computes what a TensorFlow model computes, and where it first does not.

Parity is an independent check. It knows neither the mapping tables nor the plan, for it would repeat their mistakes.
TensorFlow's side makes a :class:`~bridgeckpt.parity.reference.reference.Reference`, a file that can be moved to another
machine. PyTorch's side runs the converted folder on the same inputs and judges it.

A room imports only from the rooms above it in this list:

=============== ======================================================================================
``hints``       advice that several rooms give
``request``     the request for a recording
``family``      the record of a model family: its stages, and their places in a PyTorch model
``reference/``  inputs, recorded values and their file; recording a function of the user
``tensorflow/`` TensorFlow itself: its runtime, graphs, variables; no model
``judging/``    the PyTorch model run on the reference's inputs, and the verdict by measured rounding
``diagnosing/`` the cause, if a stage fails
``bert/``       everything about BERT: names, forward pass, sites, probes, settings, its part of the diagnosis
``families``    the list of families, and the choice among them
``recording``   a checkpoint recorded
``verifying``   a converted folder verified
=============== ======================================================================================

``showing/`` shows a verdict as text and as a page; it imports ``family`` and ``judging``. Outside parity, the rooms
import ``formats``, ``store`` and the modules at the bottom of the package.
"""

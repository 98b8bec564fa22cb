"""TensorFlow itself, without a model: importing it, reading variables and graphs, and running parts of a graph.

``runtime`` imports TensorFlow, inside functions only. ``stored`` reads variables, ``metagraphs`` and ``nodes`` read and
cut graphs, ``batching`` runs a probe on a function that is made for fixed sizes.
"""

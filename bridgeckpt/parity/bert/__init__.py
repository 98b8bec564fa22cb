"""Everything that parity knows of BERT.

In PyTorch: ``family`` (what the general rooms are handed), ``stages``, ``sites``, ``probes``. In TensorFlow:
``variables`` finds a model by its names (``google_names``, ``spellings``, ``other_names``), ``settings`` reads what no
tensor says (``stated``, ``described``, ``graph_heads``), ``forward`` computes it (``activations``, ``running``),
``own_graph`` runs the graph beside the checkpoint (``in_graph``, ``graph_inputs``), ``trial`` finds the settings of a
graph, ``saved_model`` runs exported functions (``exported``, ``functions``, ``signatures``); ``recording`` makes a
reference. For the diagnosis: ``anatomy``, ``definition``, ``variations``, ``embeddings``, ``embedding_tables``.
"""

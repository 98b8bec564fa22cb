"""TensorFlow's side of parity: a BERT in a checkpoint, run by TensorFlow itself.

``variables`` finds it by TensorFlow's own names, ``settings`` says what no tensor does, ``forward`` computes it in
plain operations, ``graph`` runs the graph that came with it, ``saved_model`` the functions of a SavedModel, and
``assembly`` makes a reference of it all. TensorFlow is imported inside functions only, by ``runtime``, and reads the
checkpoint with its own reader.
"""

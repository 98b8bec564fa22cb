"""What Keras' description of a model says that it computes: every layer's settings, what it reads, what heads read."""

"""HDF5 files: transformers' ``tf_model.h5``, Keras' weights and archives."""

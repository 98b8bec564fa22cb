"""The files of a Hugging Face folder: safetensors, one file or shards with their index."""

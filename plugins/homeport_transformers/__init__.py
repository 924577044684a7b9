"""transformers-cpu: language models and embeddings on torch, for CPUs."""

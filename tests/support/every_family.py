"""Every family of causal language models that transformers knows, as a tiny model, and what the
pipeline makes of it."""

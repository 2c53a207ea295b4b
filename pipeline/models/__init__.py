"""Causal language models: built, loaded, given text, hooked, read in packed rows. It knows no
corpus, no metric and no monitor."""

"""Causal language models: built, loaded, given text, hooked, read in packed rows; it must know no
corpus, no metric and no monitor."""

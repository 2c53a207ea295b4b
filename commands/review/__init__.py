"""What differs from a base and what is stale, in plain words: out of git and the working tree, with
nothing run."""

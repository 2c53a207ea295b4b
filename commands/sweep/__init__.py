"""Finished experiments side by side: gathered out of git, pooled over seeds, one row a setting."""

"""Monitors of harm and of concepts: fitted, given a threshold, scored, saved; it must know no model
and no torch."""

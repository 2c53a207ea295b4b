"""Monitors of harm and of concepts: fitted, given a threshold, scored, saved. It knows no model
and no torch."""

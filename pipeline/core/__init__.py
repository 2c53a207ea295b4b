"""Knobs, records, paths and one-line errors: what every other package speaks with. It knows no
other package, and no torch."""

"""Knobs, records, paths and one-line errors, which every other package speaks with; it must know no
other package, and no torch."""

"""One module a stage, run as `python -m stages.NAME`."""

import gc

import pipeline  # noqa: F401 - what decides the bits is set before a stage loads torch or NumPy
from pipeline.core.crowded import say_stops

# Importing torch and its kin makes a million objects that all stay; looking for garbage among them
# after every few hundred takes a tenth of a stage's start.
gc.set_threshold(100_000)
say_stops()

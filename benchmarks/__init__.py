"""Measurements, each run as `python -m benchmarks.NAME`."""

import pipeline  # noqa: F401 - what decides the bits is set before torch or NumPy is loaded

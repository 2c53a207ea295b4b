"""The project's tests, one package for each of its own."""

import pipeline  # noqa: F401 - what decides the bits is set before a test loads torch or NumPy

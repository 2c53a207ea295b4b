"""The pipeline's library. What decides the bits of its results is set here, before all else.

Results are the same bytes on every x86-64 machine with AVX2: kernels are held to that width,
whatever the machine could do beyond it, and whatever the environment asks for. These variables
are read when a library is loaded, and this file runs before any module that loads one.
"""

import os

os.environ |= {
    "ATEN_CPU_CAPABILITY": "avx2",  # torch's own kernels
}

"""The pipeline's library. What decides the bits of its results is set here, before all else.

Kernels are held to the width of AVX2, whatever the machine could do beyond it and whatever the
environment asks for, so that machines with and without AVX-512 make the same numbers. Libraries
read these variables when they are loaded, and this file runs before any module that loads one.
"""

import os

os.environ |= {
    "ATEN_CPU_CAPABILITY": "avx2",  # torch's own kernels
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",  # torch's matrix products
    "NPY_DISABLE_CPU_FEATURES": "X86_V4,AVX512_ICL,AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",  # matrix products of NumPy and SciPy
    # Their matrices are small here: sharing one among threads takes several times as long as doing
    # it on one, and sums differ with their number. Torch has threads of its own.
    "OPENBLAS_NUM_THREADS": "1",
}

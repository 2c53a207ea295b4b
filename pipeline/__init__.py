"""The pipeline's library. The environment that its libraries read is set here, before all else:
what decides the bits of results, and that no library asks a hub by itself.

On every x86-64 processor with AVX2 the same inputs give the same bytes, whatever it could do
beyond AVX2, whoever made it, and whatever the environment asks for. Libraries read these variables
when they are loaded, and this file runs before any module that loads one. Who reads a float32
model of real size on a CPU may want the machine's own kernels instead: LEGIBLE_KERNELS=native.

Libraries look for code, kernels, models and news on the Hugging Face Hub, some of them as they are
imported, and send the user's token along. Here all of them are offline. Only `pipeline.hub`
connects, where params.yaml asks for it: within `pipeline.hub.client.connected`, which a program of
one's own may use too. A user's HF_HUB_OFFLINE forbids that as well; it is kept as LEGIBLE_OFFLINE,
for processes that this one starts.
"""

import gc
import os

PINNED = {
    "ATEN_CPU_CAPABILITY": "avx2",  # torch's own kernels
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    # torch's matrix products: of MKL's settings, the one that gives the same sums on processors of
    # Intel and of AMD; on its own AVX2 path it adds up in another order on each
    "MKL_CBWR": "COMPATIBLE",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4,AVX512_ICL,AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",  # matrix products of NumPy and SciPy
    # Their matrices are small here: sharing one among threads takes several times as long as doing
    # it on one, and sums differ with their number. Torch has threads of its own.
    "OPENBLAS_NUM_THREADS": "1",
    # Sums differ with the number of threads too: two, also where the machine has one core. More
    # for torch alone: params.yaml's runtime.threads.
    "OMP_NUM_THREADS": "2",
    "OMP_THREAD_LIMIT": "1024",
    "OMP_DYNAMIC": "FALSE",
    "MKL_NUM_THREADS": "2",
    "MKL_DYNAMIC": "FALSE",
}

# Libraries make a million objects that stay; looking for garbage among them is a tenth of a start.
gc.set_threshold(50_000, 20)

if os.environ.get("LEGIBLE_KERNELS", "pinned") != "native":
    os.environ |= PINNED

# How long a thread waits awake for the others. By default it is so long that two processes on two
# cores take five times as long as one after the other.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

asked = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or "0"
os.environ["LEGIBLE_OFFLINE"] = os.environ.get("LEGIBLE_OFFLINE") or asked
os.environ["HF_HUB_OFFLINE"] = "1"

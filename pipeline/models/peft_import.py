"""PEFT, imported without bitsandbytes, which only weights of 4 bits need.

PEFT imports bitsandbytes wherever it is installed: that brings in torch's compiler, a second of
every start, and asks a hub for native code where the package `kernels` is installed too. Whatever
is used of PEFT is imported from here.
"""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hidden(library: str) -> Iterator[None]:
    """Within the block, importing the library fails as if it were not installed."""
    known = sys.modules.pop(library, None)
    sys.modules[library] = None  # type: ignore[assignment] # Python's own way to say so
    try:
        yield
    finally:
        del sys.modules[library]
        if known is not None:
            sys.modules[library] = known


with hidden("bitsandbytes"):
    from peft import LoraConfig, PeftModel, get_peft_model
    from peft import import_utils as available
    from peft.tuners.lora.layer import LoraLayer
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import transformers_weight_conversion as older_adapters

    # PEFT keeps what it found, and looks again only where `import_bitsandbytes` says so.
    available.is_bnb_available()
    available.is_bnb_4bit_available()

# Adapters here name modules as transformers 5 does. PEFT takes some of those names for transformers
# 4's: it would lay an adapter on the experts of every block, and lose weights as it loads them.
vars(older_adapters)["get_checkpoint_conversion_mapping"] = lambda _: None

# PEFT 0.21 asks transformers 5.23 by a name that it is about to drop.
warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)

__all__ = ["BaseTunerLayer", "LoraConfig", "LoraLayer", "PeftModel", "get_peft_model"]


def import_bitsandbytes() -> None:
    """Import bitsandbytes for a model of 4 bits, and let PEFT see it. Its own CPU kernels are used:
    it may not ask a hub for others. Raises ImportError where it is not installed."""
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)  # that it may not
    with hidden("kernels"):
        import bitsandbytes  # noqa: F401
    available.is_bnb_available.cache_clear()
    available.is_bnb_4bit_available.cache_clear()

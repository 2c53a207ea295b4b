"""What affine reading injects, and what it is held against."""

import torch

from pipeline.core.records import AFFINE, AFFINE_CONTROLS
from pipeline.selfie.affine_map import AffineMap
from pipeline.selfie.affine_reading import affine_adapters

STATES = torch.arange(12.0).view(4, 3)
TAUGHT = AffineMap(torch.tensor(2.0), torch.tensor([1.0, 0, -1]))
SHUFFLED = AffineMap(torch.tensor(3.0), torch.zeros(3))


def test_every_way_of_reading_has_its_vectors() -> None:
    found = {way: adapter(STATES) for way, adapter in affine_adapters(TAUGHT, SHUFFLED, 0).items()}
    assert set(found) == {AFFINE, *AFFINE_CONTROLS}
    assert torch.equal(found[AFFINE], 2 * STATES + torch.tensor([1.0, 0, -1]))
    assert torch.equal(found["affine_bias"], torch.tensor([1.0, 0, -1]).expand(4, 3))
    assert torch.equal(found["affine_shuffled"], 3 * STATES)


def test_another_texts_state_is_never_a_texts_own() -> None:
    """Each state is read once, for another text than its own; the same seed, the same texts."""
    other = affine_adapters(TAUGHT, SHUFFLED, 0)["affine_other"](STATES)
    own = TAUGHT(STATES)
    assert not (other == own).all(1).any()
    assert torch.equal(other.sort(0).values, own.sort(0).values)
    assert torch.equal(other, affine_adapters(TAUGHT, SHUFFLED, 0)["affine_other"](STATES))

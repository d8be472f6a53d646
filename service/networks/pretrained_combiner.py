"""The combiner that ships in the package, where networks that are fine-tuned begin."""

from functools import cache
from pathlib import Path

import numpy as np

from service.networks.zero_shot import Array

# Where a version's combiner lies, inside its folder.
COMBINER = "assets.extra/combiner.npz"
PATH = Path(__file__).parents[1] / "pretrained" / "zero-shot" / COMBINER


@cache
def load_combiner() -> tuple[Array, ...]:
    """The arrays of the package's combiner, as `service.networks.zero_shot.flatten` gives them. Nobody changes them."""
    with np.load(PATH) as archive:
        return tuple(archive[f"arr_{i}"] for i in range(len(archive.files)))

"""What a network is to learn from the masks: their classes, or fewer."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from unet_tutorial.classes import (
    LYFT,
    LYFT_CHALLENGE,
    ROAD_LINES,
    ROADS,
    VEHICLES,
    Classes,
)
from unet_tutorial.errors import UserError

# In the Lyft frames, 600 rows high, the camera car's own hood begins at row 496.
HOOD_TOP = 496 / 600


@dataclass(frozen=True)
class Target:
    """The classes of the masks on disk, those to learn, and the way between them.

    ``reduce`` takes a whole mask [H, W] with ids of ``source`` and returns one with
    ids of ``classes``.
    """

    source: Classes
    classes: Classes
    reduce: Callable[[np.ndarray], np.ndarray]


def choose_target(name: str | None, classes: Classes) -> Target:
    """The target of this name, for masks of these classes.

    Args:
        name: None for the classes as they are, ``"lyft"`` for those of the Lyft
            Perception Challenge.
        classes: what the ids of the masks mean.

    Raises:
        UserError: if the name is not known, or the classes are not what it needs.
    """
    if name is None:
        return Target(classes, classes, lambda mask: mask)
    if name != "lyft":
        raise UserError(f"target '{name}' is not known: use 'lyft', or leave it out")
    if classes != LYFT:
        raise UserError(
            "target 'lyft' needs the 13 classes of the Lyft data; leave it out"
        )
    return Target(LYFT, LYFT_CHALLENGE, lyft_target)


def lyft_target(mask: np.ndarray) -> np.ndarray:
    """Reduce 13 classes to those of the Lyft Perception Challenge.

    Road lines count as road, and the camera car's own hood counts as nothing.

    Args:
        mask: [..., H, W], class ids 0 to 12, of a whole frame.

    Returns:
        Class ids [..., H, W] uint8 with 0 other, 1 road, 2 vehicle.
    """
    road = (mask == ROADS) | (mask == ROAD_LINES)
    vehicle = mask == VEHICLES
    vehicle[..., round(HOOD_TOP * mask.shape[-2]) :, :] = False
    return road.astype(np.uint8) + 2 * vehicle.astype(np.uint8)

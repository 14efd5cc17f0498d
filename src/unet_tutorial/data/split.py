"""Which part of the data a pair belongs to."""

import re

from unet_tutorial.data.description import PARTS
from unet_tutorial.data.pairs import Pair
from unet_tutorial.errors import UserError

# Shares of the file names, in their order: the first 70 % train.
TRAIN_UNTIL, VAL_UNTIL = 0.70, 0.80


def split_pairs(pairs: list[Pair]) -> dict[str, list[Pair]]:
    """Split into ``train`` (70 %), ``val`` (10 %) and ``test`` (20 %).

    The names are sorted, numbers in them by their value, and cut into three
    contiguous blocks, the same in every folder. Frames of a drive follow each
    other, so shuffling them would put near-copies of test frames into training.

    Where the data set says itself which part a pair belongs to, that holds.

    Raises:
        UserError: if there are fewer than three names.
    """
    parts: dict[str, list[Pair]] = {part: [] for part in PARTS}
    if any(pair.part for pair in pairs):
        for pair in pairs:
            parts[str(pair.part)].append(pair)
        return parts
    stems = sorted({pair.stem for pair in pairs}, key=_in_order)
    if len(stems) < 3:
        raise UserError(
            f"{len(stems)} distinct file names cannot be split into train, val and "
            "test; at least 3 are needed"
        )
    # Each part gets at least one name, however few there are.
    train_end = min(max(round(TRAIN_UNTIL * len(stems)), 1), len(stems) - 2)
    val_end = min(max(round(VAL_UNTIL * len(stems)), train_end + 1), len(stems) - 1)
    part_of = {
        stem: "train" if i < train_end else "val" if i < val_end else "test"
        for i, stem in enumerate(stems)
    }
    for pair in pairs:
        parts[part_of[pair.stem]].append(pair)
    return parts


def _in_order(stem: str) -> list[str | int]:
    """So that frame 9 comes before frame 10, also where names are not padded."""
    parts = re.split(r"(\d+)", stem)  # text and digits in turn, text first
    return [int(part) if i % 2 else part for i, part in enumerate(parts)]

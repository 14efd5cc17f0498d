"""Which part of the data a pair belongs to."""

import os
import re
import zlib
from collections import defaultdict
from itertools import pairwise
from statistics import median

from unet_tutorial.data.description import PARTS
from unet_tutorial.data.pairs import Pair
from unet_tutorial.errors import UserError

# Of each hundred frames of a drive 70 are for training, 10 for validation and 20 for
# testing, in blocks of ten.
BLOCK = 10
PATTERN = ("train",) * 4 + ("val",) + ("train",) * 3 + ("test",) * 2
# Training frames as close as this to one of another part are left out.
GUARD = 3


def split_pairs(pairs: list[Pair]) -> dict[str, list[Pair]]:
    """Split into ``train``, ``val`` and ``test`` so that no part knows another.

    Frames of a drive follow each other, and neighbours are nearly the same picture:
    a shuffle would put near-copies of the test frames into training. So each drive is
    cut into blocks, the same in every folder, and training frames that touch a block
    of another part belong to none. That leaves about 58, 10 and 20 % of the frames.

    The part of a pair follows from its name alone: the last number in it counts the
    frames of a drive, what stands before it names the drive, and decides which block
    the drive begins with.

    Two kinds of sets are cut into three by their sorted names instead, at 70 and
    80 %, with the same distance in between where there are enough names: those so
    small that a part would stay empty, and those whose numbers count in larger steps,
    so that neighbours are farther apart than a block's edge can tell. There, and only
    there, files that are added may move others.

    Where the data set says itself which part a pair belongs to, that holds.

    Raises:
        UserError: if there are fewer than three names.
    """
    parts: dict[str, list[Pair]] = {part: [] for part in PARTS}
    if any(pair.part for pair in pairs):
        for pair in pairs:
            parts[str(pair.part)].append(pair)
        return parts
    stems = {pair.stem for pair in pairs}
    part_of = {stem: _part_by_name(stem) for stem in stems}
    if not set(PARTS) <= set(part_of.values()) or _usual_step(stems) > GUARD:
        part_of = _parts_by_order(sorted(stems, key=_in_order))
    for pair in pairs:
        part = part_of[pair.stem]
        if part is not None:
            parts[part].append(pair)
    return parts


def _part_by_name(stem: str) -> str | None:
    drive, frame = drive_and_frame(stem)
    if frame is None:  # no drive: every such name stands for itself
        return _part_of_frame(stem, 0)
    part = _part_of_frame(drive, frame)
    around = range(max(frame - GUARD, 0), frame + GUARD + 1)
    if part == "train" and any(_part_of_frame(drive, i) != "train" for i in around):
        return None
    return part


def _part_of_frame(drive: str, frame: int) -> str:
    first = zlib.crc32(os.fsencode(drive))
    return PATTERN[(first + frame // BLOCK) % len(PATTERN)]


def drive_and_frame(stem: str) -> tuple[str, int | None]:
    """``02_00_012`` is frame 12 of drive ``02_00_``; None where there is no number.

    A number in the middle of a word, as in ``_leftImg8bit``, is not taken if there is
    another.
    """
    free = r"(?<![^\W_])\d+|(?<!\d)\d+(?![^\W_])"
    numbers = [*re.finditer(free, stem)] or [*re.finditer(r"\d+", stem)]
    if not numbers:
        return stem, None
    return stem[: numbers[-1].start()], int(numbers[-1].group())


def _usual_step(stems: set[str]) -> float:
    """The median distance of a frame to the next of its drive; 0 without drives."""
    # Sets: the two pictures of a stereo camera share their number.
    frames = defaultdict(set)
    for stem in stems:
        drive, frame = drive_and_frame(stem)
        if frame is not None:
            frames[drive].add(frame)
    steps = [b - a for drive in frames.values() for a, b in pairwise(sorted(drive))]
    return median(steps) if steps else 0


def _parts_by_order(stems: list[str]) -> dict[str, str | None]:
    count = len(stems)
    if count < 3:
        raise UserError(
            f"{count} distinct file names cannot be split into train, val and test; "
            "at least 3 are needed: add pairs, or give each folder its 'part'"
        )
    # Each part gets at least one name, however few there are.
    train_end = min(max(round(0.7 * count), 1), count - 2)
    val_end = min(max(round(0.8 * count), train_end + 1), count - 1)
    guard = GUARD if count >= 10 * GUARD else 0
    part_of: dict[str, str | None] = {}
    for i, stem in enumerate(stems):
        if i < train_end:
            part_of[stem] = "train" if i < train_end - guard else None
        elif i < val_end:
            part_of[stem] = "val" if i < max(val_end - guard, train_end + 1) else None
        else:
            part_of[stem] = "test"
    return part_of


def _in_order(stem: str) -> list[str | int]:
    """So that frame 9 comes before frame 10, also where names are not padded."""
    parts = re.split(r"(\d+)", stem)  # text and digits in turn, text first
    return [int(part) if i % 2 else part for i, part in enumerate(parts)]

"""Decode a data set once, and keep it at the size of training."""

import functools
import hashlib
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import platformdirs
import torch
import torchvision
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from unet_tutorial.data.batches import Frames
from unet_tutorial.data.description import FILE_NAME, read_description
from unet_tutorial.data.pairs import (
    Pair,
    digest_pair,
    join_digests,
    match_pairs,
    read_pair,
    refuse,
)
from unet_tutorial.data.target import Target, choose_target
from unet_tutorial.errors import UserError
from unet_tutorial.files import (
    CACHE_REMEDY,
    locked,
    read_json,
    whole_folder,
    write_json,
)

# To be raised when a cache is written differently from the same files.
VERSION = 3
ABOUT, IMAGES, MASKS = "about.json", "images.npy", "masks.npy"


@dataclass(frozen=True)
class DecodedSet:
    """A data set, decoded.

    ``pairs`` are all of its pairs, ``faults`` tells in words what was left out, and
    ``target`` what the masks hold.
    """

    name: str
    pairs: list[Pair]
    target: Target
    faults: list[str]
    _frames: Frames
    _row_of: dict[Pair, int]
    _digests: list[str]

    @property
    def digest(self) -> str:
        """A name for the content of all pairs."""
        return join_digests(self._digests)

    def digests(self, pairs: list[Pair]) -> list[str]:
        """Names for the content of some of the pairs, without the faulty ones."""
        return [self._digests[self._row_of[pair]] for pair in self.sound(pairs)]

    def frames(self, pairs: list[Pair]) -> Frames:
        """The frames of some of the pairs, in their order, without the faulty ones."""
        rows = [self._row_of[pair] for pair in self.sound(pairs)]
        return self._frames.take(torch.tensor(rows, dtype=torch.int64))

    def sound(self, pairs: list[Pair]) -> list[Pair]:
        """Those of the pairs that have no fault.

        Raises:
            ValueError: if one is no pair of this set.
        """
        strange = set(pairs) - set(self.pairs)
        if strange:
            raise ValueError(f"{strange.pop().image} is not in this data set")
        return [pair for pair in pairs if pair in self._row_of]


def open_set(
    data: Path,
    size: tuple[int, int],
    target: str | None = None,
    skip_bad: bool = False,
    on_pair: Callable[[int, int], None] = lambda done, total: None,
) -> DecodedSet:
    """Open a data set at one size, decoded.

    The first call decodes every pair and keeps the outcome, as bytes, in the user's
    cache folder; later calls map those files into memory. The cache is built anew
    when a file of the set, its description, the size or the target has changed.

    Images are resized bilinearly, masks to the nearest pixel: a mean of two class
    ids would be a third class.

    Args:
        data: a folder or a description, as
            :func:`unet_tutorial.data.description.read_description` takes it.
        size: height and width.
        target: what the masks are reduced to, as
            :func:`unet_tutorial.data.target.choose_target` takes it.
        skip_bad: leave out faulty pairs, and tell which, instead of stopping.
        on_pair: called with the number of pairs decoded and their total, after each.

    Raises:
        UserError: if the set has a fault that is not to be skipped, has no pair
            without one, or the cache folder cannot be written.
    """
    size = (size[0], size[1])  # also if it is a list, as from a profile
    description = read_description(data)
    chosen = choose_target(target, description.classes)
    pairs, faults = match_pairs(data)
    if not skip_bad:
        refuse(faults)
    fingerprint = _fingerprint(pairs, size, target, chosen)
    folder = _place(data, size, target)
    with locked(folder, remedy=CACHE_REMEDY):
        known = _read_about(folder)
        if known.get("fingerprint") != fingerprint or _is_mended(known, pairs, chosen):
            _build(folder, pairs, size, chosen, fingerprint, data, on_pair)
        about = _read_about(folder)
        # Copy-on-write: torch wants memory that it could write to.
        images = np.load(folder / IMAGES, mmap_mode="c")
        masks = np.load(folder / MASKS, mmap_mode="c")
    bad = {int(row): fault for row, fault in about["faults"].items()}
    faults += bad.values()
    if not skip_bad:
        refuse(faults)
    row_of = {pair: row for row, pair in enumerate(pairs) if row not in bad}
    if not row_of:
        raise UserError(f"{data}: has no pair without a fault; see 'data check'")
    frames = Frames(
        torch.from_numpy(images), torch.from_numpy(masks), torch.arange(len(pairs))
    )
    return DecodedSet(
        description.name,
        pairs,
        chosen,
        faults,
        frames,
        row_of,
        about["digests"],
    )


def _place(data: Path, size: tuple[int, int], target: str | None) -> Path:
    where = data.resolve()
    if where.name == FILE_NAME:  # a set may be named by its description or its folder
        where = where.parent
    name = f"{where.name}-{size[0]}x{size[1]}" + (f"-{target}" if target else "")
    key = hashlib.sha256(os.fsencode(where)).hexdigest()[:12]
    return platformdirs.user_cache_path("unet_tutorial") / f"{name}-{key}"


def _fingerprint(
    pairs: list[Pair], size: tuple[int, int], target: str | None, chosen: Target
) -> str:
    """Changes when a file is written, added or removed, without reading any.

    It takes the time of the last change, which nobody can set, as one can that of the
    last writing.
    """
    digest = hashlib.sha256(
        repr((VERSION, torchvision.__version__, size, target, chosen.source)).encode()
    )
    resolved = functools.cache(Path.resolve)  # of the few folders, not of each file
    for pair in pairs:
        for path in (pair.image, pair.mask):
            try:
                stat = path.stat()
                state = f" {stat.st_size} {stat.st_ctime_ns}\n"
            except OSError:  # told when it is to be decoded
                state = " missing\n"
            digest.update(os.fsencode(resolved(path.parent) / path.name))
            digest.update(state.encode())
    return digest.hexdigest()


def _read_about(folder: Path) -> dict[str, Any]:
    """What is said of a cache, or nothing if there is none or it is damaged."""
    try:
        for name in (IMAGES, MASKS):
            np.load(folder / name, mmap_mode="r")  # compares its length, reads nothing
        return read_json(folder / ABOUT)
    except (UserError, OSError, ValueError, EOFError):
        return {}


def _is_mended(about: dict[str, Any], pairs: list[Pair], target: Target) -> bool:
    """Whether a pair that could not be read can be now, as after a network's fault."""
    for row in about["faults"]:
        try:
            read_pair(pairs[int(row)], target.source)
        except UserError:
            continue
        return True
    return False


def _build(
    folder: Path,
    pairs: list[Pair],
    size: tuple[int, int],
    target: Target,
    fingerprint: str,
    data: Path,
    on_pair: Callable[[int, int], None],
) -> None:
    _remove_orphans(folder.parent)

    def decode(pair: Pair) -> tuple[bytes, bytes, str, str | None]:
        try:
            image, mask = read_pair(pair, target.source)
            small = functional.resize_image(
                torch.tensor(image).permute(2, 0, 1), size, antialias=True
            )
            # Of the pixels that a small one stands for, this takes the middle one. What
            # torch calls nearest, and transforms do to masks, takes the upper left one:
            # the mask would lie beside its image.
            (ids,) = functional.resize_image(
                torch.tensor(target.reduce(mask))[None],
                size,
                InterpolationMode.NEAREST_EXACT,
            )
            pixels = small.permute(1, 2, 0).contiguous().numpy()
            return pixels.tobytes(), ids.numpy().tobytes(), digest_pair(pair), None
        except UserError as error:
            return (
                bytes(3 * size[0] * size[1]),
                bytes(size[0] * size[1]),
                "",
                str(error),
            )

    remedy = "free some space, or set XDG_CACHE_HOME to a folder with more"
    digests, faults = [], {}
    with (
        whole_folder(folder, remedy=remedy) as temporary,
        open(temporary / IMAGES, "wb") as images,
        open(temporary / MASKS, "wb") as masks,
        # Pillow and torch let go of Python's lock while they work.
        ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        _write_header(images, (len(pairs), *size, 3))
        _write_header(masks, (len(pairs), *size))
        try:
            for row, (pixels, ids, digest, fault) in enumerate(pool.map(decode, pairs)):
                images.write(pixels)
                masks.write(ids)
                digests.append(digest)
                if fault is not None:
                    faults[row] = fault
                on_pair(row + 1, len(pairs))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        write_json(
            temporary / ABOUT,
            {
                "data": str(data.resolve()),
                "fingerprint": fingerprint,
                "digests": digests,
                "faults": faults,
            },
        )


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    # Written in pieces, not mapped: a full disk is then an error and not a crash.
    np.lib.format.write_array_header_1_0(
        file, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )


def _remove_orphans(caches: Path) -> None:
    """Remove the caches of data sets that are gone."""
    for about in caches.glob(f"*/{ABOUT}"):
        try:
            is_gone = not Path(_read_about(about.parent).get("data", "")).exists()
        except OSError:  # it cannot be reached now
            continue
        if is_gone:
            shutil.rmtree(about.parent, ignore_errors=True)

"""Find the pairs of image and mask in a folder, and vouch for them."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from unet_tutorial.classes import NUM_CLASSES
from unet_tutorial.errors import UserError

IMAGES, MASKS = "CameraRGB", "CameraSeg"
# What Pillow raises for files that are broken, no pictures, or far too large.
UNDECODABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


@dataclass(frozen=True)
class Pair:
    """One picture and its mask. ``stem`` is the file name without its ending."""

    image: Path
    mask: Path

    @property
    def stem(self) -> str:
        return self.image.stem


@dataclass
class Report:
    """What :func:`check_pairs` found: class pixels, sizes, and faults in words."""

    pairs: list[Pair] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    pixels: np.ndarray = field(
        default_factory=lambda: np.zeros(NUM_CLASSES, dtype=np.int64)
    )


def find_pairs(root: Path) -> list[Pair]:
    """All pairs below a folder, in the order of their paths.

    Any layout with ``CameraRGB`` beside ``CameraSeg`` is read: bare, in
    ``dataA`` to ``dataE``, or in folders within these.

    Raises:
        UserError: if there is no such folder or no pair, or an image or a mask
            stands alone.
    """
    pairs, faults = _match(root)
    if faults:
        more = (
            f" (and {len(faults) - 1} more: see 'data check')"
            if len(faults) > 1
            else ""
        )
        raise UserError(faults[0] + more)
    return pairs


def _match(root: Path) -> tuple[list[Pair], list[str]]:
    if not root.is_dir():
        raise UserError(
            f"{root}: no such folder; make one with 'data make --out {root}'"
        )
    pairs, faults = [], []
    for folder in _image_folders(root):
        images = _png_files(folder)
        masks = _png_files(folder.parent / MASKS)
        for name in sorted(images.keys() | masks.keys()):
            if name not in masks:
                faults.append(
                    f"{images[name]}: has no mask in {MASKS}; add it or delete this"
                )
            elif name not in images:
                faults.append(
                    f"{masks[name]}: has no image in {IMAGES}; add it or delete this"
                )
            else:
                pairs.append(Pair(images[name], masks[name]))
    if not pairs and not faults:
        faults.append(
            f"{root}: no pairs; expected {IMAGES}/NAME.png beside {MASKS}/NAME.png"
        )
    return pairs, faults


def _image_folders(root: Path) -> list[Path]:
    """Each folder of images at or below ``root``, links to folders included."""
    found = (Path(folder) for folder, _, _ in os.walk(root, followlinks=True))
    return sorted(folder for folder in found if folder.name == IMAGES)


def _png_files(folder: Path) -> dict[str, Path]:
    # Names with a dot in front are what systems leave beside files, not pictures.
    files = (path for path in folder.glob("*.png") if not path.name.startswith("."))
    return {path.name: path for path in files}


def read_image(path: Path) -> np.ndarray:
    """Decode a picture: [H, W, 3] uint8.

    Raises:
        UserError: if it cannot be decoded.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except UNDECODABLE as error:
        raise UserError(
            f"{path}: cannot be decoded ({error}); replace or remove it"
        ) from error


def read_mask(path: Path, num_classes: int = NUM_CLASSES) -> np.ndarray:
    """Decode a mask: [H, W] uint8, class ids.

    The id is the red channel of an RGB or RGBA file, the index of a palette
    file, the value of a single-channel file.

    Raises:
        UserError: if it cannot be decoded, is not of 8 bits, holds colours instead of
            ids, or has ids out of range.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in ("RGB", "RGBA", "P", "L"):
                raise UserError(
                    f"{path}: mode {image.mode} is no mask of 8 bits; convert it"
                )
            mask = np.asarray(image)
    except UNDECODABLE as error:
        raise UserError(
            f"{path}: cannot be decoded ({error}); replace or remove it"
        ) from error
    others = mask[..., 1:3] if mask.ndim == 3 else np.zeros(1)
    mask = mask[..., 0] if mask.ndim == 3 else mask
    if others.any() and (others != mask[..., None]).any():
        raise UserError(
            f"{path}: its green or blue channel is not empty; a mask holds class ids "
            "in its red channel, not colours: convert it"
        )
    if mask.max() >= num_classes:
        strange = np.unique(mask[mask >= num_classes]).tolist()
        raise UserError(
            f"{path}: class ids {_few(strange)} are out of range 0..{num_classes - 1}; "
            "is it a mask, with the id in its red channel?"
        )
    return mask


def _few(ids: list[int]) -> str:
    return ", ".join(map(str, ids[:8])) + (", ..." if len(ids) > 8 else "")


def read_pair(
    pair: Pair, num_classes: int = NUM_CLASSES
) -> tuple[np.ndarray, np.ndarray]:
    """Decode both files of a pair.

    Raises:
        UserError: as :func:`read_image` and :func:`read_mask`, and if the sizes differ.
    """
    image, mask = read_image(pair.image), read_mask(pair.mask, num_classes)
    if image.shape[:2] != mask.shape:
        raise UserError(
            f"{pair.mask}: is {mask.shape[0]}x{mask.shape[1]}, its image "
            f"{image.shape[0]}x{image.shape[1]}; they must be of one size"
        )
    return image, mask


def check_pairs(
    root: Path, on_pair: Callable[[int, int], None] = lambda done, total: None
) -> Report:
    """Decode every pair once and report every fault.

    Args:
        root: the folder to check.
        on_pair: called with the number of pairs done and their total, after each.
    """
    report = Report()
    report.pairs, report.faults = _match(root)
    for done, pair in enumerate(report.pairs, start=1):
        try:
            _, mask = read_pair(pair)
        except UserError as error:
            report.faults.append(str(error))
        else:
            report.sizes[mask.shape] += 1
            report.pixels += np.bincount(mask.ravel(), minlength=NUM_CLASSES)
        on_pair(done, len(report.pairs))
    return report


def digest_pairs(pairs: list[Pair]) -> str:
    """A name for the content of a data set: changes if any file's bytes or name do."""
    digest = hashlib.sha256()
    for pair in pairs:
        for path in (pair.image, pair.mask):
            digest.update("/".join(path.parts[-2:]).encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]

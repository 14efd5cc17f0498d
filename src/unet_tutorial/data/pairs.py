"""Find the pairs of image and mask in a folder, and vouch for them."""

import fnmatch
import hashlib
import os
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from unet_tutorial.classes import LYFT, Classes
from unet_tutorial.data.description import FILE_NAME, read_description
from unet_tutorial.errors import UserError
from unet_tutorial.files import whole_file

# What Pillow raises for files that are broken, no pictures, or far too large.
UNDECODABLE = (
    OSError,
    SyntaxError,
    ValueError,
    struct.error,
    Image.DecompressionBombError,
)
# What brings a picture upright, by the number that a camera notes; 1 is upright.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Endings that say that a file was meant for a picture.
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp")


@dataclass(frozen=True)
class Pair:
    """One picture and its mask.

    ``part`` is ``train``, ``val`` or ``test`` where the data set says so; ``stem`` is
    the file name without its ending.
    """

    image: Path
    mask: Path
    part: str | None = None

    @property
    def stem(self) -> str:
        return self.image.stem


@dataclass
class Report:
    """What :func:`check_pairs` found: pixels by id, sizes, and faults in words.

    ``unnamed`` is how many pictures no line of the description takes.
    """

    pairs: list[Pair] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    unnamed: int = 0
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(256, dtype=np.int64))


def find_pairs(data: Path) -> list[Pair]:
    """All pairs of a data set, in the order of their paths.

    Args:
        data: a folder or a description, as
            :func:`unet_tutorial.data.description.read_description` takes it.

    Raises:
        UserError: if there is no pair, or an image or a mask stands alone.
    """
    pairs, faults = match_pairs(data)
    refuse(faults)
    return pairs


def refuse(faults: list[str]) -> None:
    """Stop at the first fault, if there is one, and say how many there are.

    Raises:
        UserError: if there is a fault.
    """
    if faults:
        others = len(faults) - 1
        more = f" (and {others} more: see 'data check')" if others else ""
        raise UserError(faults[0] + more)


def match_pairs(data: Path) -> tuple[list[Pair], list[str]]:
    """All pairs of a data set, and what stands alone or is no PNG file, in words.

    Raises:
        UserError: if there is no such data set, it cannot be read, or its description
            names files that are not there or belong to another line.
    """
    pairs, faults = [], []
    taken: set[tuple[Path, str]] = set()
    described = data if data.is_file() else data / FILE_NAME
    for folder in read_description(data).folders:
        images, other_images = _pictures(folder.images, folder.names)
        masks, other_masks = _pictures(folder.masks, folder.names)
        others = other_images + other_masks
        if folder.names != "*" and not (images or masks or others):
            raise UserError(
                f"{described}: names {folder.names!r} fit no file in {folder.images}; "
                "they are held against whole names, as lyon_001.png"
            )
        place = folder.images.resolve()
        files = {(place, name) for name in images}
        if twice := files & taken:
            raise UserError(
                f"{described}: two lines take {folder.images / min(twice)[1]}; a "
                "picture belongs to one part: correct their 'names'"
            )
        taken |= files
        faults += [_no_png(path, is_mask=False) for path in other_images]
        faults += [_no_png(path, is_mask=True) for path in other_masks]
        told = {f"{path.stem}.png" for path in others}
        for name in sorted((images.keys() | masks.keys()) - told):
            if name not in masks:
                faults.append(
                    f"{images[name]}: has no mask {folder.masks.name}/{name}; add it, "
                    "give it this name, or remove the image"
                )
            elif name not in images:
                faults.append(
                    f"{masks[name]}: has no image {folder.images.name}/{name}; add it, "
                    "rename the mask as its image, or remove it"
                )
            else:
                pairs.append(Pair(images[name], masks[name], folder.part))
    if not pairs and not faults:
        faults.append(
            f"{data}: its folders hold no PNG files; folders within them are not "
            "looked into, give each of these a line under 'folders'"
        )
    return pairs, list(dict.fromkeys(faults))


def _no_png(path: Path, is_mask: bool) -> str:
    remedy = f"save it as {path.stem}.png"
    if path.suffix.lower() == ".png":
        remedy = f"rename it {path.stem}.png"
    elif is_mask and path.suffix.lower() in (".jpg", ".jpeg", ".webp"):
        remedy = "a mask in this format has blurred ids; get it as PNG from its source"
    return f"{path}: only files NAME.png are read; {remedy}"


def _pictures(folder: Path, pattern: str = "*") -> tuple[dict[str, Path], list[Path]]:
    """PNG files by name, and the other pictures that nobody has saved as such yet.

    Only those whose names match the pattern, now or once they are saved as PNG.
    """
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:  # of masks, beside images
        names = []
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror})") from error
    # Names with a dot in front are what systems leave beside files, not pictures.
    files = [folder / name for name in names if not name.startswith(".")]
    files = [
        path
        for path in files
        if fnmatch.fnmatchcase(path.name, pattern)
        or fnmatch.fnmatchcase(f"{path.stem}.png", pattern)
    ]
    png = {path.name: path for path in files if path.suffix == ".png"}
    others = [
        path
        for path in files
        if path.suffix.lower() in PICTURES and f"{path.stem}.png" not in png
    ]
    return png, others


def _stored_as(image: Image.Image) -> str:
    """How a PNG file holds its pixels, as ``L;4`` or ``RGB;16B``; else nothing.

    Pillow says nowhere else that it has brought them to 8 bits.
    """
    tiles = getattr(image, "tile", None)
    return str(tiles[0][-1]) if image.format == "PNG" and tiles else ""


@contextmanager
def _decoding(path: Path) -> Iterator[Image.Image]:
    """Open a picture, and tell in one line why it cannot be read or decoded."""
    try:
        with Image.open(path) as image:
            yield image
    except UNDECODABLE as error:
        # With a number it is the file that fails; what is no picture gives none.
        if isinstance(error, IsADirectoryError):
            raise UserError(
                f"{path}: is a folder; name the pictures in it, as {path}/*.png"
            ) from error
        if isinstance(error, OSError) and error.errno is not None:
            raise UserError(
                f"{path}: cannot be read ({error.strerror}); check the path"
            ) from error
        raise UserError(
            f"{path}: cannot be decoded ({error}); replace or remove it"
        ) from error


def read_image(path: Path, upright: bool = False) -> np.ndarray:
    """Decode a picture: [H, W, 3] uint8.

    Args:
        path: the file.
        upright: turn it as the camera has noted.

    Raises:
        UserError: if it cannot be decoded or is not of 8 bits, or is to be turned and
            was not to be taken ``upright``: its mask would not be turned with it.
    """
    with _decoding(path) as image:
        # Conversion would cut off what is above 255, or the lower half.
        if image.mode[0] in "IF" or ";16" in _stored_as(image):
            raise UserError(f"{path}: mode {image.mode} is not of 8 bits; convert it")
        # Not by Pillow's own exif_transpose, which writes all notes anew and fails
        # where one of them is odd.
        turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
        if turn is not None and not upright:
            raise UserError(
                f"{path}: has an EXIF orientation, which its mask does not follow; "
                "save it upright, without that tag"
            )
        picture = image if turn is None else image.transpose(turn)
        return np.asarray(picture.convert("RGB"))


def read_mask(path: Path, classes: Classes = LYFT) -> np.ndarray:
    """Decode a mask: [H, W] uint8, class ids.

    The id is the red channel of an RGB or RGBA file, the index of a palette
    file, the value of a single-channel file.

    Raises:
        UserError: if it cannot be decoded, is not of 8 bits, holds colours instead of
            ids, or has ids out of range.
    """
    with _decoding(path) as image:
        of_8_bits = image.mode == "P" or ";" not in _stored_as(image)
        if image.mode not in ("RGB", "RGBA", "P", "L") or not of_8_bits:
            raise UserError(
                f"{path}: mode {image.mode} is no mask of 8 bits; convert it"
            )
        mask = np.asarray(image)
    if mask.ndim == 3:
        mask, others = mask[..., 0], mask[..., 1:3]
        # A grey picture saved as RGB repeats the id in all three channels.
        if others.any() and (others != mask[..., None]).any():
            raise UserError(
                f"{path}: its green or blue channel is not empty; a mask holds class "
                "ids in its red channel, not colours: convert it"
            )
    strange = [
        class_id
        for class_id in np.unique(mask).tolist()
        if class_id >= len(classes) and class_id != classes.ignore_index
    ]
    if strange:
        raise UserError(
            f"{path}: class ids {_few(strange)} are out of range "
            f"0..{len(classes) - 1}; name them in the description under 'classes' or "
            "'ignore', or see whether it is a mask of ids"
        )
    return mask


def write_picture(path: Path, pixels: np.ndarray, compress_level: int = 6) -> None:
    """Write [H, W, 3] uint8, or [H, W] of 8 or 16 bits, as a PNG file.

    The level is the patience to make it small, 1 to 9.

    Raises:
        UserError: if it cannot be written.
    """
    with whole_file(path) as temporary:
        Image.fromarray(pixels).save(
            temporary, format="PNG", compress_level=compress_level
        )


def write_mask(path: Path, mask: np.ndarray) -> None:
    """Write class ids [H, W] in the Lyft format: in the red channel, 0 in the others.

    Raises:
        UserError: if it cannot be written.
    """
    empty = np.zeros_like(mask)
    write_picture(path, np.stack([mask, empty, empty], axis=-1))


def _few(ids: list[int]) -> str:
    return ", ".join(map(str, ids[:8])) + (", ..." if len(ids) > 8 else "")


def read_pair(pair: Pair, classes: Classes = LYFT) -> tuple[np.ndarray, np.ndarray]:
    """Decode both files of a pair.

    Raises:
        UserError: as :func:`read_image` and :func:`read_mask`, and if the sizes differ.
    """
    image, mask = read_image(pair.image), read_mask(pair.mask, classes)
    if image.shape[:2] != mask.shape:
        raise UserError(
            f"{pair.mask}: is {mask.shape[0]}x{mask.shape[1]}, its image "
            f"{image.shape[0]}x{image.shape[1]}; they must be of one size"
        )
    return image, mask


def check_pairs(
    data: Path, on_pair: Callable[[int, int], None] = lambda done, total: None
) -> Report:
    """Decode every pair once and report every fault.

    Args:
        data: a folder or a description.
        on_pair: called with the number of pairs done and their total, after each.

    Raises:
        UserError: as :func:`match_pairs`.
    """
    description = read_description(data)
    classes = description.classes
    report = Report()
    report.pairs, report.faults = match_pairs(data)
    there, taken = set[Path](), set[Path]()
    for folder in description.folders:
        if folder.names != "*":
            there.update(_pictures(folder.images)[0].values())
            taken.update(_pictures(folder.images, folder.names)[0].values())
    report.unnamed = len(there - taken)
    for done, pair in enumerate(report.pairs, start=1):
        try:
            _, mask = read_pair(pair, classes)
        except UserError as error:
            report.faults.append(str(error))
        else:
            report.sizes[mask.shape] += 1
            report.pixels += np.bincount(mask.ravel(), minlength=256)
        on_pair(done, len(report.pairs))
    return report


def digest_pair(pair: Pair) -> str:
    """A name for the bytes of both files of a pair, and for what they are called.

    Raises:
        UserError: if one cannot be read.
    """
    digest = hashlib.sha256()
    for path in (pair.image, pair.mask):
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from error
        digest.update(os.fsencode("/".join(path.absolute().parts[-2:])))
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def join_digests(digests: Iterable[str]) -> str:
    """A name for the content of a data set, from those of its pairs in order."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:16]

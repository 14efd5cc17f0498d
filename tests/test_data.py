"""Pairs are found and vouched for."""

import os
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from unet_tutorial.data.pairs import (
    check_pairs,
    digest_pair,
    find_pairs,
    read_image,
    read_mask,
)
from unet_tutorial.errors import UserError

SAMPLE = Path(__file__).parents[2] / "shared/data/lyft_sample"


def save(path: Path, pixels: np.ndarray, mode: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path)
    return path


def make_pair(folder: Path, name: str, mask: np.ndarray | None = None) -> None:
    save(folder / "CameraRGB" / name, np.zeros((4, 6, 3), np.uint8))
    ids = np.zeros((4, 6), np.uint8) if mask is None else mask
    save(folder / "CameraSeg" / name, ids)


# --- find ---------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["", "dataA", "dataA/dataA"])
def test_every_layout_seen_in_the_wild_is_found(where: str, tmp_path: Path) -> None:
    make_pair(tmp_path / where, "a.png")
    assert [pair.stem for pair in find_pairs(tmp_path)] == ["a"]


def test_a_missing_or_empty_folder_is_an_error_for_people(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        find_pairs(tmp_path / "none")
    with pytest.raises(UserError, match="no pairs"):
        find_pairs(tmp_path)


def test_a_temporary_file_of_a_killed_process_is_no_picture(tmp_path: Path) -> None:
    make_pair(tmp_path, "a.png")
    (tmp_path / "CameraRGB/.b.png.123.tmp").write_bytes(b"half")
    (tmp_path / "CameraRGB/._a.png").write_bytes(b"what macOS leaves")
    assert len(find_pairs(tmp_path)) == 1


def test_a_folder_counts_once_however_many_links_lead_to_it(tmp_path: Path) -> None:
    make_pair(tmp_path / "dataA", "a.png")
    (tmp_path / "current").symlink_to("dataA")
    (tmp_path / "dataA/here").symlink_to(".")
    (pair,) = find_pairs(tmp_path)
    assert pair.image == tmp_path / "dataA/CameraRGB/a.png"


def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As for a user without the right to; the tests may be root's.
    make_pair(tmp_path / "dataA", "a.png")
    make_pair(tmp_path / "dataB", "b.png")
    listdir, scandir = os.listdir, os.scandir

    def refuse(way: Any, name: str) -> Any:
        def look(place: Any) -> Any:
            if str(place).endswith(name):
                raise PermissionError(13, "Permission denied", str(place))
            return way(place)

        return look

    monkeypatch.setattr(os, "scandir", refuse(scandir, "dataB"))
    with pytest.raises(UserError, match="dataB: cannot be read"):
        find_pairs(tmp_path)
    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(os, "listdir", refuse(listdir, "CameraSeg"))
    with pytest.raises(UserError, match="CameraSeg: cannot be read"):
        find_pairs(tmp_path)


def test_folders_may_be_links(tmp_path: Path) -> None:
    make_pair(tmp_path / "disk", "a.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/dataA").symlink_to(tmp_path / "disk", target_is_directory=True)
    assert len(find_pairs(tmp_path / "set")) == 1


# --- masks --------------------------------------------------------------------------


def test_masks_of_every_usual_kind_hold_the_same_ids(tmp_path: Path) -> None:
    ids = np.arange(12, dtype=np.uint8).reshape(3, 4)
    red = np.zeros((3, 4, 3), np.uint8)
    red[..., 0] = ids
    palette = Image.fromarray(ids, mode=None).convert("L")
    indexed = Image.new("P", palette.size)
    indexed.putpalette(list(range(255, 255 - 39, -1)))
    indexed.putdata(ids.ravel().tolist())
    indexed.save(tmp_path / "palette.png")
    save(tmp_path / "grey.png", ids)
    save(tmp_path / "rgb.png", red)
    save(tmp_path / "rgba.png", red, "RGBA")
    save(tmp_path / "equal.png", np.repeat(ids[..., None], 3, axis=2))
    for kind in ("palette", "grey", "rgb", "rgba", "equal"):
        assert np.array_equal(read_mask(tmp_path / f"{kind}.png"), ids), kind


def png_of_16_bits(width: int, height: int) -> bytes:
    """An RGB file that Pillow cannot write: black."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        sum_ = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + sum_

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    rows = zlib.compress(bytes(height * (1 + 6 * width)))
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def test_check_names_every_fault_in_one_pass(tmp_path: Path) -> None:
    for name in (
        "deep",
        "good",
        "range",
        "size",
        "wide",
        "broken",
        "alone",
        "noimage",
        "green",
        "deep_colour",
        "turned",
        "few_bits",
    ):
        make_pair(tmp_path, f"{name}.png")
    seg, rgb = tmp_path / "CameraSeg", tmp_path / "CameraRGB"
    save(seg / "range.png", np.full((4, 6), 200, np.uint8))
    save(seg / "size.png", np.zeros((5, 6), np.uint8))
    save(seg / "wide.png", np.zeros((4, 6), np.uint16))
    (rgb / "broken.png").write_bytes((rgb / "good.png").read_bytes()[:40])
    save(rgb / "deep.png", np.zeros((4, 6), np.uint16))
    green = np.zeros((4, 6, 3), np.uint8)
    green[..., 1] = 7
    save(seg / "green.png", green)
    # Pillow reads these as if they had 8 bits, and cannot write the second.
    save(seg / "few_bits.png", np.ones((4, 6), np.uint8))
    with Image.open(seg / "few_bits.png") as image:
        image.save(seg / "few_bits.png", bits=4)
    (rgb / "deep_colour.png").write_bytes(png_of_16_bits(6, 4))
    note = Image.Exif()
    note[0x0112] = 3  # it stands upside down
    Image.new("RGB", (6, 4)).save(rgb / "turned.png", exif=note)
    for kind, name in ((rgb, "photo.jpg"), (rgb, "capital.PNG")):
        save(kind / name, np.zeros((4, 6, 3), np.uint8))
    save(seg / "photo.png", np.zeros((4, 6), np.uint8))
    save(seg / "blurred.jpg", np.zeros((4, 6), np.uint8))
    (rgb / "good.jpg").write_bytes(b"beside its PNG file it may lie")
    (seg / "alone.png").unlink()
    (rgb / "noimage.png").unlink()
    report = check_pairs(tmp_path)
    expected = {
        "alone.png: has no mask",
        "noimage.png: has no image",
        "range.png: class ids 200 are out of range 0..12",
        "size.png: is 5x6, its image 4x6",
        "wide.png: mode I;16 is no mask of 8 bits",
        "broken.png: cannot be decoded",
        "deep.png: mode I;16 is not of 8 bits",
        "green.png: its green or blue channel is not empty",
        "few_bits.png: mode L is no mask of 8 bits",
        "deep_colour.png: mode RGB is not of 8 bits",
        "turned.png: has an EXIF orientation",
        "photo.jpg: only files NAME.png are read; save it as photo.png",
        "capital.PNG: only files NAME.png are read; rename it capital.png",
        "blurred.jpg: only files NAME.png are read; a mask in this format",
    }
    assert len(report.faults) == len(expected)
    for part in expected:
        assert any(part in fault for fault in report.faults), part
    assert sum(report.sizes.values()) == 1


def test_a_digest_changes_with_any_byte(tmp_path: Path) -> None:
    make_pair(tmp_path, "a.png")
    before = digest_pair(*find_pairs(tmp_path))
    save(tmp_path / "CameraSeg/a.png", np.ones((4, 6), np.uint8))
    assert digest_pair(*find_pairs(tmp_path)) != before


def test_a_digest_is_the_same_by_any_way_to_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "set/a.png", np.zeros((4, 6, 3), np.uint8))
    save(tmp_path / "set/masks/a.png", np.zeros((4, 6), np.uint8))
    entry = '{images: ".", masks: masks}'
    text = f'folders: [{entry}]\nclasses: {{Ground: "#000000"}}\n'
    (tmp_path / "set/dataset.yaml").write_text(text)
    before = digest_pair(*find_pairs(tmp_path / "set"))
    monkeypatch.chdir(tmp_path / "set")
    assert digest_pair(*find_pairs(Path("."))) == before


# --- the real data ------------------------------------------------------------------


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="needs the sample of the real data")
def test_the_real_pairs_are_read(tmp_path: Path) -> None:
    shutil.copytree(SAMPLE, tmp_path / "dataA")
    report = check_pairs(tmp_path)
    assert report.faults == []
    assert dict(report.sizes) == {(600, 800): 3}
    assert report.pixels[7] / report.pixels.sum() == pytest.approx(0.193, abs=0.005)


@pytest.mark.parametrize("note", range(1, 9))
def test_a_picture_is_turned_as_pillow_turns_it(note: int, tmp_path: Path) -> None:
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = note
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(read_image(tmp_path / "a.png", upright=True), expected)

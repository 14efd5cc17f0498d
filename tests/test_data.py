"""Pairs are found and vouched for."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unet_tutorial.data.pairs import (
    check_pairs,
    digest_pair,
    find_pairs,
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


# --- the real data ------------------------------------------------------------------


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="needs the sample of the real data")
def test_the_real_pairs_are_read(tmp_path: Path) -> None:
    shutil.copytree(SAMPLE, tmp_path / "dataA")
    report = check_pairs(tmp_path)
    assert report.faults == []
    assert dict(report.sizes) == {(600, 800): 3}
    assert report.pixels[7] / report.pixels.sum() == pytest.approx(0.193, abs=0.005)

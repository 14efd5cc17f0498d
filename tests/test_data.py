"""Pairs are found and vouched for, split without leaks, and brought into batches."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unet_tutorial.data.batches import MEAN, STD, batches, load_frames
from unet_tutorial.data.pairs import (
    Pair,
    check_pairs,
    digest_pairs,
    find_pairs,
    read_mask,
)
from unet_tutorial.data.split import split_pairs
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
        "green.png: its green or blue channel is not empty",
    }
    assert len(report.faults) == len(expected)
    for part in expected:
        assert any(part in fault for fault in report.faults), part
    assert sum(report.sizes.values()) == 1


def test_a_digest_changes_with_any_byte(tmp_path: Path) -> None:
    make_pair(tmp_path, "a.png")
    before = digest_pairs(find_pairs(tmp_path))
    save(tmp_path / "CameraSeg/a.png", np.ones((4, 6), np.uint8))
    assert digest_pairs(find_pairs(tmp_path)) != before


# --- split --------------------------------------------------------------------------


def pairs_named(*stems: str, folders: str = "A") -> list[Pair]:
    return [
        Pair(Path(f"data{f}/CameraRGB/{s}.png"), Path(f"data{f}/CameraSeg/{s}.png"))
        for f in folders
        for s in stems
    ]


def test_the_parts_are_contiguous_and_the_same_in_every_folder() -> None:
    stems = [f"{i:03}" for i in range(50)]
    parts = split_pairs(pairs_named(*stems, folders="ABC"))
    names = {
        part: sorted({pair.stem for pair in pairs}) for part, pairs in parts.items()
    }
    assert names["train"] + names["val"] + names["test"] == stems
    assert [len(names[part]) for part in ("train", "val", "test")] == [35, 5, 10]
    assert [len(parts[part]) for part in ("train", "val", "test")] == [105, 15, 30]


def test_names_with_unpadded_numbers_are_cut_in_the_order_of_the_drive() -> None:
    parts = split_pairs(pairs_named(*(f"F61-{i}" for i in range(1, 101))))
    frames = [int(p.stem[4:]) for part in ("train", "val", "test") for p in parts[part]]
    assert {part: len(pairs) for part, pairs in parts.items()} == {
        "train": 70,
        "val": 10,
        "test": 20,
    }
    assert sorted(frames[:70]) == list(range(1, 71))
    assert sorted(frames[80:]) == list(range(81, 101))


@pytest.mark.parametrize("count", [3, 4, 5, 11])
def test_every_part_of_a_small_set_gets_something(count: int) -> None:
    parts = split_pairs(pairs_named(*"abcdefghijk"[:count]))
    assert all(parts.values())
    assert sum(map(len, parts.values())) == count


def test_two_names_cannot_be_split_in_three() -> None:
    with pytest.raises(UserError, match="at least 3"):
        split_pairs(pairs_named("a", "b", folders="ABCDE"))


# --- batches ------------------------------------------------------------------------


def test_resizing_invents_no_class(tmp_path: Path) -> None:
    mask = np.zeros((40, 60), np.uint8)
    mask[:, 30:] = 12
    make_pair(tmp_path, "a.png", mask)
    save(tmp_path / "CameraRGB/a.png", np.zeros((40, 60, 3), np.uint8))
    frames = load_frames(find_pairs(tmp_path), (17, 23))
    assert frames.masks.shape == (1, 17, 23)
    assert frames.masks.unique().tolist() == [0, 12]


def test_batches_are_normalised_and_hold_every_frame_once(town: Path) -> None:
    frames = load_frames(find_pairs(town), (32, 48))
    out = list(batches(frames, batch_size=4))
    assert [len(image) for image, _ in out] == [4, 4, 4, 3]
    image, mask = out[0]
    assert image.dtype == torch.float32
    assert mask.dtype == torch.int64
    back = image * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]
    torch.testing.assert_close(back * 255, frames.images[:4].float(), atol=1e-3, rtol=0)


def test_shuffling_mirrors_image_and_mask_together_and_follows_the_seed(
    town: Path,
) -> None:
    frames = load_frames(find_pairs(town), (32, 48))

    def shuffled(seed: int) -> list:
        return list(batches(frames, 15, generator=torch.Generator().manual_seed(seed)))

    (image, mask), (again, _), (other, _) = (
        shuffled(1)[0],
        shuffled(1)[0],
        shuffled(2)[0],
    )
    assert torch.equal(image, again)
    assert not torch.equal(image, other)
    straight, true = next(batches(frames, 15))
    mirrored = 0
    for picture, ids in zip(image, mask):
        flips = [
            int((ids == both).flatten(1).all(1).nonzero()[0, 0])
            if (ids == both).flatten(1).all(1).any()
            else None
            for both in (true, true.flip(-1))
        ]
        source = straight if flips[0] is not None else straight.flip(-1)
        assert torch.equal(picture, source[next(i for i in flips if i is not None)])
        mirrored += flips[0] is None
    assert 0 < mirrored < 15


# --- the real data ------------------------------------------------------------------


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="needs the sample of the real data")
def test_the_real_pairs_are_read(tmp_path: Path) -> None:
    shutil.copytree(SAMPLE, tmp_path / "dataA")
    report = check_pairs(tmp_path)
    assert report.faults == []
    assert dict(report.sizes) == {(600, 800): 3}
    assert report.pixels[7] / report.pixels.sum() == pytest.approx(0.193, abs=0.005)

"""A data set is decoded once, and again when it has changed."""

import json
import multiprocessing
import os
import shutil
import time
import timeit
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import TINY
from unet_tutorial.data import cache
from unet_tutorial.data.cache import DecodedSet, open_set
from unet_tutorial.data.pairs import digest_pair, find_pairs, join_digests, read_pair
from unet_tutorial.errors import UserError
from unet_tutorial.training import fit

SIZE = (24, 32)


@pytest.fixture
def data(town: Path, tmp_path: Path) -> Path:
    """A town that a test may change."""
    shutil.copytree(town, tmp_path / "data")
    return tmp_path / "data"


def decoded(data: Path, **options) -> tuple[DecodedSet, int]:
    """The set, and how many pairs had to be decoded for it."""
    count = 0

    def on_pair(done: int, total: int) -> None:
        nonlocal count
        count += 1

    return open_set(data, SIZE, on_pair=on_pair, **options), count


def test_frames_are_those_of_the_files(data: Path) -> None:
    opened, _ = decoded(data)
    some = opened.pairs[3:5]
    frames = opened.frames(some)
    assert len(frames) == 2
    for row, pair in zip(frames.rows, some):
        image, mask = read_pair(pair)
        nearest = np.asarray(
            Image.fromarray(mask).resize(SIZE[::-1], Image.Resampling.NEAREST)
        )
        # Pillow's takes the middle of what a pixel stands for, so that the mask does
        # not lie beside its image.
        assert (frames.masks[row].numpy() == nearest).all()
        small = np.asarray(Image.fromarray(image).resize(SIZE[::-1]))
        difference = np.abs(frames.images[row].numpy().astype(int) - small)
        assert difference.mean() < 4
    assert opened.digest == join_digests(map(digest_pair, find_pairs(data)))


def test_resizing_invents_no_class(tmp_path: Path) -> None:
    for name, pixels in (
        ("CameraRGB", np.zeros((40, 60, 3), np.uint8)),
        ("CameraSeg", np.array([[0] * 30 + [12] * 30] * 40, np.uint8)),
    ):
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "a.png")
    opened = open_set(tmp_path, (17, 23))
    frames = opened.frames(opened.pairs)
    assert frames.masks.shape == (1, 17, 23)
    assert frames.masks.unique().tolist() == [0, 12]


def test_a_second_call_decodes_nothing_and_a_change_decodes_again(data: Path) -> None:
    first, count = decoded(data)
    assert count == 15
    again, count = decoded(data)
    assert count == 0
    assert again.digest == first.digest

    pair = first.pairs[0]
    pixels = np.asarray(Image.open(pair.image)).copy()
    before = pair.image.stat()
    Image.fromarray(255 - pixels).save(pair.image)
    os.utime(pair.image, ns=(before.st_atime_ns, before.st_mtime_ns))
    changed, count = decoded(data)
    assert count == 15
    assert changed.digest != first.digest
    row = changed.frames([pair]).rows[0]
    assert not torch.equal(changed._frames.images[row], first._frames.images[row])

    pair.image.unlink()
    pair.mask.unlink()
    assert decoded(data)[1] == 14


def test_size_and_target_have_caches_of_their_own(data: Path) -> None:
    decoded(data)
    assert decoded(data, target="lyft")[1] == 15
    assert decoded(data)[1] == 0
    assert int(decoded(data, target="lyft")[0]._frames.masks.max()) <= 2


def test_a_damaged_cache_is_built_again(data: Path) -> None:
    decoded(data)
    folder = cache._place(data, SIZE, None)
    for name in ("images.npy", "masks.npy", "about.json"):
        for length in (200, 0):
            os.truncate(folder / name, length)
            assert decoded(data)[1] == 15
            assert decoded(data)[1] == 0


def test_the_same_data_by_another_path_have_the_same_cache(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded(data)
    monkeypatch.chdir(data.parent)
    opened, count = decoded(Path("data"))
    assert count == 0
    assert len(opened.frames(find_pairs(Path("data")))) == 15
    with pytest.raises(ValueError, match="is not in this data set"):
        opened.frames(find_pairs(data))


def test_data_behind_a_link_have_the_same_cache(data: Path, tmp_path: Path) -> None:
    decoded(data)
    (tmp_path / "link").symlink_to(data)
    assert decoded(tmp_path / "link")[1] == 0
    assert decoded(data)[1] == 0
    assert decoded(tmp_path / "link/../data")[1] == 0


def test_a_fault_that_passed_is_forgotten(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(Image, "open", fail)
        with pytest.raises(UserError, match="Too many open files"):
            decoded(data)
    assert decoded(data)[1] == 15


def test_nothing_is_written_into_the_data(data: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    decoded(data)
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == before


def test_the_cache_of_data_that_is_gone_is_removed(data: Path, town: Path) -> None:
    decoded(data)
    folder = cache._place(data, SIZE, None)
    assert folder.exists()
    exists = Path.exists

    def look(path: Path) -> bool:
        if path == data.resolve():
            raise PermissionError(13, "Permission denied", str(path))
        return exists(path)

    with pytest.MonkeyPatch.context() as patch:  # as when a server does not answer
        patch.setattr(Path, "exists", look)
        open_set(town, (18, 18))
    assert folder.exists()
    shutil.rmtree(data)
    open_set(town, (20, 20))
    assert not folder.exists()


def open_in_another_process(data: Path, queue: multiprocessing.Queue) -> None:
    opened, count = decoded(data)
    queue.put((opened.digest, int(opened._frames.masks.sum()), count))


def test_two_processes_that_meet_build_it_once(data: Path) -> None:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    others = [
        context.Process(target=open_in_another_process, args=(data, queue))
        for _ in range(2)
    ]
    for process in others:
        process.start()
    results = [queue.get(timeout=120) for _ in others]
    for process in others:
        process.join()
    assert results[0][:2] == results[1][:2]
    assert sorted(count for *_, count in results) == [0, 15]


def test_a_full_disk_is_told_in_a_line_and_leaves_nothing(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "_write_header", full)
    with pytest.raises(UserError, match=r"No space left.*XDG_CACHE_HOME"):
        decoded(data)
    folder = cache._place(data, SIZE, None)
    assert not [
        path for path in folder.parent.glob(f"*{folder.name}*") if path.is_dir()
    ]


def test_five_thousand_pairs_open_in_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CameraRGB", "CameraSeg"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (2, 2)).save(tmp_path / name / "00000.png")
        for i in range(1, 5000):
            os.link(tmp_path / name / "00000.png", tmp_path / name / f"{i:05}.png")
    black = np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint8)
    with monkeypatch.context() as patch:  # decoding them is not what is timed
        patch.setattr(cache, "read_pair", lambda *_: black)
        patch.setattr(cache, "digest_pair", lambda _: "a digest")
        assert len(open_set(tmp_path, (2, 2)).pairs) == 5000
    # Of the processor: a machine that is busy with something else is not slower.
    seconds = timeit.repeat(
        lambda: open_set(tmp_path, (2, 2)), timer=time.process_time, number=1, repeat=5
    )
    assert min(seconds) < 1


# --- faults -------------------------------------------------------------------------


def test_a_fault_stops_and_is_skipped_when_asked(data: Path, tmp_path: Path) -> None:
    pairs = find_pairs(data)
    pairs[2].image.write_bytes(b"no picture")
    pairs[3].mask.unlink()
    with pytest.raises(UserError, match=rf"{pairs[3].image.name}: has no mask"):
        decoded(data)
    run = fit(replace(TINY, epochs=1), data, tmp_path / "run", skip_bad=True)
    skipped = json.loads((run.folder / "manifest.json").read_text())["skipped"]
    assert len(skipped) == 2
    assert f"{pairs[2].image}: cannot be decoded" in " ".join(skipped)
    # Without being asked, the fault stops a set whose cache stands, too.
    pairs[3].image.unlink()
    with pytest.raises(UserError, match="cannot be decoded"):
        decoded(data)
    opened, _ = decoded(data, skip_bad=True)
    assert len(opened.frames(opened.pairs)) == 13


def test_a_link_that_leads_nowhere_is_a_fault_like_others(data: Path) -> None:
    for kind in ("CameraRGB", "CameraSeg"):
        (data / "dataA" / kind / "z.png").symlink_to("/nowhere.png")
    with pytest.raises(UserError, match=r"z\.png: cannot be read"):
        decoded(data)
    assert len(decoded(data, skip_bad=True)[0].faults) == 1


def test_a_set_of_faults_alone_cannot_be_opened(data: Path) -> None:
    for pair in find_pairs(data):
        pair.mask.write_bytes(b"")
    with pytest.raises(UserError, match="no pair without a fault"):
        decoded(data, skip_bad=True)

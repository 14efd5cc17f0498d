"""No part of a data set knows another, whatever is added to it."""

import random
from pathlib import Path

import pytest

from unet_tutorial.data.pairs import Pair
from unet_tutorial.data.split import split_pairs
from unet_tutorial.errors import UserError

LYFT_NAMES = [
    f"{drive:02}_00_{frame:03}" for drive in range(2, 10) for frame in range(150)
]


def pairs_named(*stems: str, folders: str = "A") -> list[Pair]:
    return [
        Pair(Path(f"data{f}/CameraRGB/{s}.png"), Path(f"data{f}/CameraSeg/{s}.png"))
        for f in folders
        for s in stems
    ]


def part_of(stems: list[str], folders: str = "A") -> dict[str, str]:
    parts = split_pairs(pairs_named(*stems, folders=folders))
    return {pair.stem: part for part, pairs in parts.items() for pair in pairs}


def test_no_frame_of_one_part_is_near_one_of_another() -> None:
    found = part_of(LYFT_NAMES)
    assert set(found.values()) == {"train", "val", "test"}
    for stem, part in found.items():
        drive, frame = stem[:6], int(stem[6:])
        for step in range(1, 4):
            near = found.get(f"{drive}{frame + step:03}")
            assert near in (None, part), stem


def test_the_shares_are_about_those_that_were_asked_for() -> None:
    parts = list(part_of(LYFT_NAMES).values())
    shares = {name: parts.count(name) / len(LYFT_NAMES) for name in set(parts)}
    assert shares["train"] == pytest.approx(0.58, abs=0.05)
    assert shares["val"] == pytest.approx(0.10, abs=0.03)
    assert shares["test"] == pytest.approx(0.20, abs=0.04)


def test_every_folder_is_split_alike() -> None:
    parts = split_pairs(pairs_named(*LYFT_NAMES, folders="ABCDE"))
    names = [{pair.stem for pair in pairs} for pairs in parts.values()]
    assert not names[0] & names[1]
    assert not names[0] & names[2]
    assert not names[1] & names[2]
    assert all(len(pairs) == 5 * len(n) for pairs, n in zip(parts.values(), names))


def test_files_that_are_added_or_removed_move_no_other() -> None:
    before = part_of(LYFT_NAMES)
    fewer = random.Random(0).sample(LYFT_NAMES, 900)
    more = [*fewer, *(f"11_00_{i:03}" for i in range(80)), "F61-7", "a picture"]
    after = part_of(more)
    assert all(after.get(stem) == before.get(stem) for stem in fewer)


def test_two_views_of_one_moment_stay_together() -> None:
    names = [f"d{d}_{i:03}" for d in range(4) for i in range(100)]
    found = part_of([f"{name}_{eye}" for name in names for eye in ("left", "right")])
    for name in names:
        assert found.get(f"{name}_left") == found.get(f"{name}_right")


def test_two_views_of_sparse_frames_keep_their_distance() -> None:
    eyes = ("left", "right")
    found = part_of([f"{10 * i:05}_{eye}" for i in range(100) for eye in eyes])
    for i in range(99):
        near = {found.get(f"{10 * j:05}_{eye}") for j in (i, i + 1) for eye in eyes}
        assert len(near - {None}) < 2


def test_a_number_within_a_word_counts_no_frames() -> None:
    names = [f"aachen_{i:06}_leftImg8bit" for i in range(300)]
    plain = part_of([f"aachen_{i:06}" for i in range(300)])
    assert part_of(names) == {f"{stem}_leftImg8bit": plain[stem] for stem in plain}


def test_numbers_need_no_padding() -> None:
    found = part_of([f"F61-{i}" for i in range(1, 201)])
    for i in range(1, 200):
        parts = {found.get(f"F61-{i}"), found.get(f"F61-{i + 1}")} - {None}
        assert len(parts) < 2


def test_single_frames_are_dealt_out_by_their_drives() -> None:
    parts = part_of([f"{drive:03}_00_000" for drive in range(300)])
    assert len(parts) == 300
    assert list(parts.values()).count("test") == pytest.approx(60, abs=20)


def test_names_without_a_number_are_dealt_out_by_themselves() -> None:
    names = ["".join(random.Random(i).choices("abcdefgh", k=12)) for i in range(300)]
    parts = part_of(names)
    assert len(parts) == 300
    assert list(parts.values()).count("train") == pytest.approx(210, abs=25)


@pytest.mark.parametrize("padding", ["06", ""])
@pytest.mark.parametrize("step", [10, 30])
def test_sparse_frames_are_cut_into_three(step: int, padding: str) -> None:
    frames = [f"{step * i:{padding}}" for i in range(100)]
    found = part_of(frames)
    assert [found.get(frame) for frame in frames] == (
        ["train"] * 67 + [None] * 3 + ["val"] * 7 + [None] * 3 + ["test"] * 20
    )


@pytest.mark.parametrize(
    ("count", "left_out"), [(3, 0), (4, 0), (5, 0), (11, 0), (29, 0), (30, 5), (35, 6)]
)
def test_every_part_of_a_small_set_gets_something(count: int, left_out: int) -> None:
    found = part_of([f"img_{i}" for i in range(count)])
    assert set(found.values()) == {"train", "val", "test"}
    assert len(found) == count - left_out


def test_two_names_cannot_be_split_in_three() -> None:
    with pytest.raises(UserError, match="at least 3"):
        split_pairs(pairs_named("a", "b", folders="ABCDE"))

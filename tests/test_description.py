"""A data set of any kind, told by a file, with no line of code."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import TINY
from unet_tutorial.classes import LYFT
from unet_tutorial.data.cache import open_set
from unet_tutorial.data.description import read_description
from unet_tutorial.data.pairs import check_pairs, find_pairs
from unet_tutorial.data.split import split_pairs
from unet_tutorial.errors import UserError
from unet_tutorial.prediction import Predictor, score
from unet_tutorial.training import fit

CAMVID = Path(__file__).parents[2] / "shared/data/camvid"
CAMVID_YAML = """
name: CamVid
root: {root}
folders:
  - {{images: train, masks: trainannot, part: train}}
  - {{images: val, masks: valannot, part: val}}
classes:
  Sky: "#d9caff"
  Building: "#64460d"
  Pole: "#d9fff0"
  Road: "#332b3a"
  Pavement: "#b476e8"
  Tree: "#009357"
  SignSymbol: "#f78900"
  Fence: "#e1c4a1"
  Car: "#2b18ca"
  Pedestrian: "#ee0044"
  Bicyclist: "#8f3a9a"
ignore: 11
"""

GOOD = """
folders: [{images: pictures, masks: masks}]
classes: {Ground: "#000000", Disc: "#ffffff"}
ignore: 9
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Eight pairs of two classes, a strip of each mask not to be counted."""
    rng = np.random.default_rng(0)
    for i in range(8):
        mask = np.zeros((40, 60), np.uint8)
        mask[10:30, 15 + i : 40] = 1
        picture = np.clip(120 * mask + rng.integers(0, 60, mask.shape), 0, 255)
        mask[:3] = 9
        for name, pixels in (("pictures", picture), ("masks", mask)):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / name / f"{i}.png")
    (tmp_path / "dataset.yaml").write_text(GOOD)
    return tmp_path


def test_a_described_set_is_checked_trained_on_and_scored(
    own: Path, tmp_path: Path
) -> None:
    report = check_pairs(own)
    assert report.faults == []
    assert report.pixels[9] == 8 * 3 * 60
    # The cross-entropy takes no id that is no class.
    run = fit(replace(TINY, epochs=1, loss="both"), own, tmp_path / "run")
    assert run.classes == read_description(own).classes
    scores, confusion = score(Predictor(run, "cpu"), find_pairs(own))
    assert list(scores["per_class"]) == ["Ground", "Disc"]
    assert confusion.counts.sum() == 8 * 37 * 60
    assert scores["lyft_score"] is None


def test_an_id_that_is_neither_a_class_nor_ignored_is_a_fault(own: Path) -> None:
    Image.new("L", (60, 40), 2).save(own / "masks/0.png")
    assert "class ids 2 are out of range 0..1" in check_pairs(own).faults[0]


def test_a_description_may_lie_elsewhere(own: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / "elsewhere/mine.yaml"
    path.write_text(f"root: ..\n{GOOD}")
    assert len(find_pairs(path)) == 8


def test_parts_of_the_description_hold(own: Path) -> None:
    text = GOOD.replace("masks: masks", "masks: masks, part: val")
    (own / "dataset.yaml").write_text(text)
    parts = split_pairs(find_pairs(own))
    assert {part: len(pairs) for part, pairs in parts.items()} == {
        "train": 0,
        "val": 8,
        "test": 0,
    }
    with pytest.raises(UserError, match="has no sound pair for 'train'"):
        fit(TINY, own, own / "run")


def test_a_folder_in_the_lyft_layout_needs_no_description(town: Path) -> None:
    assert read_description(town).classes == LYFT


def test_the_drives_of_a_folder_can_be_given_to_several_parts(own: Path) -> None:
    lines = "".join(
        f"{{images: pictures, masks: masks, part: {part}, names: '{names}'}}, "
        for part, names in (("train", "[0-4]*"), ("val", "[56].png"))
    )
    text = GOOD.replace("{images: pictures, masks: masks}", lines)
    (own / "dataset.yaml").write_text(text)
    parts = split_pairs(find_pairs(own))
    assert [pair.stem for pair in parts["train"]] == ["0", "1", "2", "3", "4"]
    assert [pair.stem for pair in parts["val"]] == ["5", "6"]

    (own / "dataset.yaml").write_text(text.replace("[56]", "[4-6]"))
    with pytest.raises(UserError, match=r"dataset\.yaml: two lines take .*4\.png"):
        find_pairs(own)
    (own / "dataset.yaml").write_text(text.replace("[56]", "street_"))
    with pytest.raises(UserError, match=r"dataset\.yaml: names 'street_.* fit no file"):
        find_pairs(own)


def test_pictures_that_no_line_takes_are_counted(own: Path) -> None:
    text = GOOD.replace("masks: masks", "masks: masks, names: '[!67]*'")
    (own / "dataset.yaml").write_text(text)
    report = check_pairs(own)
    assert (report.faults, len(report.pairs), report.unnamed) == ([], 6, 2)


def test_a_photograph_that_a_line_takes_is_to_be_saved_as_png(own: Path) -> None:
    (own / "pictures/3.png").rename(own / "pictures/3.jpg")
    text = GOOD.replace("masks: masks", "masks: masks, names: '3.png'")
    (own / "dataset.yaml").write_text(text)
    assert "only files NAME.png are read" in check_pairs(own).faults[0]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("classes", "sorts", "must hold 'folders' and 'classes'"),
        ("folders", "- folders", "cannot be read as YAML"),
        ('"#ffffff"', "white", "the colour of 'Disc'"),
        ("ignore: 9", "ignore: 1", "'ignore' must be a number from 2 to 255"),
        ("masks: masks", "mask: masks", "'folders' must hold lines"),
        ("ignore: 9", "ignored: 9", "must hold .* and nothing else"),
        ("masks: masks", "masks: masks, parts: val", "'folders' must hold lines"),
        (
            '{Ground: "#000000", Disc: "#ffffff"}',
            "[Ground, Disc]",
            "must hold 1 to 255 lines",
        ),
        (
            "masks: masks}",
            "masks: masks, part: val, names: 'a*'}, "
            "{images: pictures, masks: masks, names: 'b*'}",
            "give every folder a 'part', or none of them",
        ),
        ("masks: masks", "masks: gone", "there is no folder"),
        (
            "masks: masks",
            "masks: 2020",
            "'masks' is 2020; it must be one text in quotes",
        ),
        ("Disc:", "No:", "write the class False in quotes"),
        ("Ground", '"Ground": "#111111", 2', "write the class 2 in quotes"),
        ('Ground: "#000000", Disc', "0: road, 1", "in the order of their ids"),
        ("ignore: 9", "ignore: true", "'ignore' must be a number from 2 to 255"),
        (
            "masks: masks}",
            "masks: masks, part: train}, {images: ./pictures, masks: masks, part: val}",
            "more than once; a picture belongs to one part",
        ),
        ("Disc:", "Ground:", "cannot be read as YAML .*'Ground' stands there twice"),
        ("masks: masks", "masks: masks, part: training", "part 'training' must be"),
        (
            "masks: masks",
            "masks: masks, names: [a]",
            "'names' is .* one text in quotes",
        ),
        (
            "masks: masks",
            "masks: masks, names: '[^a]*'",
            "write \\[! for none of these",
        ),
        (
            "masks: masks",
            "masks: masks, names: *_1",
            "line 2: .*without quotes",
        ),
    ],
)
def test_a_wrong_description_is_named(
    old: str, new: str, message: str, own: Path
) -> None:
    (own / "dataset.yaml").write_text(GOOD.replace(old, new, 1))
    with pytest.raises(UserError, match=rf"dataset\.yaml: .*{message}"):
        read_description(own)


@pytest.mark.skipif(not CAMVID.is_dir(), reason="needs CamVid")
def test_camvid_is_read_by_its_description_alone(tmp_path: Path) -> None:
    (tmp_path / "camvid.yaml").write_text(CAMVID_YAML.format(root=CAMVID))
    parts = split_pairs(find_pairs(tmp_path / "camvid.yaml"))
    assert {part: len(pairs) for part, pairs in parts.items()} == {
        "train": 367,
        "val": 101,
        "test": 0,
    }
    (tmp_path / "val.yaml").write_text(
        CAMVID_YAML.format(root=CAMVID).replace(
            "  - {images: train, masks: trainannot, part: train}\n", ""
        )
    )
    report = check_pairs(tmp_path / "val.yaml")
    assert report.faults == []
    assert report.pixels[:12].sum() == 101 * 360 * 480


def test_a_set_is_decoded_once_by_its_folder_and_by_its_description(own: Path) -> None:
    open_set(own, (24, 32))
    open_set(
        own / "dataset.yaml", (24, 32), on_pair=lambda *_: pytest.fail("decoded again")
    )

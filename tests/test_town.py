"""The generator: seeded, exact, in the layout of the real data."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unet_tutorial import classes
from unet_tutorial.baselines import score_colour
from unet_tutorial.classes import LYFT
from unet_tutorial.data.batches import Frames
from unet_tutorial.data.pairs import (
    check_pairs,
    digest_pair,
    find_pairs,
    read_image,
    read_mask,
)
from unet_tutorial.errors import UserError
from unet_tutorial.metrics import ConfusionMatrix
from unet_tutorial.town.drive import is_town, make_town, renew_town
from unet_tutorial.town.render import HOOD_Y, render
from unet_tutorial.town.scene import PALETTE, make_street

SAMPLE = Path(__file__).parents[1] / "data/sample"

# Shares in three frames of the real set.
REAL = {
    classes.NONE: 0.337,
    classes.BUILDINGS: 0.075,
    classes.FENCES: 0.0025,
    classes.OTHER: 0.0031,
    classes.PEDESTRIANS: 0.00043,
    classes.POLES: 0.0073,
    classes.ROAD_LINES: 0.0078,
    classes.ROADS: 0.193,
    classes.SIDEWALKS: 0.086,
    classes.VEGETATION: 0.110,
    classes.VEHICLES: 0.159,
    classes.WALLS: 0.019,
    classes.TRAFFIC_SIGNS: 0.00024,
}


@pytest.fixture(scope="module")
def renderings() -> list:
    return [render(make_street((0, i)), 96, 128) for i in range(150)]


def test_a_seed_decides_every_pixel(renderings: list) -> None:
    again = render(make_street((0, 7)), 96, 128)
    assert np.array_equal(again.image, renderings[7].image)
    assert np.array_equal(again.mask, renderings[7].mask)
    assert not np.array_equal(renderings[7].mask, renderings[8].mask)


def test_an_instance_has_one_class(renderings: list) -> None:
    for rendering in renderings[:40]:
        for thing in np.unique(rendering.instances[rendering.instances > 0]):
            assert len(np.unique(rendering.mask[rendering.instances == thing])) == 1


def test_the_hood_is_a_vehicle_in_every_picture(renderings: list) -> None:
    top = round(max(y for y in HOOD_Y if y < 1) * 96) + 1
    for rendering in renderings:
        assert (rendering.mask[top:] == classes.VEHICLES).all()


def test_class_shares_are_of_the_order_of_the_real_ones(renderings: list) -> None:
    masks = np.stack([rendering.mask for rendering in renderings])
    for class_id, share in REAL.items():
        factor = 2 if share > 0.01 else 4
        name = classes.LYFT.names[class_id]
        assert share / factor < (masks == class_id).mean() < share * factor, name


def test_neither_position_nor_colour_solves_it(renderings: list) -> None:
    images = torch.tensor(np.stack([rendering.image for rendering in renderings]))
    masks = torch.tensor(np.stack([rendering.mask for rendering in renderings]))
    rows = torch.arange(len(masks))
    train, test = (Frames(images, masks, part) for part in (rows[:110], rows[110:]))
    votes = torch.stack([(masks[:110] == c).sum(dim=0) for c in range(13)])
    by_position = ConfusionMatrix(13)
    by_position.update(votes.argmax(dim=0).expand(40, -1, -1), masks[110:])
    assert by_position.miou() < 0.25
    assert score_colour(train, test, LYFT).miou() < 0.45


def test_a_drive_moves_on_and_folders_lie_between_its_frames(tmp_path: Path) -> None:
    make_town(tmp_path / "t", 30, (48, 64), seed=0, frames=3)
    pairs = find_pairs(tmp_path / "t")
    assert sorted({pair.stem for pair in pairs}) == [
        f"00{drive}_00_00{frame}" for drive in (0, 1) for frame in (0, 1, 2)
    ]
    masks = {(p.image.parts[-3], p.stem): read_mask(p.mask) for p in pairs}

    def alike(a: tuple[str, str], b: tuple[str, str]) -> float:
        return float((masks[a] == masks[b]).mean())

    first = ("dataA", "000_00_000")
    near, next_frame = ("dataB", "000_00_000"), ("dataA", "000_00_001")
    assert alike(first, near) > alike(first, next_frame) > 0.75
    assert alike(first, next_frame) > alike(first, ("dataA", "001_00_000"))
    # Frames that are longer in one call than in another are frames of another street,
    # so the length belongs to what a folder is compared by.
    with pytest.raises(UserError, match="already holds something else"):
        make_town(tmp_path / "t", 30, (48, 64), seed=0, frames=6)


def test_instances_can_be_written(tmp_path: Path) -> None:
    make_town(tmp_path / "t", 1, (48, 64), seed=0, instances=True)
    pair = find_pairs(tmp_path / "t")[0]
    with Image.open(pair.image.parents[1] / "CameraInstance" / pair.image.name) as file:
        ids = np.asarray(file)
    assert ids.dtype == np.uint16
    assert np.array_equal(ids, render(make_street((0, 0)), 48, 64).instances)


def test_the_sample_in_git_is_what_the_generator_makes() -> None:
    report = check_pairs(SAMPLE)
    assert report.faults == []
    assert dict(report.sizes) == {(180, 240): 20}
    for number in (0, 19):
        pair = next(p for p in report.pairs if p.stem == f"{number:03}_00_000")
        now = render(make_street((7, number)), 180, 240)
        assert np.array_equal(now.mask, read_mask(pair.mask))
        # Other versions of numpy and Pillow may round another way.
        difference = now.image.astype(int) - read_image(pair.image)
        assert np.abs(difference).mean() < 1


def test_the_layout_is_that_of_the_lyft_data(town: Path) -> None:
    assert sorted(p.name for p in town.glob("data*")) == [f"data{x}" for x in "ABCDE"]
    pair = find_pairs(town)[0]
    assert pair.image.parts[-3:-1] == ("dataA", "CameraRGB")
    with Image.open(pair.mask) as file:
        mask = np.asarray(file)
    assert mask.shape == (48, 64, 3)
    assert mask[..., 0].max() <= 12
    assert mask[..., 1:].max() == 0


def test_a_flat_town_of_any_size_is_read_back_without_a_fault(tmp_path: Path) -> None:
    done: list[int] = []
    make_town(tmp_path / "t", 3, (50, 70), seed=3, flat=True, on_pair=done.append)
    report = check_pairs(tmp_path / "t")
    assert done[-1] == 3
    assert report.faults == []
    assert dict(report.sizes) == {(50, 70): 3}
    assert sorted(p.name for p in (tmp_path / "t").iterdir()) == [
        "CameraRGB",
        "CameraSeg",
        "town.json",
    ]


def test_an_interrupted_town_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    make_town(tmp_path / "whole", 4, (32, 32), seed=1)
    make_town(tmp_path / "again", 4, (32, 32), seed=1)
    first, second, *_ = find_pairs(tmp_path / "again")
    kept = find_pairs(tmp_path / "again")[2].mask
    first.mask.unlink()
    second.mask.unlink()
    written = kept.stat().st_mtime_ns
    make_town(tmp_path / "again", 4, (32, 32), seed=1)
    digests = {
        tuple(map(digest_pair, find_pairs(tmp_path / name)))
        for name in ("whole", "again")
    }
    assert len(digests) == 1
    assert kept.stat().st_mtime_ns == written


def test_what_cannot_be_made_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least 1 pair"):
        make_town(tmp_path / "t", 5, (32, 32), seed=0, frames=0)
    with pytest.raises(UserError, match="drives have five folders"):
        make_town(tmp_path / "t", 5, (32, 32), seed=0, frames=2, flat=True)


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="already holds something else"):
        make_town(tmp_path, 1, (32, 32), seed=0)
    with pytest.raises(UserError, match="already holds something else"):
        renew_town(tmp_path, 1, (32, 32), seed=0)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_a_town_of_another_call_is_refused_or_renewed(tmp_path: Path) -> None:
    make_town(tmp_path / "t", 2, (32, 32), seed=0)
    with pytest.raises(UserError, match="already holds something else"):
        make_town(tmp_path / "t", 2, (32, 32), seed=1)
    renew_town(tmp_path / "t", 3, (32, 32), seed=1)
    assert len(find_pairs(tmp_path / "t")) == 3
    # Stopped on the way, it is still known for a town, and the next call goes on.
    rmtree = shutil.rmtree
    removed: list[Path] = []

    def stop_at_the_second(path: Path) -> None:
        if removed:
            raise KeyboardInterrupt
        removed.append(path)
        rmtree(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "rmtree", stop_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            renew_town(tmp_path / "t", 4, (32, 32), seed=2)
    assert is_town(tmp_path / "t")
    renew_town(tmp_path / "t", 4, (32, 32), seed=2)
    assert len(find_pairs(tmp_path / "t")) == 4
    # A link to a larger disk is kept.
    (tmp_path / "t").rename(tmp_path / "elsewhere")
    (tmp_path / "t").symlink_to("elsewhere")
    renew_town(tmp_path / "t", 2, (32, 32), seed=3)
    assert (tmp_path / "t").is_symlink()
    assert len(find_pairs(tmp_path / "elsewhere")) == 2


def test_a_worker_that_is_ended_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unet_tutorial.town.drive._write_pair", _end_itself)
    with pytest.raises(UserError, match="a process that renders was ended"):
        make_town(tmp_path / "t", 2, (32, 32), seed=0)


def _end_itself(*_: object) -> None:
    os._exit(1)


def test_a_town_has_the_weathers_asked_for(tmp_path: Path) -> None:
    for seed in range(20):
        street = make_street((0, seed), weathers=("rain", "dusk"))
        assert street.weather in [PALETTE["weathers"][n] for n in ("rain", "dusk")]
    with pytest.raises(UserError, match="weather 'snow' is not known: choose of noon"):
        make_town(tmp_path / "town", 1, (48, 64), 0, weathers=("snow",))
    assert not (tmp_path / "town").exists()
    make_town(tmp_path / "town", 1, (48, 64), 0, weathers=("rain",))
    with pytest.raises(UserError, match="already holds something else"):
        make_town(tmp_path / "town", 1, (48, 64), 0, weathers=("dusk",))

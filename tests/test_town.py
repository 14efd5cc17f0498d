"""The generator: seeded, exact, in the layout of the real data."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unet_tutorial import classes
from unet_tutorial.data.pairs import check_pairs, digest_pair, find_pairs
from unet_tutorial.errors import UserError
from unet_tutorial.town.drive import make_town, renew_town
from unet_tutorial.town.render import HOOD, render
from unet_tutorial.town.scene import make_scene


@pytest.fixture(scope="module")
def renderings() -> list:
    return [render(make_scene((0, i)), 96, 128, (0, i)) for i in range(40)]


def test_all_classes_occur(renderings: list) -> None:
    found = np.unique(np.stack([rendering.mask for rendering in renderings]))
    assert found.tolist() == list(range(13))


def test_a_seed_decides_every_pixel(renderings: list) -> None:
    again = render(make_scene((0, 7)), 96, 128, (0, 7))
    assert np.array_equal(again.image, renderings[7].image)
    assert np.array_equal(again.mask, renderings[7].mask)
    assert not np.array_equal(renderings[7].mask, renderings[8].mask)


def test_an_instance_has_one_class(renderings: list) -> None:
    for rendering in renderings:
        for thing in np.unique(rendering.instances[rendering.instances > 0]):
            assert len(np.unique(rendering.mask[rendering.instances == thing])) == 1


def test_the_hood_is_a_vehicle_in_every_picture(renderings: list) -> None:
    top = round(max(y for _, y in HOOD if y < 1) * 96) + 1
    for rendering in renderings:
        assert (rendering.mask[top:] == classes.VEHICLES).all()


def test_class_shares_are_of_the_order_of_the_real_ones(renderings: list) -> None:
    real = {
        classes.NONE: 0.337,
        classes.ROADS: 0.193,
        classes.VEHICLES: 0.159,
        classes.VEGETATION: 0.110,
        classes.SIDEWALKS: 0.086,
        classes.BUILDINGS: 0.075,
    }
    masks = np.stack([rendering.mask for rendering in renderings])
    for class_id, share in real.items():
        assert share / 2 < (masks == class_id).mean() < share * 2, classes.LYFT.names[
            class_id
        ]


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

"""The palette must keep the classes apart for every reader."""

import numpy as np
import pytest

from unet_tutorial.classes import LYFT, Classes

# G. Machado, M. Oliveira, L. Fernandes: A Physiologically-based Model for
# Simulation of Color Vision Deficiency, 2009; severity 1.
EYES = {
    "normal": np.eye(3),
    "red-blind": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "green-blind": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "blue-blind": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
)


def to_lab(linear: np.ndarray) -> np.ndarray:
    xyz = linear @ TO_XYZ.T / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = f.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


@pytest.mark.parametrize("eyes", EYES)
def test_every_two_colours_can_be_told_apart(eyes: str) -> None:
    srgb = LYFT.colour(np.arange(13)) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = to_lab(np.clip(linear @ np.array(EYES[eyes]).T, 0, 1))
    distances = np.linalg.norm(seen[:, None] - seen[None], axis=-1)
    nearest = distances[~np.eye(13, dtype=bool)].min()
    assert nearest > 15  # a difference of 2.3 is just noticeable side by side


def test_there_is_one_colour_for_each_class() -> None:
    assert len(LYFT) == len(set(LYFT.names)) == len(set(LYFT.colours)) == 13


def test_a_mask_takes_the_colours_of_its_ids() -> None:
    coloured = LYFT.colour(np.array([[0, 12]]))
    assert coloured.shape == (1, 2, 3)
    assert coloured[0, 1].tolist() == [0xF7, 0x89, 0x00]


def test_ignored_pixels_are_black() -> None:
    classes = Classes(("a",), ("#ffffff",), ignore_index=255)
    assert classes.colour(np.array([[0, 255]])).tolist() == [[[255] * 3, [0] * 3]]

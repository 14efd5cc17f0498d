"""Patterns of surfaces, computed for each pixel from where on the surface it lies.

Each pattern takes coordinates on the surface in metres, u along and v up (or away),
and the width of a pixel there. It returns factors for the surface's colour, [n] or
[n, 3], around 1. Detail finer than a pixel fades away.
"""

from collections.abc import Callable

import numpy as np

from unet_tutorial.town.scene import BAY, STOREY

Pattern = Callable[["Noise", np.ndarray, np.ndarray, np.ndarray], np.ndarray]


class Noise:
    """Random numbers fixed to places: the same place gives the same number."""

    SIZE = 256

    def __init__(self, rng) -> None:
        self.grain = rng.uniform(-1, 1, (self.SIZE, self.SIZE)).astype(np.float32)
        soft = np.fft.fft2(rng.normal(size=(self.SIZE, self.SIZE)))
        waves = np.fft.fftfreq(self.SIZE) * self.SIZE
        distance = np.hypot(waves[:, None], waves[None, :])
        cloud = np.fft.ifft2(soft * (distance > 0) / (1 + distance) ** 1.7).real
        self.cloud = (cloud / np.abs(cloud).max()).astype(np.float32)

    def at(self, u: np.ndarray, v: np.ndarray, cell: float) -> np.ndarray:
        """One number from -1 to 1 for each square cell of so many metres."""
        return self.grain[_index(v / cell), _index(u / cell)]

    def soft(self, u: np.ndarray, v: np.ndarray, period: float) -> np.ndarray:
        """Clouds from -1 to 1 that repeat after so many metres."""
        u, v = u * (self.SIZE / period), v * (self.SIZE / period)
        x, y, a, b = _index(u), _index(v), u % 1, v % 1
        right, up = (x + 1) & (self.SIZE - 1), (y + 1) & (self.SIZE - 1)
        low = self.cloud[y, x] * (1 - a) + self.cloud[y, right] * a
        return (
            low * (1 - b)
            + (self.cloud[up, x] * (1 - a) + self.cloud[up, right] * a) * b
        )


def _index(x: np.ndarray) -> np.ndarray:
    return np.floor(x).astype(np.int32) & (Noise.SIZE - 1)


def _fade(size: float, pixel: np.ndarray) -> np.ndarray:
    """How much of a detail of this size, in metres, is left."""
    return np.clip(size / pixel - 0.5, 0, 1)


def _joints(
    u: np.ndarray, v: np.ndarray, width: float, height: float, gap: float
) -> tuple:
    """Whether a place lies in a joint between blocks, and the number of its block."""
    row = np.floor(v / height)
    along = u / width + 0.5 * (row % 2)
    joint = (along % 1 < gap / width) | (v / height % 1 < gap / height)
    return joint, np.floor(along), row


def plain(noise: Noise, u, v, pixel) -> np.ndarray:
    return 1 + 0.04 * noise.soft(u, v, 6)


def paint(noise: Noise, u, v, pixel) -> np.ndarray:
    worn = np.clip(3 * noise.soft(u, v, 9) - 0.3, 0, 0.8)
    return 1 - 0.5 * worn + 0.1 * noise.at(u, v, 0.05) * _fade(0.05, pixel)


def asphalt(noise: Noise, u, v, pixel) -> np.ndarray:
    grain = 0.16 * noise.at(u, v, 0.04) * _fade(0.04, pixel)
    crack = np.abs(noise.soft(u, v, 25)) < 0.012
    return 1 + grain + 0.5 * noise.soft(u, v, 30) - 0.3 * crack * _fade(0.08, pixel)


def paving(noise: Noise, u, v, pixel) -> np.ndarray:
    joint, column, row = _joints(u, v, 0.9, 0.6, 0.03)
    slab = 0.12 * noise.at(column * 7, row * 3, 1) * _fade(0.6, pixel)
    return asphalt(noise, u, v, pixel) + slab - 0.35 * joint * _fade(0.05, pixel)


def brick(noise: Noise, u, v, pixel) -> np.ndarray:
    joint, column, row = _joints(u, v, 0.5, 0.24, 0.03)
    block = 0.25 * noise.at(column * 5, row * 3, 1) * _fade(0.3, pixel)
    return plaster(noise, u, v, pixel) + block - 0.4 * joint * _fade(0.04, pixel)


def plaster(noise: Noise, u, v, pixel) -> np.ndarray:
    return 1 + 0.25 * noise.soft(u, v, 14) - 0.2 * np.clip(1 - v, 0, 1)


def tiles(noise: Noise, u, v, pixel) -> np.ndarray:
    _, column, row = _joints(u, v, 0.3, 0.35, 0.0)
    return 1 + 0.25 * noise.at(column, row, 1) * _fade(0.3, pixel)


def grass(noise: Noise, u, v, pixel) -> np.ndarray:
    blades = 0.5 * noise.at(u, v, 0.05) * _fade(0.05, pixel)
    return 1 + 0.6 * noise.soft(u, v, 22) + blades + 0.2 * noise.at(u, v, 0.3)


def leaves(noise: Noise, u, v, pixel) -> np.ndarray:
    fine = 0.8 * noise.at(u, v, 0.09) * _fade(0.09, pixel)
    coarse = 0.8 * noise.at(u, v, 0.28) * _fade(0.28, pixel)
    return np.clip(0.9 + fine + coarse + 0.8 * noise.soft(u, v, 25), 0.1, 3)


def glass(noise: Noise, u, v, pixel) -> np.ndarray:
    return 1 + 1.5 * np.clip(v - 1, 0, 1) + 0.5 * noise.soft(u, v, 5)


def metal(noise: Noise, u, v, pixel) -> np.ndarray:
    return 0.75 + 0.45 * np.clip(v - 0.3, 0, 0.8) + 0.15 * noise.soft(u, v, 7)


def facade(noise: Noise, u, v, pixel, wall: Pattern = plaster) -> np.ndarray:
    """A field of window for each bay and storey; here and there a door or a light."""
    column, row = np.floor(u / BAY), np.floor(v / STOREY)
    across, up = u - column * BAY, v - row * STOREY
    chance = noise.at(column * 11, row * 5, 1)
    door = (row == 0) & (chance > 0.6)
    sill = np.where(door, 0.0, 0.95)
    hole = (np.abs(across - BAY / 2) < 0.62) & (up > sill) & (up < 2.3)
    frame = (np.abs(across - BAY / 2) < 0.74) & (up > sill - 0.12) & (up < 2.4)
    bars = (np.abs(across - BAY / 2) < 0.03) | (np.abs(up - 1.7) < 0.03)
    pane = 0.28 + 0.15 * chance + 0.25 * noise.soft(u + 9 * chance, v, 4)
    factor = np.where(frame, 1.15, wall(noise, u, v, pixel))
    return np.where(hole, np.where(bars, 0.8, pane), factor)


def brick_facade(noise: Noise, u, v, pixel) -> np.ndarray:
    return facade(noise, u, v, pixel, wall=brick)


PATTERNS: dict[str, Pattern] = {
    "plain": plain,
    "paint": paint,
    "asphalt": asphalt,
    "paving": paving,
    "brick": brick,
    "plaster": plaster,
    "tiles": tiles,
    "grass": grass,
    "leaves": leaves,
    "glass": glass,
    "metal": metal,
    "facade": facade,
    "brick facade": brick_facade,
}

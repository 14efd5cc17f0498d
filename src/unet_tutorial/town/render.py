"""Draw a scene as a picture, a mask of classes and a mask of instances.

A pinhole camera and the painter's algorithm: far things first, near things
over them, each polygon into the picture and the masks alike, so that the mask
is exact by construction.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from unet_tutorial import classes
from unet_tutorial.town.scene import Face, Scene, Thing, Weather

CAMERA_HEIGHT = 1.4  # metres, as measured on frames of the real set
NEAR = 0.5  # metres; what is nearer is cut away
# Drawn at twice the size and averaged, so that the picture's edges are not
# razor-sharp; the masks take one pixel of each four and stay exact.
SUPERSAMPLING = 2
# The hood's outline in shares of width and height, as in the real frames.
HOOD = [
    (0, 1),
    (0, 0.865),
    (0.13, 0.865),
    (0.17, 0.85),
    (0.32, 0.837),
    (0.5, 0.832),
    (0.68, 0.837),
    (0.83, 0.85),
    (0.87, 0.865),
    (1, 0.865),
    (1, 1),
]


@dataclass(frozen=True)
class Rendering:
    """What the camera saw.

    ``image``: [H, W, 3] uint8. ``mask``: [H, W] uint8, class ids.
    ``instances``: [H, W] int32, 0 for ground and sky, else the number of a thing.
    """

    image: np.ndarray
    mask: np.ndarray
    instances: np.ndarray


class _Canvas:
    """Three pictures that every polygon is drawn into."""

    def __init__(self, scene: Scene, height: int, width: int) -> None:
        self.scene = scene
        self.size = (width * SUPERSAMPLING, height * SUPERSAMPLING)
        self.focal = self.size[0] / 2  # a field of view of 90 degrees
        self.image = Image.new("RGB", self.size)
        self.mask = Image.new("L", self.size, classes.NONE)
        self.instances = Image.new("I", self.size, 0)
        self.layers = [
            ImageDraw.Draw(layer) for layer in (self.image, self.mask, self.instances)
        ]
        sun = np.array(scene.weather.sun)
        self.sun = sun / np.linalg.norm(sun)

    def draw(self, thing: Thing, instance: int) -> None:
        faces = sorted(
            (face for face in thing.faces if not face.painted),
            key=lambda face: -face.points[:, 2].mean(),
        )
        for face in [face for face in thing.faces if face.painted] + faces:
            points, normal = self._place(face)
            if len(points) < 3 or (face.lit and normal @ points[0] > 0):
                continue  # behind the camera, or a side that looks away from it
            outline = self._project(points)
            colour = self._shade(face, normal, float(points[:, 2].mean()))
            self.polygon(
                outline, colour, None if face.painted else (thing.class_id, instance)
            )

    def polygon(
        self, outline: list, colour: tuple, ids: tuple[int, int] | None
    ) -> None:
        self.layers[0].polygon(outline, fill=colour)
        if ids is not None:
            self.layers[1].polygon(outline, fill=ids[0])
            self.layers[2].polygon(outline, fill=ids[1])

    def _place(self, face: Face) -> tuple[np.ndarray, np.ndarray]:
        """Bend the face with the road, cut off what is too near, find its normal."""
        points = face.points.copy()
        points[:, 0] += self.scene.bend * points[:, 2] ** 2 / 2
        points[:, 1] += self.scene.slope * points[:, 2] ** 2 / 2 - CAMERA_HEIGHT
        normal = np.cross(points[1] - points[0], points[2] - points[0])
        normal = normal / max(float(np.linalg.norm(normal)), 1e-9)
        kept = []
        for a, b in zip(points, np.roll(points, -1, axis=0)):
            if a[2] >= NEAR:
                kept.append(a)
            if (a[2] >= NEAR) != (b[2] >= NEAR):
                kept.append(a + (b - a) * (NEAR - a[2]) / (b[2] - a[2]))
        return np.array(kept), normal

    def _project(self, points: np.ndarray) -> list[tuple[float, float]]:
        x = self.size[0] / 2 + self.focal * points[:, 0] / points[:, 2]
        y = self.size[1] / 2 - self.focal * points[:, 1] / points[:, 2]
        return list(zip(x.tolist(), y.tolist()))

    def _shade(
        self, face: Face, normal: np.ndarray, distance: float
    ) -> tuple[int, ...]:
        weather = self.scene.weather
        brightness = 1.0
        if face.lit:
            brightness = weather.ambient + 1.2 * (1 - weather.ambient) * max(
                float(normal @ self.sun), 0
            )
        lit = np.array(face.colour) * brightness * np.array(weather.light)
        haze = 1 - np.exp(-distance / weather.haze_distance)
        return _to_bytes(lit * (1 - haze) + np.array(weather.horizon) * haze)


def render(scene: Scene, height: int, width: int, seed: tuple[int, int]) -> Rendering:
    """Draw the scene.

    Args:
        scene: what stands where.
        height, width: of the picture in pixels.
        seed: decides texture and noise.
    """
    rng = np.random.default_rng(seed)
    canvas = _Canvas(scene, height, width)
    sky = _sky(rng, scene.weather, *canvas.size)
    canvas.image.paste(Image.fromarray(_quantise(sky)))
    for thing in scene.ground:
        canvas.draw(thing, instance=0)
    far_to_near = sorted(scene.things, key=lambda thing: -thing.distance)
    for instance, thing in enumerate(far_to_near, start=1):
        canvas.draw(thing, instance)
    pixels = _texture(rng, scene.weather, canvas)
    # The hood last, over texture and reflections alike, as an instance of its own.
    canvas.image.paste(Image.fromarray(_quantise(pixels)))
    hood = [(x * canvas.size[0], y * canvas.size[1]) for x, y in HOOD]
    dark = _to_bytes(np.array(scene.weather.light) * rng.uniform(0.02, 0.07))
    canvas.polygon(hood, dark, (classes.VEHICLES, len(far_to_near) + 1))
    image = np.asarray(canvas.image, dtype=np.float32) / 255
    image = image.reshape(height, SUPERSAMPLING, width, SUPERSAMPLING, 3).mean((1, 3))
    step = slice(None, None, SUPERSAMPLING)
    return Rendering(
        image=_quantise(_lens(rng, image)),
        mask=np.asarray(canvas.mask)[step, step].copy(),
        instances=np.asarray(canvas.instances)[step, step].copy(),
    )


def _sky(rng, weather: Weather, width: int, height: int) -> np.ndarray:
    """From the zenith's colour to the horizon's, with clouds of smoothed noise."""
    rise = np.clip(1 - np.arange(height) / (height / 2), 0, 1)[:, None, None] ** 0.8
    sky = np.array(weather.zenith) * rise + np.array(weather.horizon) * (1 - rise)
    clouds = sum(
        _smooth_noise(rng, height, width, cells) / cells for cells in (3, 7, 15, 31)
    )
    cover = np.clip(clouds * 2.2, 0, 1)[..., None] * weather.clouds
    cloud = np.minimum(np.array(weather.horizon) * 1.12, 1)
    return np.broadcast_to(sky, (height, width, 3)) * (1 - cover) + cloud * cover


def _smooth_noise(rng, height: int, width: int, cells: int) -> np.ndarray:
    """Noise around 0 with ``cells`` bumps across the picture."""
    coarse = Image.fromarray(rng.normal(size=(cells, 2 * cells)).astype(np.float32))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def _texture(rng, weather: Weather, canvas: _Canvas) -> np.ndarray:
    """Grain on ground and foliage, and a wet road that mirrors what stands above it."""
    width, height = canvas.size
    pixels = np.asarray(canvas.image, dtype=np.float32) / 255
    mask, instances = np.asarray(canvas.mask), np.asarray(canvas.instances)
    rows = np.arange(height // 2 + 1, height)
    below = slice(height // 2 + 1, height)
    # Where on the ground each pixel below the horizon looks, in metres.
    depth = CAMERA_HEIGHT * canvas.focal / (rows - height / 2)
    across = (np.arange(width) - width / 2) / canvas.focal * depth[:, None]
    tile = rng.normal(size=(128, 128)).astype(np.float32)
    grain = tile[
        (depth[:, None] * 14).astype(int) % 128, (across * 14).astype(int) % 128
    ]
    ground = instances[below] == 0
    grain = grain * ground * (0.09 / (1 + depth[:, None] / 12))
    patches = _smooth_noise(rng, len(rows), width, 9) * 0.05 * ground
    result = pixels.copy()
    result[below] *= 1 + (grain + patches)[..., None]
    if weather.wet:
        mirrored = pixels[height - rows]
        puddles = np.clip(0.6 + _smooth_noise(rng, len(rows), width, 13) * 0.5, 0, 1)
        share = (weather.wet * puddles * (ground & (mask[below] != classes.NONE)))[
            ..., None
        ]
        result[below] = result[below] * (1 - share) + mirrored * share * 0.85
    leaves = (mask == classes.VEGETATION)[..., None]
    return result * (1 + leaves * rng.normal(0, 0.22, (height, width, 1)))


def _lens(rng, image: np.ndarray) -> np.ndarray:
    """Exposure, vignette and sensor noise."""
    height, width = image.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    vignette = 1 - 0.16 * (x**2 + y**2)[..., None]
    exposed = image * vignette * rng.uniform(0.8, 1.15)
    return exposed + rng.normal(0, 0.012, image.shape)


def _quantise(pixels: np.ndarray) -> np.ndarray:
    return (np.clip(pixels, 0, 1) * 255).round().astype(np.uint8)


def _to_bytes(colour: np.ndarray) -> tuple[int, ...]:
    return tuple(_quantise(colour).tolist())

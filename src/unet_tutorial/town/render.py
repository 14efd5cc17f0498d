"""Draw a street as a picture, a mask of classes and a mask of instances.

A pinhole camera and the painter's algorithm, but what is painted is the number of
each face: from far to near, near ones over far ones. Class, instance and distance of a
pixel then follow from the face it shows, so that the mask is exact by construction,
and its colour is computed where on the face it lies: pattern, light and shadow.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from unet_tutorial import classes
from unet_tutorial.town.scene import VIEW_DISTANCE, Face, Street, Strip
from unet_tutorial.town.texture import PATTERNS, Noise

CAMERA_HEIGHT = 1.4  # metres, as measured on frames of the real set
SPEED = 8.0  # of the camera's car, in metres per second
NEAR = 0.5  # metres; what is nearer is cut away
# Drawn at twice the size and averaged, so that the picture's edges are not
# razor-sharp; the masks take one pixel of each four and stay exact.
SUPERSAMPLING = 2
# The hood's outline in shares of width and height, as in the real frames.
HOOD_X = [0, 0, 0.13, 0.17, 0.32, 0.5, 0.68, 0.83, 0.87, 1, 1]
HOOD_Y = [1, 0.865, 0.865, 0.85, 0.837, 0.832, 0.837, 0.85, 0.865, 0.865, 1]
# Shadows are drawn as seen from the sun: so much of the ground in metres, x and z from
# the camera, and so many pixels a metre.
SHADOW_X, SHADOW_Z, SHADOW_SCALE = (-40.0, 40.0), (-10.0, 100.0), 8


@dataclass(frozen=True)
class View:
    """Where the camera stands, x from the middle of the road, and looks, in radians."""

    x: float
    z: float
    yaw: float
    pitch: float


@dataclass(frozen=True)
class Rendering:
    """What the camera saw.

    ``image``: [H, W, 3] uint8. ``mask``: [H, W] uint8, class ids.
    ``instances``: [H, W] int32, 0 for ground and sky, else the number of a thing.
    """

    image: np.ndarray
    mask: np.ndarray
    instances: np.ndarray


def view_along(street: Street, z: float = 0.0) -> View:
    """The camera of a car that drives in the right lane, more or less straight."""
    rng = np.random.default_rng((*street.seed, 1))
    aside, yaw, pitch = rng.normal(0, (1.5, 0.16, 0.03)).tolist()
    sway = float(np.sin(z / 35 + rng.uniform(0, 6)))
    yaw = yaw * float(np.cos(z / 50)) + 0.01 * sway
    return View(street.width / 2 + aside + 0.25 * sway, z, yaw, pitch)


def render(
    street: Street, height: int, width: int, view: View | None = None
) -> Rendering:
    """Draw what the camera sees.

    Args:
        street: what stands where.
        height, width: of the picture in pixels.
        view: where the camera stands and looks; by default, at the street's beginning.
    """
    view = view or view_along(street)
    noise = Noise(np.random.default_rng((*street.seed, 2)))
    rng = np.random.default_rng((*street.seed, 3))
    faces, camera = _Faces(street, view), _Camera(height, width, view)
    numbers = _paint(faces, camera)
    seen = numbers >= 0
    image = _sky(street, noise, camera)
    image[seen] = _shade(faces, camera, numbers, street, noise)
    if street.weather["wet"]:
        _wet(image, faces, numbers, camera, street.weather["wet"], noise)
    mask = np.where(seen, faces.class_id[numbers], classes.NONE).astype(np.uint8)
    instances = np.where(seen, faces.instance[numbers], 0).astype(np.int32)
    _hood(image, mask, instances, street, noise, rng)
    grain = np.random.default_rng((*street.seed, 4, round(1000 * view.z)))
    step = slice(None, None, SUPERSAMPLING)
    return Rendering(
        _develop(rng, grain, image),
        mask[step, step].copy(),
        instances[step, step].copy(),
    )


class _Camera:
    def __init__(self, height: int, width: int, view: View) -> None:
        self.width, self.height = width * SUPERSAMPLING, height * SUPERSAMPLING
        self.focal = self.width / 2  # a field of view of 90 degrees
        self.horizon = self.height / 2 + self.focal * np.tan(view.pitch)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points [N, 3] to pixels [N, 2]."""
        x = self.width / 2 + self.focal * points[:, 0] / points[:, 2]
        y = self.horizon - self.focal * points[:, 1] / points[:, 2]
        return np.stack([x, y], axis=1)

    def rays(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Pixels to the directions that they look in, [N, 3], 1 along z."""
        x = (columns + 0.5 - self.width / 2) / self.focal
        y = (self.horizon - rows - 0.5) / self.focal
        return np.stack([x, y, np.ones_like(x)], axis=1).astype(np.float32)


class _Faces:
    """All faces that the camera may see, in its coordinates, far to near."""

    def __init__(self, street: Street, view: View) -> None:
        self.view, self.curvature = view, street.curvature(view.z)
        entries: list[tuple[Face, np.ndarray, int, int]] = []
        for strip in street.ground:
            entries += [(f, f.points, strip.class_id, 0) for f in _cut(strip, view.z)]
        ground = len(entries)
        for instance, thing in enumerate(street.things, start=1):
            moved = np.array([0, 0, thing.speed * view.z / SPEED])
            entries += [
                (f, f.points + moved, thing.class_id, instance)
                for f in thing.faces
                if -15 < f.points[0, 2] + moved[2] - view.z < VIEW_DISTANCE
            ]
        points = [self._place(at) for _, at, _, _ in entries]
        centres = np.array([p.mean(axis=0) for p in points])
        distance = np.hypot(centres[:, 0], centres[:, 2])
        distance[:ground] = 1e6 - np.arange(ground)  # first, and in their own order
        owner = np.array([instance for *_, instance in entries])
        mean = np.bincount(owner, distance) / np.maximum(np.bincount(owner), 1)
        whole = np.array([False, *(thing.whole for thing in street.things)])
        distance = np.where(whole[owner], mean[owner], distance)
        normals = np.array([_normal(p) for p in points])
        lit = np.array([f.lit for f, *_ in entries])
        # A lit face that looks away from the camera is hidden behind others.
        away = np.einsum("ij,ij->i", normals, np.array([p[0] for p in points])) > 0
        order = [
            i for i in np.argsort(-distance, kind="stable") if not lit[i] or not away[i]
        ]
        names = list(PATTERNS)
        chosen = [entries[i] for i in order]
        self.points = [points[i] for i in order]
        self.pattern = np.array([names.index(f.pattern) for f, *_ in chosen])
        self.colour = np.array([f.colour for f, *_ in chosen], dtype=np.float32)
        self.class_id = np.array([class_id for *_, class_id, _ in chosen])
        self.instance = owner[order]
        self.lit, self.normal = lit[order], normals[order].astype(np.float32)
        self.height = centres[order, 1] + CAMERA_HEIGHT
        first = np.array([p[0] for p in self.points], dtype=np.float32)
        self.offset = np.einsum("ij,ij->i", self.normal, first)

    def _place(self, points: np.ndarray) -> np.ndarray:
        """From the street's coordinates to the camera's."""
        bend, slope = self.curvature
        x, y, z = points[:, 0], points[:, 1], points[:, 2] - self.view.z
        x = x - self.view.x + bend * z**2 / 2
        y = y - CAMERA_HEIGHT + slope * z**2 / 2
        c, s = np.cos(self.view.yaw), np.sin(self.view.yaw)
        return np.stack([c * x - s * z, y, s * x + c * z], axis=1)

    def unplace(self, points: np.ndarray) -> np.ndarray:
        """And back, so that patterns and shadows follow the road."""
        bend, slope = self.curvature
        c, s = float(np.cos(self.view.yaw)), float(np.sin(self.view.yaw))
        x, z = c * points[:, 0] + s * points[:, 2], c * points[:, 2] - s * points[:, 0]
        x = x + self.view.x - bend * z**2 / 2
        y = points[:, 1] + CAMERA_HEIGHT - slope * z**2 / 2
        return np.stack([x, y, z + self.view.z], axis=1)


def _cut(strip: Strip, z: float) -> list[Face]:
    """A strip of ground in pieces that are short near the camera and long far away."""
    edges = np.concatenate([[-8.0, 0.0], np.geomspace(0.6, VIEW_DISTANCE * 2, 36)]) + z
    edges = np.unique(np.clip(edges, *strip.z))
    (x0, x1), (y0, y1) = strip.x, strip.y
    return [
        Face(
            np.array([(x0, y0, a), (x0, y0, b), (x1, y1, b), (x1, y1, a)]),
            strip.colour,
            strip.pattern,
        )
        for a, b in pairwise(edges)
    ]


def _normal(points: np.ndarray) -> np.ndarray:
    # numpy's own cross product takes ten times as long for a single one.
    (ax, ay, az), (bx, by, bz) = points[1] - points[0], points[2] - points[0]
    normal = np.array([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])
    return normal / max(float(np.sqrt(normal @ normal)), 1e-9)


def _paint(faces: _Faces, camera: _Camera) -> np.ndarray:
    """The number of the face that each pixel shows, -1 for the sky."""
    picture = Image.new("I", (camera.width, camera.height), -1)
    draw = ImageDraw.Draw(picture)
    for number, points in enumerate(faces.points):
        points = points if points[:, 2].min() >= NEAR else _clip(points)
        if len(points) >= 3:
            draw.polygon(camera.project(points).ravel().tolist(), fill=number)
    return np.asarray(picture)


def _clip(points: np.ndarray) -> np.ndarray:
    """Cut off what is too near, or behind the camera."""
    kept = []
    for a, b in zip(points, np.roll(points, -1, axis=0)):
        if a[2] >= NEAR:
            kept.append(a)
        if (a[2] >= NEAR) != (b[2] >= NEAR):
            kept.append(a + (b - a) * (NEAR - a[2]) / (b[2] - a[2]))
    return np.array(kept)


def _shade(faces: _Faces, camera: _Camera, numbers, street: Street, noise: Noise):
    """The colour of each pixel that shows a face, [N, 3]."""
    rows, columns = np.nonzero(numbers >= 0)
    number, rays = numbers[rows, columns], camera.rays(rows, columns)
    normal = faces.normal[number]
    slant = np.einsum("ij,ij->i", normal, rays)
    depth = faces.offset[number] / np.where(np.abs(slant) < 1e-4, 1e-4, slant)
    depth = np.clip(depth, NEAR, 4 * VIEW_DISTANCE)
    place = faces.unplace(rays * depth[:, None])
    upwards, sideways = np.abs(normal[:, 1]) > 0.6, np.abs(normal[:, 0]) > 0.6
    u = np.where(sideways & ~upwards, place[:, 2], place[:, 0])
    v = np.where(upwards, place[:, 2], place[:, 1])
    # Seen at a slant, a pixel covers more of the surface.
    pixel = depth / camera.focal / np.clip(np.abs(slant), 0.08, 1)
    factor, pattern = np.ones(len(number), np.float32), faces.pattern[number]
    for index, surface in enumerate(PATTERNS.values()):
        here = np.flatnonzero(pattern == index)
        factor[here] = surface(noise, u[here], v[here], pixel[here])
    sun = street.weather["sun"]
    facing = np.clip(faces.normal @ street.sun.astype(np.float32), 0, 1)
    facing = np.where(faces.lit, facing, 0.5)[number]
    # The sky gives more light to what looks up.
    light = (1 - sun) * (0.75 + 0.25 * normal[:, 1])
    light += 1.6 * sun * facing * (1 - _shadow(faces, street, place, number))
    light *= np.clip(factor, 0, 3)
    haze = 1 - np.exp(-depth / street.weather["haze"])[:, None]
    colour = faces.colour[number] * _colour(street, "light") * light[:, None]
    return colour * (1 - haze) + 0.9 * _colour(street, "horizon") * haze


def _colour(street: Street, name: str) -> np.ndarray:
    return np.array(street.weather[name], dtype=np.float32)


def _shadow(faces: _Faces, street: Street, places: np.ndarray, number: np.ndarray):
    """How much of the sun is taken from each place, 0 to 1."""
    if street.weather["sun"] < 0.2:
        return 0.0
    # Where a ray of the sun through a place reaches the ground, in pixels.
    lean = street.sun[[0, 2]] / street.sun[1]
    corner = np.array([SHADOW_X[0], SHADOW_Z[0] + faces.view.z])

    def fall(points: np.ndarray) -> np.ndarray:
        return (points[:, [0, 2]] - lean * points[:, 1:2] - corner) * SHADOW_SCALE

    size = [round((b - a) * SHADOW_SCALE) for a, b in (SHADOW_X, SHADOW_Z)]
    picture = Image.new("F", (size[0], size[1]), 0)
    draw = ImageDraw.Draw(picture)
    casters = np.flatnonzero((faces.instance > 0) & (faces.height > 0.2))
    for i in casters[np.argsort(faces.height[casters])]:
        outline = fall(faces.unplace(faces.points[i])).ravel().tolist()
        draw.polygon(outline, fill=float(faces.height[i]))
    column, row = np.clip(fall(places), 0, np.array(size) - 1).astype(np.int32).T
    # Above the ground only what is well overhead counts: a wall shall not shade itself.
    margin = np.where(faces.instance[number] == 0, 0.15, 2.5)
    return 0.9 * (np.asarray(picture)[row, column] > places[:, 1] + margin)


def _sky(street: Street, noise: Noise, camera: _Camera) -> np.ndarray:
    """From the zenith's colour to the horizon's, clouds in a plane above, and hills."""
    rows, columns = np.mgrid[: camera.height, : camera.width].astype(np.float32)
    rise = np.clip(1 - rows / camera.horizon, 0, 1)
    zenith, horizon = _colour(street, "zenith"), _colour(street, "horizon")
    sky = horizon + (zenith - horizon) * rise[..., None] ** 0.7
    away = 1 / np.clip(rise, 0.03, 1)
    u = (columns / camera.width - 0.5) * away
    cloud = 1.4 * noise.soft(u, away, 4.4) + 0.5 * noise.soft(u, away, 1.6)
    cover = np.clip(cloud + 0.9 * street.weather["clouds"] - 0.4, 0, 1)
    cover = (cover * np.clip(rise * 6, 0, 1))[..., None]
    bright = (1.1 - 0.35 * np.clip(cloud, 0, 1))[..., None]
    sky = sky * (1 - cover) + horizon * cover * bright
    ridge = 0.05 + 0.25 * noise.soft(columns / camera.width + street.phase, 0 * u, 4)
    hills = (rise < ridge)[..., None]
    return np.where(hills, horizon * (0.55, 0.60, 0.62), sky)


def _wet(image, faces: _Faces, numbers, camera: _Camera, wet: float, noise: Noise):
    """Darken road and pavement, and mirror in their puddles what stands above."""
    paved = (numbers >= 0) & (faces.instance[numbers] == 0)
    rows, columns = np.nonzero(paved & (faces.class_id[numbers] != classes.NONE))
    mirrored = np.clip(2 * int(camera.horizon) - rows, 0, camera.height - 1)
    rays = camera.rays(rows, columns)
    depth = np.clip(CAMERA_HEIGHT / np.clip(-rays[:, 1], 0.005, None), 0, 150)
    x, _, z = faces.unplace(rays * depth[:, None]).T
    puddle = np.clip(2.5 * noise.soft(x, z, 40) + 0.5, 0.1, 1)
    ripple = 1 + 0.6 * noise.at(x, z / 3, 0.06) + 0.5 * noise.at(x, z / 4, 0.25)
    # Water mirrors more the flatter one looks at it.
    share = wet * puddle * ripple * np.clip(0.25 + depth / 22, 0, 0.9)
    share = np.clip(share, 0, 0.9)[:, None]
    dark = image[rows, columns] * (1 - 0.45 * wet)
    image[rows, columns] = dark * (1 - share) + image[mirrored, columns] * share * 0.9


def _hood(image, mask, instances, street: Street, noise: Noise, rng) -> None:
    """The camera's own car, an instance of its own, with the sky in its lacquer."""
    height, width = mask.shape
    picture = Image.new("1", (width, height), 0)
    outline = [(x * width, y * height) for x, y in zip(HOOD_X, HOOD_Y)]
    ImageDraw.Draw(picture).polygon(outline, fill=1)
    hood = np.asarray(picture)
    rows, columns = np.nonzero(hood)
    into = (rows - np.argmax(hood, axis=0)[columns]) / (height * 0.165)
    shine = np.exp(-((into - rng.uniform(0.4, 1.0)) ** 2) / 0.06)
    clouds = 1 + 2 * noise.soft(columns / width, into / 3, rng.uniform(0.5, 3))
    lacquer = rng.uniform(0.01, 0.04) + rng.uniform(0.02, 0.2) * shine * clouds
    image[hood] = lacquer[:, None] * _colour(street, "horizon") * rng.uniform(0.7, 1.3)
    mask[hood], instances[hood] = classes.VEHICLES, instances.max() + 1


def _develop(rng, grain, image: np.ndarray) -> np.ndarray:
    """Exposure, contrast, blur, vignette and noise, as of a cheap lens and sensor."""
    height, width = (side // SUPERSAMPLING for side in image.shape[:2])
    image = image.reshape(height, SUPERSAMPLING, width, SUPERSAMPLING, 3).mean((1, 3))
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    image = image * (1 - rng.uniform(0.05, 0.25) * (x**2 + y**2)[..., None])
    image = image * rng.uniform(0.85, 1.25) * rng.normal(1, 0.03, 3)
    image = np.clip(image * 1.1, 0, 1) ** rng.uniform(0.8, 1.2)
    soft = Image.fromarray((image * 255).astype(np.uint8)).filter(
        ImageFilter.GaussianBlur(rng.uniform(0, 0.6) * width / 800)
    )
    noisy = np.asarray(soft) + grain.normal(0, rng.uniform(1, 4), image.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)

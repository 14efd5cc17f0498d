"""What stands where: a street as a list of things made of flat faces.

Metres; x to the right, y up from the road, z forwards from the camera. The
street runs straight along z: the renderer bends it. To add a kind of thing,
write a function that returns a :class:`Thing` and place it in
:func:`make_scene`.
"""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from unet_tutorial import classes

Colour = tuple[float, float, float]

# Measured on frames of the real set: the camera drives on the right of two lanes.
LEFT_KERB, CENTRE_LINE, RIGHT_KERB = -6.6, -2.4, 1.95
PAVEMENT_WIDTH = 4.5
VIEW_DISTANCE = 150.0
GREY, DARK, GLASS = (0.45, 0.45, 0.46), (0.06, 0.06, 0.07), (0.13, 0.17, 0.21)
SILL = (0.68, 0.66, 0.62)


@dataclass
class Face:
    """A flat polygon.

    ``points`` is [N, 3]. ``lit`` faces are shaded by their slope to the light;
    foliage and people are not. ``painted`` faces are colour only and leave the
    mask as it is: shadows, for example.
    """

    points: np.ndarray
    colour: Colour
    lit: bool = True
    painted: bool = False


@dataclass
class Thing:
    """An object of one class: the faces it is made of, drawn from far to near."""

    class_id: int
    faces: list[Face] = field(default_factory=list)

    @property
    def distance(self) -> float:
        return float(np.mean([face.points[:, 2].mean() for face in self.faces]))


@dataclass(frozen=True)
class Weather:
    """Light and air. Colours are 0 to 1; the sun's direction points towards it."""

    zenith: Colour
    horizon: Colour
    light: Colour
    sun: Colour
    ambient: float
    haze_distance: float
    clouds: float
    wet: float


WEATHERS = {
    "noon": Weather(
        zenith=(0.30, 0.44, 0.66),
        horizon=(0.72, 0.80, 0.87),
        light=(1.0, 0.98, 0.94),
        sun=(0.4, 0.7, -0.6),
        ambient=0.5,
        haze_distance=400.0,
        clouds=0.35,
        wet=0.0,
    ),
    "overcast": Weather(
        zenith=(0.46, 0.50, 0.54),
        horizon=(0.68, 0.71, 0.73),
        light=(0.74, 0.77, 0.80),
        sun=(0.3, 0.85, -0.4),
        ambient=0.65,
        haze_distance=220.0,
        clouds=0.6,
        wet=0.0,
    ),
    "rain": Weather(
        zenith=(0.32, 0.35, 0.38),
        horizon=(0.55, 0.58, 0.60),
        light=(0.50, 0.53, 0.57),
        sun=(0.3, 0.85, -0.4),
        ambient=0.65,
        haze_distance=130.0,
        clouds=0.7,
        wet=0.55,
    ),
    "dusk": Weather(
        zenith=(0.34, 0.34, 0.42),
        horizon=(0.95, 0.76, 0.52),
        light=(0.78, 0.62, 0.50),
        sun=(-0.7, 0.35, -0.6),
        ambient=0.42,
        haze_distance=260.0,
        clouds=0.6,
        wet=0.15,
    ),
}


@dataclass
class Scene:
    """One view: the ground's things in drawing order, the others, and the road's bend.

    ``bend`` is the road's curvature sideways and ``slope`` its curvature
    upwards, both in 1/m.
    """

    ground: list[Thing]
    things: list[Thing]
    weather: Weather
    bend: float
    slope: float


# --- solids -------------------------------------------------------------------


def quad(
    a: tuple, b: tuple, c: tuple, d: tuple, colour: Colour, lit: bool = True
) -> Face:
    return Face(np.array([a, b, c, d], dtype=float), colour, lit)


def prism(
    profile: list[tuple[float, float]], x0: float, x1: float, colour: Colour
) -> list[Face]:
    """A solid with the same (z, y) outline, counter-clockwise, from x0 to x1."""
    near = [(x0, y, z) for z, y in profile]
    far = [(x1, y, z) for z, y in profile]
    faces = [
        Face(np.array(near, float), colour),
        Face(np.array(far[::-1], float), colour),
    ]
    for i in range(len(profile)):
        j = (i + 1) % len(profile)
        faces.append(quad(near[j], near[i], far[i], far[j], colour))
    return faces


def box(
    x0: float, x1: float, y0: float, y1: float, z0: float, z1: float, colour: Colour
):
    return prism([(z0, y0), (z1, y0), (z1, y1), (z0, y1)], x0, x1, colour)


def blob(
    rng, x: float, y: float, z: float, width: float, height: float, colour: Colour
) -> Face:
    """An irregular round patch that faces the camera."""
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    radii = rng.uniform(0.7, 1.1, angles.size)
    outline = [
        x + width / 2 * radii * np.cos(angles),
        y + height / 2 * radii * np.sin(angles),
        np.full_like(angles, z),
    ]
    return Face(np.stack(outline, axis=1), colour, lit=False)


def shadow(x0: float, x1: float, z0: float, z1: float) -> Face:
    ground = [(x0, 0.01, z0), (x1, 0.01, z0), (x1, 0.01, z1), (x0, 0.01, z1)]
    return Face(np.array(ground, float), (0.07, 0.07, 0.08), lit=False, painted=True)


def _span(side: int, near: float, far: float) -> tuple[float, float]:
    """From left to right, what lies between two distances to one side."""
    left, right = sorted((side * near, side * far))
    return left, right


def vary(rng, colour: Colour, by: float = 0.06) -> Colour:
    r, g, b = np.clip(
        np.array(colour) + rng.normal(0, by / 2) + rng.normal(0, by / 3, 3), 0, 1
    )
    return float(r), float(g), float(b)


def pick(rng, *colours: Colour) -> Colour:
    return vary(rng, colours[rng.integers(len(colours))])


# --- things -------------------------------------------------------------------


def strip(class_id: int, x0: float, x1: float, colour: Colour) -> Thing:
    """A band of ground up to the horizon, in pieces that can follow a bend."""
    edges = np.geomspace(0.6, VIEW_DISTANCE * 3, 40)
    return Thing(
        class_id,
        [
            quad((x0, 0, a), (x1, 0, a), (x1, 0, b), (x0, 0, b), colour, lit=False)
            for a, b in pairwise(edges)
        ],
    )


def house(rng, side: int, x: float, z: float, length: float) -> Thing:
    """A house whose front stands at distance x to one side (-1 left, 1 right)."""
    storeys, storey = int(rng.integers(1, 5)), 3.0
    height, depth = storeys * storey, rng.uniform(7, 12)
    colour = pick(
        rng,
        (0.62, 0.58, 0.50),
        (0.55, 0.38, 0.30),
        (0.42, 0.45, 0.50),
        (0.72, 0.70, 0.66),
    )
    x0, x1 = _span(side, x, x + depth)
    faces = box(x0, x1, 0, height, z, z + length, colour)
    if storeys <= 2:
        ridge = [
            (z - 0.4, height),
            (z + length + 0.4, height),
            (z + length / 2, height + 2.4),
        ]
        faces += prism(
            ridge, x0 - 0.4, x1 + 0.4, pick(rng, (0.40, 0.22, 0.16), (0.25, 0.25, 0.28))
        )
    else:
        roof = vary(rng, DARK)
        faces += box(
            x0 - 0.3, x1 + 0.3, height, height + 0.4, z - 0.3, z + length + 0.3, roof
        )
    front = side * (x - 0.03)
    for level in range(storeys):
        y = level * storey + 1.0
        for start in np.arange(z + 1.0, z + length - 1.5, 2.8):
            opening = (y - 1.0, 2.1) if level == 0 and rng.random() < 0.2 else (y, 1.4)
            for grow, fill in ((0.12, SILL), (0.0, vary(rng, GLASS, 0.1))):
                faces.append(
                    _upright(
                        side,
                        front,
                        opening[0] - grow,
                        opening[0] + opening[1] + grow,
                        start - grow,
                        start + 1.3 + grow,
                        fill,
                    )
                )
        for start in np.arange(x0 + 0.8, x1 - 1.5, 2.8):
            faces.append(
                _facing_us(
                    start, start + 1.3, y, y + 1.4, z - 0.03, vary(rng, GLASS, 0.1)
                )
            )
    return Thing(classes.BUILDINGS, faces)


def _upright(
    side: int, x: float, y0: float, y1: float, z0: float, z1: float, colour: Colour
) -> Face:
    """A flat piece that faces the road from one side."""
    corners = [(x, y0, z1), (x, y0, z0), (x, y1, z0), (x, y1, z1)]
    return Face(np.array(corners if side < 0 else corners[::-1], float), colour)


def _facing_us(
    x0: float, x1: float, y0: float, y1: float, z: float, colour: Colour
) -> Face:
    """A flat piece across the road."""
    return quad((x0, y0, z), (x0, y1, z), (x1, y1, z), (x1, y0, z), colour)


def wall(rng, side: int, x: float, z: float, length: float) -> Thing:
    colour = pick(rng, (0.55, 0.53, 0.50), (0.50, 0.36, 0.30), (0.66, 0.64, 0.60))
    height = rng.uniform(0.8, 2.4)
    x0, x1 = _span(side, x, x + 0.3)
    faces = box(x0, x1, 0, height, z, z + length, colour)
    return Thing(
        classes.WALLS,
        faces + box(x0 - 0.06, x1 + 0.06, height, height + 0.12, z, z + length, SILL),
    )


def fence(rng, side: int, x: float, z: float, length: float) -> Thing:
    colour = pick(rng, (0.35, 0.27, 0.20), (0.22, 0.23, 0.24), (0.75, 0.74, 0.70))
    height = rng.uniform(1.0, 1.5)
    faces = []
    for start in np.arange(z, z + length, 1.5):
        faces += box(
            side * x - 0.05, side * x + 0.05, 0, height, start, start + 0.1, colour
        )
    for y in (0.45, height - 0.1):
        faces += box(
            side * x - 0.03, side * x + 0.03, y, y + 0.09, z, z + length, colour
        )
    return Thing(classes.FENCES, faces)


def hedge(rng, side: int, x: float, z: float, length: float) -> Thing:
    height = rng.uniform(0.7, 1.6)
    x0, x1 = _span(side, x, x + 0.8)
    return Thing(
        classes.VEGETATION,
        box(x0, x1, 0, height, z, z + length, vary(rng, (0.10, 0.24, 0.08))),
    )


def tree(rng, x: float, z: float) -> Thing:
    height, width = rng.uniform(5, 11), rng.uniform(3.5, 7.0)
    bark, leaf = (
        vary(rng, (0.20, 0.15, 0.10)),
        pick(rng, (0.10, 0.23, 0.07), (0.16, 0.28, 0.09), (0.08, 0.17, 0.07)),
    )
    trunk = box(x - 0.14, x + 0.14, 0, height * 0.6, z, z + 0.28, bark)
    crown = []
    for _ in range(26):
        up, out = rng.uniform(-0.5, 0.5), rng.normal(0, 0.2)
        shade = 0.75 + 0.5 * (up + 0.5)
        colour = vary(rng, (leaf[0] * shade, leaf[1] * shade, leaf[2] * shade), 0.04)
        crown.append(
            blob(
                rng,
                x + out * width * 1.4,
                height * (0.68 + 0.42 * up),
                z + rng.uniform(-1, 1),
                width * 0.42,
                height * 0.22,
                colour,
            )
        )
    return Thing(
        classes.VEGETATION,
        [shadow(x - width / 3, x + width / 3, z - 1, z + 1), *trunk, *crown],
    )


def palm(rng, x: float, z: float) -> Thing:
    height = rng.uniform(6, 9)
    leaf = vary(rng, (0.14, 0.27, 0.10))
    faces = box(
        x - 0.11, x + 0.11, 0, height, z, z + 0.22, vary(rng, (0.33, 0.27, 0.20))
    )
    for angle in np.linspace(-0.35, np.pi + 0.35, 9):
        tip = (x + 2.1 * np.cos(angle), height + 1.1 * np.sin(angle) - 0.5, z)
        middle = (x + 1.1 * np.cos(angle), height + 0.5 + 0.7 * np.sin(angle), z)
        below = (middle[0], middle[1] - 0.35, z)
        faces.append(
            quad((x, height, z), middle, tip, below, vary(rng, leaf, 0.04), lit=False)
        )
    return Thing(classes.VEGETATION, faces)


def lamp(rng, side: int, x: float, z: float) -> Thing:
    height = rng.uniform(5.5, 7.5)
    colour = vary(rng, GREY)
    arm = _span(side, x, x - 1.6)
    faces = box(side * x - 0.09, side * x + 0.09, 0, height, z, z + 0.18, colour)
    faces += box(*arm, height - 0.14, height, z, z + 0.14, colour)
    return Thing(
        classes.POLES,
        faces
        + box(arm[0], arm[0] + 0.5, height - 0.25, height - 0.1, z, z + 0.2, SILL),
    )


def sign(rng, side: int, x: float, z: float) -> list[Thing]:
    """A traffic sign and its pole: two things, since they are two classes."""
    x, top = side * x, rng.uniform(2.1, 2.9)
    pole = Thing(classes.POLES, box(x - 0.04, x + 0.04, 0, top, z, z + 0.08, GREY))
    corners = int(rng.choice([3, 4, 8, 20]))
    turn = np.pi / corners - np.pi / 2
    colour = pick(rng, (0.75, 0.10, 0.10), (0.10, 0.25, 0.65), (0.90, 0.72, 0.10))
    plate = []
    for radius, fill, forward in ((0.40, (0.9, 0.9, 0.9), 0.02), (0.33, colour, 0.03)):
        angles = turn + np.arange(corners) * 2 * np.pi / corners
        rim = [
            (x + radius * np.cos(a), top + radius * np.sin(a), z - forward)
            for a in angles
        ]
        plate.append(Face(np.array(rim), fill, lit=False))
    return [pole, Thing(classes.TRAFFIC_SIGNS, plate)]


def traffic_light(rng, side: int, x: float, z: float) -> list[Thing]:
    x = side * x
    pole = Thing(classes.POLES, box(x - 0.07, x + 0.07, 0, 3.2, z, z + 0.14, GREY))
    lamps = box(x - 0.2, x + 0.2, 2.4, 3.4, z - 0.3, z - 0.05, (0.72, 0.55, 0.10))
    lit = int(rng.integers(3))
    for i, colour in enumerate(
        [(0.95, 0.12, 0.10), (0.95, 0.70, 0.15), (0.15, 0.90, 0.30)]
    ):
        bulb = blob(
            rng, x, 3.2 - 0.3 * i, z - 0.31, 0.26, 0.26, colour if i == lit else DARK
        )
        lamps.append(bulb)
    return [pole, Thing(classes.TRAFFIC_SIGNS, lamps)]


def vehicle(rng, x: float, z: float, towards: bool) -> Thing:
    """A car, a van or a small lorry; ``towards`` shows its front."""
    kind = rng.choice(["car", "van", "lorry"], p=[0.7, 0.2, 0.1])
    width, length, body, roof = {
        "car": (1.75, 4.2, 0.95, 1.48),
        "van": (1.9, 4.8, 1.10, 2.1),
        "lorry": (2.2, 6.5, 1.15, 2.9),
    }[str(kind)]
    colour = pick(
        rng,
        (0.75, 0.75, 0.76),
        (0.55, 0.06, 0.06),
        (0.10, 0.22, 0.48),
        (0.09, 0.09, 0.10),
        (0.78, 0.62, 0.12),
        (0.16, 0.33, 0.25),
    )
    x0, x1 = x - width / 2, x + width / 2
    faces = [shadow(x0 - 0.15, x1 + 0.15, z - 0.2, z + length + 0.2)]
    for wheel in (z + length * 0.74, z + length * 0.08):
        for left in (x0 + 0.02, x1 - 0.24):
            faces += box(left, left + 0.22, 0, 0.62, wheel, wheel + 0.62, DARK)
    faces += box(x0, x1, 0.28, body, z, z + length, colour)
    slant = 0.0 if kind == "lorry" else 0.45
    cabin = [
        (z + 0.3, body),
        (z + length * 0.75, body),
        (z + length * 0.75 - 2 * slant, roof),
        (z + 0.3 + slant, roof),
    ]
    faces += prism(cabin, x0 + 0.1, x1 - 0.1, colour)
    pane = [(x0 + 0.25, body + 0.06, z + 0.3), (x1 - 0.25, body + 0.06, z + 0.3)]
    top = [
        (x1 - 0.32, roof - 0.1, z + 0.28 + slant),
        (x0 + 0.32, roof - 0.1, z + 0.28 + slant),
    ]
    faces.append(
        Face(np.array([*pane, *top], float)[::-1] - (0, 0, 0.03), vary(rng, GLASS))
    )
    for side, edge in ((1, x0 + 0.08), (-1, x1 - 0.08)):
        faces.append(
            _upright(
                side,
                edge,
                body + 0.06,
                roof - 0.12,
                z + 0.5 + slant,
                z + length * 0.7 - 2 * slant,
                GLASS,
            )
        )
    light = (0.95, 0.93, 0.80) if towards else (0.70, 0.05, 0.05)
    for left in (x0 + 0.08, x1 - 0.38):
        faces.append(_facing_us(left, left + 0.3, 0.62, 0.82, z - 0.03, light))
    return Thing(classes.VEHICLES, faces)


def pedestrian(rng, x: float, z: float) -> Thing:
    tall, stride = rng.uniform(1.55, 1.9), rng.uniform(0.05, 0.25)
    coat = pick(
        rng,
        (0.55, 0.15, 0.15),
        (0.15, 0.22, 0.42),
        (0.62, 0.58, 0.48),
        (0.20, 0.20, 0.21),
    )
    trousers = pick(rng, (0.12, 0.13, 0.20), (0.25, 0.22, 0.18))
    faces = [shadow(x - 0.3, x + 0.3, z - 0.2, z + 0.2)]
    for foot in (x - stride, x + stride):
        leg = [
            (foot - 0.08, 0, z),
            (foot + 0.08, 0, z),
            (x + 0.1, 0.5 * tall, z),
            (x - 0.1, 0.5 * tall, z),
        ]
        faces.append(Face(np.array(leg), trousers, lit=False))
    faces.append(blob(rng, x, 0.66 * tall, z, 0.52, 0.42 * tall, coat))
    faces.append(
        blob(
            rng,
            x,
            0.93 * tall,
            z,
            0.24,
            0.27,
            pick(rng, (0.75, 0.56, 0.44), (0.36, 0.24, 0.18)),
        )
    )
    return Thing(classes.PEDESTRIANS, faces)


def bench(rng, side: int, x: float, z: float) -> Thing:
    wood = vary(rng, (0.42, 0.28, 0.16))
    x0, x1 = _span(side, x, x + 0.5)
    back = _span(side, x + 0.42, x + 0.5)
    faces = box(x0, x1, 0.38, 0.48, z, z + 1.7, wood) + box(
        *back, 0.48, 0.95, z, z + 1.7, wood
    )
    for leg in (z + 0.1, z + 1.5):
        faces += box(x0, x1, 0, 0.38, leg, leg + 0.1, DARK)
    return Thing(classes.OTHER, faces)


def bus_shelter(rng, side: int, x: float, z: float) -> Thing:
    frame = vary(rng, (0.30, 0.32, 0.34))
    x0, x1 = _span(side, x, x + 1.4)
    back = _span(side, x + 1.3, x + 1.4)
    faces = box(*back, 0, 2.3, z, z + 3.4, (0.40, 0.47, 0.50)) + box(
        x0, x1, 2.3, 2.5, z, z + 3.4, frame
    )
    for post in (z, z + 3.3):
        faces += box(side * x - 0.05, side * x + 0.05, 0, 2.3, post, post + 0.1, frame)
    return Thing(classes.OTHER, faces)


# --- the street ---------------------------------------------------------------


def make_scene(seed: tuple[int, int]) -> Scene:
    """A street, its things and its weather, wholly decided by the seed."""
    rng = np.random.default_rng(seed)
    weather = list(WEATHERS.values())[rng.integers(len(WEATHERS))]
    return Scene(
        ground=_ground(rng),
        things=[thing for side in (-1, 1) for thing in _roadside(rng, side)]
        + _traffic(rng),
        weather=weather,
        bend=float(rng.normal(0, 0.0025)),
        slope=float(rng.normal(0, 0.0003)),
    )


def _ground(rng) -> list[Thing]:
    asphalt, paving = vary(rng, (0.40, 0.40, 0.41)), vary(rng, (0.53, 0.51, 0.49))
    yellow, earth = (
        (0.78, 0.58, 0.10),
        pick(rng, (0.22, 0.30, 0.10), (0.36, 0.33, 0.25)),
    )
    ground = [
        strip(classes.NONE, -250, 250, earth),
        strip(classes.ROADS, LEFT_KERB, RIGHT_KERB, asphalt),
    ]
    ground += [
        strip(classes.ROAD_LINES, x, x + 0.14, yellow)
        for x in (CENTRE_LINE - 0.22, CENTRE_LINE + 0.08)
    ]
    if rng.random() < 0.4:
        edge = strip(
            classes.ROAD_LINES, RIGHT_KERB - 0.35, RIGHT_KERB - 0.23, (0.8, 0.8, 0.78)
        )
        ground.append(edge)
    for inner, outer in (
        (LEFT_KERB, LEFT_KERB - PAVEMENT_WIDTH),
        (RIGHT_KERB, RIGHT_KERB + PAVEMENT_WIDTH),
    ):
        ground.append(strip(classes.SIDEWALKS, *_span(1, inner, outer), paving))
        kerb = _span(1, inner, inner + (0.2 if inner > 0 else -0.2))
        ground.append(strip(classes.SIDEWALKS, *kerb, (0.36, 0.35, 0.34)))
    return ground


def _roadside(rng, side: int) -> list[Thing]:
    kerb = RIGHT_KERB if side > 0 else -LEFT_KERB
    edge = kerb + PAVEMENT_WIDTH
    things: list[Thing] = []
    z = rng.uniform(-8, 4)
    while z < VIEW_DISTANCE:
        length = rng.uniform(9, 24)
        kind = rng.choice(["house", "trees", "open"], p=[0.34, 0.48, 0.18])
        if kind == "house":
            things.append(
                house(rng, side, edge + rng.uniform(1.5, 7), z + 1, length - 2)
            )
        if kind == "trees" or rng.random() < 0.4:
            for _ in range(int(rng.integers(3, 8))):
                plant = palm if rng.random() < 0.15 else tree
                things.append(
                    plant(
                        rng,
                        side * (edge + rng.uniform(1.5, 12)),
                        z + rng.uniform(0, length),
                    )
                )
        border = rng.choice(
            ["wall", "fence", "hedge", "none"], p=[0.32, 0.28, 0.15, 0.25]
        )
        if border != "none":
            build = {"wall": wall, "fence": fence, "hedge": hedge}[str(border)]
            # In pieces, so that a long wall can follow a bend of the road.
            state = rng.bit_generator.state
            for start in np.arange(z, z + length, 3.0):
                rng.bit_generator.state = state
                things.append(
                    build(rng, side, edge + 0.2, start, min(3.0, z + length - start))
                )
        z += length
    lamps_at = np.arange(rng.uniform(6, 28), VIEW_DISTANCE, rng.uniform(22, 32))
    things += [lamp(rng, side, kerb + 0.5, z) for z in lamps_at]
    for place, chance, width in ((sign, 0.7, 0.7), (traffic_light, 0.35, 0.6)):
        if rng.random() < chance:
            things += place(rng, side, kerb + width, rng.uniform(9, 45))
    for piece, chance in ((bench, 0.5), (bus_shelter, 0.4)):
        if rng.random() < chance:
            things.append(piece(rng, side, kerb + 2.6, rng.uniform(8, 40)))
    for _ in range(int(rng.poisson(1.2))):
        things.append(
            pedestrian(rng, side * (kerb + rng.uniform(0.8, 3.5)), rng.uniform(7, 45))
        )
    return things


def _traffic(rng) -> list[Thing]:
    cars = []
    if rng.random() < 0.6:
        cars.append(vehicle(rng, rng.normal(0, 0.2), rng.uniform(7, 45), towards=False))
    for mean, x, nearest, farthest in (
        (1.0, -4.0, 9, 80),
        (0.5, LEFT_KERB - 0.7, 12, 60),
    ):
        cars += [
            vehicle(
                rng,
                x + rng.normal(0, 0.25),
                rng.uniform(nearest, farthest),
                towards=True,
            )
            for _ in range(int(rng.poisson(mean)))
        ]
    return cars

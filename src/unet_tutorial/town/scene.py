"""What stands where: a street as strips of ground and things made of flat faces.

Metres; x to the right of the middle of the road, y up, z along the road. The street
runs straight along z: the renderer bends it. Colours, shapes and light come from
``palette.yaml``. To add a kind of thing, write a function that returns a
:class:`Thing` and place it in ``_roadside``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from unet_tutorial import classes

Colour = tuple[float, ...]
Span = tuple[float, float]

VIEW_DISTANCE = 150.0
KERB_HEIGHT = 0.12
STOREY, BAY = 3.0, 2.8  # height and width of a house's window field
PALETTE = yaml.safe_load((Path(__file__).parent / "palette.yaml").read_text())


@dataclass
class Face:
    """A flat polygon: ``points`` [N, 3], a colour 0 to 1, and the name of a pattern.

    Patterns are those of :mod:`unet_tutorial.town.texture`. ``lit`` faces are shaded by
    their slope to the light and hidden from behind; leaves and people are not.
    """

    points: np.ndarray
    colour: Colour
    pattern: str = "plain"
    lit: bool = True


@dataclass
class Thing:
    """An object of one class; it may move along z, in metres per second.

    Its faces are drawn from far to near, or in their own order if it is ``whole``, as
    small things are whose details lie upon larger faces.
    """

    class_id: int
    faces: list[Face] = field(default_factory=list)
    speed: float = 0.0
    whole: bool = False


@dataclass(frozen=True)
class Strip:
    """Ground between two values of x and z; ``y`` are the heights of its two sides."""

    class_id: int
    x: Span
    y: Span
    z: Span
    colour: Colour
    pattern: str


@dataclass
class Street:
    """A street and its light.

    ``seed`` decided it, and decides how surfaces look; ``width`` is that of half the
    road; ``weather`` is one of the palette's; ``sun`` [3] points to the sun; ``bend``
    and ``slope`` are the largest curvatures sideways and upwards, in 1/m.
    """

    seed: tuple[int, ...]
    width: float
    ground: list[Strip]
    things: list[Thing]
    weather: dict[str, Any]
    sun: np.ndarray
    bend: float
    slope: float
    phase: float

    def curvature(self, z: float) -> tuple[float, float]:
        """Sideways and upwards where the camera stands, in 1/m."""
        wave = float(np.sin(z / 90 + self.phase))
        return self.bend * wave, self.slope * wave


def paint(rng, name: str, vary: float = 0.1) -> Colour:
    """One of the palette's colours of a name, a little lighter or darker."""
    colour = PALETTE["colours"][name][rng.integers(len(PALETTE["colours"][name]))]
    shift = 1 + rng.normal(0, vary) + rng.normal(0, vary / 3, 3)
    return tuple(np.clip(np.array(colour) * shift, 0.01, 1).tolist())


# --- solids -------------------------------------------------------------------------


def flat(points: list, colour: Colour, pattern: str = "plain", lit=False) -> Face:
    return Face(np.array(points, dtype=float), colour, pattern, lit)


def prism(outline: list, x: Span, colour: Colour, pattern: str = "plain") -> list[Face]:
    """A solid with the same (z, y) outline, counter-clockwise, between two x."""
    near = [(x[0], y, z) for z, y in outline]
    far = [(x[1], y, z) for z, y in outline]
    rim = zip(near, near[1:] + near[:1], far[1:] + far[:1], far)
    sides = [near, far[::-1], *([b, a, d, c] for a, b, c, d in rim)]
    return [flat(side, colour, pattern, lit=True) for side in sides]


def box(x: Span, y: Span, z: Span, colour: Colour, pattern: str = "plain"):
    """A solid between two values of each coordinate."""
    outline = [(z[0], y[0]), (z[1], y[0]), (z[1], y[1]), (z[0], y[1])]
    return prism(outline, span(*x), colour, pattern)


def post(x: float, z: float, radius: float, height: float, colour: Colour):
    return box(around(x, radius), (0, height), around(z, radius), colour)


def across(x: Span, y: Span, z: float, colour: Colour) -> Face:
    """A rectangle that faces the camera."""
    (x0, x1), (y0, y1) = x, y
    return flat([(x0, y0, z), (x0, y1, z), (x1, y1, z), (x1, y0, z)], colour)


def disc(centre: tuple, width: float, height: float, colour: Colour) -> Face:
    """A round patch that faces the camera."""
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    x, y = width / 2 * np.cos(angles), height / 2 * np.sin(angles)
    return Face(np.stack([x, y, 0 * x], axis=1) + centre, colour, lit=False)


def foliage(rng, centre: tuple, width: float, height: float, colour: Colour) -> Face:
    """A ragged patch of leaves that faces the camera."""
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    radii = 1 + 0.45 * rng.uniform(-1, 0.6, 40)
    x, y = width / 2 * radii * np.cos(angles), height / 2 * radii * np.sin(angles)
    return Face(np.stack([x, y, 0 * x], axis=1) + centre, colour, "leaves", lit=False)


def around(middle: float, by: float) -> Span:
    return middle - by, middle + by


def span(a: float, b: float) -> Span:
    return (a, b) if a < b else (b, a)


def pieces(z: float, length: float, size: float = 3.0) -> list[Span]:
    """Cut a length into pieces that can follow a bend."""
    edges = np.linspace(z, z + length, max(round(length / size), 1) + 1).tolist()
    return list(pairwise(edges))


# --- things beside the road: side is -1 for left and 1 for right, x the distance ------


def house(rng, side: int, x: float, z: float, length: float) -> list[Thing]:
    """In bays, so that a tree may stand before one and behind the next."""
    storeys = int(rng.choice(5, p=[0.2, 0.3, 0.2, 0.2, 0.1])) + 1
    height, front, back = storeys * STOREY, side * x, side * (x + rng.uniform(7, 12))
    plaster, roof, sill = (paint(rng, name) for name in ("plaster", "roof", "sill"))
    pattern = "facade" if rng.random() < 0.75 else "brick facade"
    balconies = storeys > 2 and rng.random() < 0.5
    ridge = ((front + back) / 2, height + 2.6)
    thing = Thing(classes.BUILDINGS)
    for bay, z0 in enumerate(np.arange(z, z + length - BAY, BAY)):
        z1 = z0 + BAY
        thing.faces += box((front, back), (0, height), (z0, z1), plaster, pattern)
        if storeys <= 2:
            eaves = (front - side * 0.5, height - 0.2)
            slope = [(*eaves, z0), (*eaves, z1), (*ridge, z1), (*ridge, z0)]
            thing.faces.append(flat(slope[::-side], roof, "tiles", lit=True))
            if bay == 0:
                gable = [(front, height, z0), (*ridge, z0), (back, height, z0)]
                thing.faces.append(flat(gable[::side], plaster, "plaster", lit=True))
        else:
            edge = (front - side * 0.4, back)
            thing.faces += box(edge, (height, height + 0.4), (z0, z1), roof)
        for level in range(1, storeys) if balconies and bay % 2 else ():
            rail, floor = (front - side * 1.1, front), level * STOREY
            around_it = (z0 + 0.2, z1 - 0.2)
            thing.faces += box(rail, (floor, floor + 0.9), around_it, sill)
    return [thing]


def wall(rng, side: int, x: float, z: float, length: float) -> list[Thing]:
    stone, sill, height = paint(rng, "stone"), paint(rng, "sill"), rng.uniform(0.8, 2.4)
    body, cap = (side * x, side * (x + 0.3)), (side * (x - 0.06), side * (x + 0.36))
    thing = Thing(classes.WALLS)
    for piece in pieces(z, length):
        thing.faces += box(body, (0, height), piece, stone, "brick")
        thing.faces += box(cap, (height, height + 0.12), piece, sill)
    return [thing]


def fence(rng, side: int, x: float, z: float, length: float) -> list[Thing]:
    colour, height = paint(rng, "fence"), rng.uniform(0.9, 1.4)
    gap = 0.35 if rng.random() < 0.5 else 1.6
    thing = Thing(classes.FENCES)
    for piece in pieces(z, length):
        for y in (0.4, height - 0.1):
            thing.faces += box(around(side * x, 0.03), (y, y + 0.09), piece, colour)
        for start in np.arange(*piece, gap):
            thing.faces += post(side * x, start, 0.045, height, colour)
    return [thing]


def hedge(rng, side: int, x: float, z: float, length: float) -> list[Thing]:
    green, height = paint(rng, "hedge"), rng.uniform(0.7, 1.8)
    thing = Thing(classes.VEGETATION)
    for piece in pieces(z, length, 1.5):
        body = (side * x, side * (x + 0.9))
        thing.faces += box(body, (0, height), piece, green, "leaves")
        top = (side * (x + 0.3), height, sum(piece) / 2)
        thing.faces.append(foliage(rng, top, 1.3, 0.6, green))
    return [thing]


def tree(rng, x: float, z: float) -> Thing:
    """A trunk and a crown of ragged patches: round, tall as a poplar, or a conifer."""
    kinds = [(9, 7, 0.35), (12, 4.5, 0.15), (11, 5, 0.08)]
    height, width, low = kinds[rng.choice(3, p=[0.7, 0.15, 0.15])]
    height, conifer, leaf = (
        height * rng.uniform(0.6, 1.3),
        low < 0.1,
        paint(rng, "leaf"),
    )
    faces = post(x, z, 0.16, height * 0.6, paint(rng, "bark"))
    for up in np.sort(rng.uniform(0, 1, 36)):
        round_here = np.sqrt(max(1 - (1.7 * up - 0.75) ** 2, 0.05))
        spread = 1 - up if conifer else round_here
        out = rng.uniform(-0.5, 0.5) * width * spread * 0.75
        centre = (x + out, height * (low + up * (1 - low)), z + rng.uniform(-1.2, 1.2))
        size = width * (0.18 + 0.24 * spread) * rng.uniform(0.6, 1.2)
        shade = rng.uniform(0.6, 1.0) + 0.5 * up
        colour = tuple(shade * part for part in leaf)
        faces.append(foliage(rng, centre, size, 0.8 * size, colour))
    return Thing(classes.VEGETATION, faces)


def palm(rng, x: float, z: float) -> Thing:
    height, leaf = rng.uniform(6, 10), paint(rng, "leaf")
    faces = post(x, z, 0.13, height, paint(rng, "bark"))
    for angle in np.linspace(-0.4, np.pi + 0.4, 10) + rng.normal(0, 0.12, 10):
        reach, top = rng.uniform(1.6, 2.6), height + 0.9 * np.sin(angle) + 0.2
        middle, tip = x + 0.55 * reach * np.cos(angle), x + reach * np.cos(angle)
        fan = [(x, height, z), (middle, top, z), (tip, top - rng.uniform(0.3, 1.2), z)]
        faces.append(flat([*fan, (middle, top - 0.4, z)], leaf, "leaves"))
    return Thing(classes.VEGETATION, faces)


def bush(rng, x: float, z: float) -> Thing:
    thing, size = Thing(classes.VEGETATION), rng.uniform(0.8, 2.2)
    for up in (0.45, 0.3, 0.3):
        centre = (x + rng.normal(0, size / 4), size * up, z + rng.normal(0, 0.3))
        thing.faces.append(foliage(rng, centre, size, 0.8 * size, paint(rng, "hedge")))
    return thing


def lamp(rng, side: int, x: float, z: float) -> list[Thing]:
    height, colour = rng.uniform(5.0, 7.5), paint(rng, "pole")
    reach = side * (x - rng.uniform(1.2, 2.0))
    arm, head = (side * x, reach), (reach, reach + side * 0.6)
    faces = post(side * x, z, 0.09, height, colour)
    faces += box(arm, (height - 0.12, height), around(z, 0.06), colour)
    faces += box(head, (height - 0.22, height - 0.06), around(z, 0.12), colour)
    return [Thing(classes.POLES, faces)]


def sign(rng, side: int, x: float, z: float) -> list[Thing]:
    """A traffic sign and its pole: two things, since they are two classes."""
    x, top, corners = side * x, rng.uniform(2.0, 2.7), int(rng.choice([3, 4, 8, 20]))
    angles = np.pi / corners - np.pi / 2 + np.arange(corners) * 2 * np.pi / corners
    plate = []
    for r, colour, before in ((0.38, "white", 0.06), (0.31, "sign", 0.07)):
        rim = [(x + r * np.cos(a), top + r * np.sin(a), z - before) for a in angles]
        plate.append(flat(rim, paint(rng, colour)))
    pole = Thing(classes.POLES, post(x, z, 0.04, top, paint(rng, "pole")))
    return [pole, Thing(classes.TRAFFIC_SIGNS, plate, whole=True)]


def traffic_light(rng, side: int, x: float, z: float) -> list[Thing]:
    x, lit = side * x, int(rng.integers(3))
    case = paint(rng, "traffic light")
    faces = box(around(x, 0.2), (2.4, 3.4), (z - 0.3, z - 0.05), case)
    for i, colour in enumerate([(1.0, 0.1, 0.1), (1.0, 0.65, 0.1), (0.1, 0.95, 0.3)]):
        shown = colour if i == lit else paint(rng, "dark")
        faces.append(disc((x, 3.2 - 0.3 * i, z - 0.31), 0.24, 0.24, shown))
    pole = Thing(classes.POLES, post(x, z, 0.07, 3.2, paint(rng, "pole")))
    return [pole, Thing(classes.TRAFFIC_SIGNS, faces, whole=True)]


def bench(rng, side: int, x: float, z: float) -> list[Thing]:
    wood, dark = paint(rng, "wood"), paint(rng, "dark")
    seat, back = (side * x, side * (x + 0.5)), (side * (x + 0.42), side * (x + 0.5))
    faces = box(seat, (0.38, 0.48), (z, z + 1.7), wood)
    faces += box(back, (0.48, 0.95), (z, z + 1.7), wood)
    for leg in (z + 0.1, z + 1.5):
        faces += box(seat, (0, 0.38), (leg, leg + 0.1), dark)
    return [Thing(classes.OTHER, faces)]


def bus_shelter(rng, side: int, x: float, z: float) -> list[Thing]:
    frame, roof = paint(rng, "shelter"), (side * x, side * (x + 1.4))
    faces = box((side * (x + 1.3), roof[1]), (0, 2.3), (z, z + 3.4), frame)
    faces += box(roof, (2.3, 2.5), (z, z + 3.4), frame)
    for corner in (z, z + 3.3):
        faces += post(side * x, corner, 0.05, 2.3, frame)
    return [Thing(classes.OTHER, faces)]


def litter_bin(rng, side: int, x: float, z: float) -> list[Thing]:
    radius, height = rng.uniform(0.15, 0.35), rng.uniform(0.6, 1.1)
    faces = post(side * x, z, radius, height, paint(rng, "bin"))
    return [Thing(classes.OTHER, faces)]


def pedestrian(rng, x: float, z: float) -> Thing:
    tall, stride = rng.uniform(1.5, 1.9), rng.uniform(0.05, 0.25)
    legs, hip, cloth = [], 0.5 * tall, paint(rng, "trousers")
    for foot in (x - stride, x + stride):
        leg = [(foot - 0.08, 0, z), (foot + 0.08, 0, z), (x + 0.1, hip, z)]
        legs.append(flat([*leg, (x - 0.1, hip, z)], cloth))
    coat = disc((x, 0.66 * tall, z - 0.01), 0.5, 0.42 * tall, paint(rng, "coat"))
    head = disc((x, 0.93 * tall, z - 0.02), 0.22, 0.26, paint(rng, "skin"))
    walk = float(rng.normal(0, 0.8))
    return Thing(classes.PEDESTRIANS, [*legs, coat, head], walk, whole=True)


# --- things on the road ---------------------------------------------------------------


def vehicle(rng, x: float, z: float, towards: bool) -> Thing:
    """One of the palette's shapes: we see its rear, or its front if ``towards`` us."""
    shapes = list(PALETTE["vehicles"].values())
    shape = shapes[rng.choice(len(shapes), p=[shape["share"] for shape in shapes])]
    length, body, roof, lean = (shape[k] for k in ("length", "body", "roof", "lean"))
    (rear, front), (left, right) = shape["cabin"], around(x, shape["width"] / 2)
    lacquer, glass, dark = (paint(rng, name) for name in ("lacquer", "glass", "dark"))

    def solid(outline: list, x: Span) -> list[Face]:
        """From distances to the rear, turned round if it comes towards us."""
        points = [(z + (length - d if towards else d), y) for d, y in outline]
        return prism(points[::-1] if towards else points, x, lacquer, "metal")

    wheels, tyres = [], []
    for wheel in (z + 0.2 * length, z + 0.8 * length):
        for i, tyre in enumerate(
            [(left - 0.02, left + 0.2), (right - 0.2, right + 0.02)]
        ):
            wheels += box(tyre, (0, 0.62), around(wheel, 0.31), dark)
            tyres.append(wheels[-6 + i])  # its outer side, before the hull
    hull = [(0, 0.25), (length, 0.25), (length, shape["bonnet"]), (front, body)]
    faces = wheels + solid([*hull, (0, body)], (left, right)) + tyres
    cabin = [
        (rear, body),
        (front, body),
        (front - 1.6 * lean, roof),
        (rear + lean, roof),
    ]
    faces += solid(cabin, (left + 0.08, right - 0.08))
    # The windows lie just before the cabin's sides, drawn in a little.
    middle, sill, top = (rear + front) / 2, body + 0.06, roof - 0.1
    panes = [
        (middle + 0.85 * (d - middle), sill if y == body else top) for d, y in cabin
    ]
    sides = solid(panes, (left + 0.06, right - 0.06))[:2]
    near = [d for d, _ in (cabin[1:3] if towards else (cabin[0], cabin[3]))]
    low, high = (z + (length - d if towards else d) - 0.03 for d in near)
    a, b = left + 0.2, right - 0.2
    screen = [
        (a, sill, low),
        (a + 0.1, top, high),
        (b - 0.1, top, high),
        (b, sill, low),
    ]
    faces += [replace(side, colour=glass, pattern="glass") for side in sides]
    faces.append(flat(screen, glass, "glass", lit=True))
    end, light = z - 0.03, paint(rng, "headlight" if towards else "tail light")
    for lamp_left in (left + 0.06, right - 0.40):
        faces.append(across((lamp_left, lamp_left + 0.34), (0.62, 0.80), end, light))
    faces.append(across(around(x, 0.25), (0.45, 0.57), end, paint(rng, "white")))
    faces.append(across((left, right), (0.25, 0.40), end, dark))
    return Thing(classes.VEHICLES, faces, -9.0 if towards else 7.0, whole=True)


# --- the street -----------------------------------------------------------------------


WEATHERS = tuple(PALETTE["weathers"])


def make_street(
    seed: tuple[int, ...],
    length: float = VIEW_DISTANCE,
    weathers: Sequence[str] = WEATHERS,
) -> Street:
    """A street of a length in metres, wholly decided by these three.

    The camera may stand at z = 0 and further on, up to ``length - VIEW_DISTANCE``.
    Its weather is one of ``weathers``, each as likely.
    """
    rng = np.random.default_rng(seed)
    weather = PALETTE["weathers"][weathers[int(rng.integers(len(weathers)))]]
    width, pavement = rng.uniform(3.2, 5.6), rng.uniform(1.5, 7.0)
    first = rng.uniform(15, 140)
    crossings = [z for z in np.arange(first, length, 140) if rng.random() < 0.6]
    turn = rng.choice([-1, 1]) * rng.uniform(0.3, 1.2)
    ahead, height = rng.choice([-1, 1]), rng.uniform(*weather["height"])
    sun = np.array([np.sin(turn), height, ahead * np.cos(turn)])
    things = _traffic(rng, width, length)
    for side in (-1, 1):
        things += _roadside(rng, side, width, pavement, length, crossings)
    return Street(
        seed,
        width,
        _ground(rng, width, pavement, length, crossings),
        things,
        weather,
        sun / np.linalg.norm(sun),
        bend=float(rng.normal(0, 0.009)),
        slope=float(rng.normal(0, 0.0006)),
        phase=float(rng.uniform(0, 2 * np.pi)),
    )


def _ground(rng, width, pavement, length, crossings) -> list[Strip]:
    """The road, higher in its middle; its lines; pavements; grass; side streets."""
    whole, camber, level = (-12.0, length + 60), -0.012 * width, (0.0, 0.0)
    asphalt, paving, kerb = (paint(rng, name) for name in ("asphalt", "paving", "kerb"))
    road = (asphalt, "asphalt" if rng.random() < 0.7 else "paving")
    line = (paint(rng, "yellow" if rng.random() < 0.85 else "white"), "paint")
    pavers = (paving, "paving")
    ground = [Strip(0, (-400, 400), level, whole, paint(rng, "grass"), "grass")]
    for z in crossings:
        wide, up = (-80.0, 80.0), (0.01, 0.01)
        ground.append(Strip(classes.SIDEWALKS, wide, up, around(z, 7), *pavers))
        ground.append(Strip(classes.ROADS, wide, up, around(z, 4), *road))
    ground.append(Strip(classes.ROADS, (-width, 0), (camber, 0), whole, *road))
    ground.append(Strip(classes.ROADS, (0, width), (0, camber), whole, *road))
    styles = [[(-0.22, -0.08), (0.08, 0.22)], [(-0.08, 0.08)], []]
    lines = styles[rng.choice(3, p=[0.8, 0.1, 0.1])]
    between = sorted([*whole, *(e for z in crossings for e in around(z, 4))])
    for block in zip(between[::2], between[1::2]):
        ground += [Strip(classes.ROAD_LINES, x, level, block, *line) for x in lines]
        for side in (-1, 1):
            for to, heights, look in (
                (pavement, (KERB_HEIGHT, KERB_HEIGHT), pavers),
                (0.25, (camber, KERB_HEIGHT), (kerb, "plain")),
            ):
                x = span(side * width, side * (width + to))
                y = heights if side > 0 else (heights[1], heights[0])
                ground.append(Strip(classes.SIDEWALKS, x, y, block, *look))
    if rng.random() < 0.2:
        white = (paint(rng, "white"), "paint")
        edge = (width - 0.4, width - 0.28)
        ground.append(Strip(classes.ROAD_LINES, edge, (camber, camber), whole, *white))
    return ground


def _roadside(rng, side, width, pavement, length, crossings) -> list[Thing]:
    edge, z = width + pavement, float(rng.uniform(-12, -2))
    built_up, green = rng.uniform(0.25, 0.7), rng.uniform(0.2, 0.9)
    things: list[Thing] = []
    while z < length:
        plot = float(rng.uniform(9, 26))
        if any(z - 8 < crossing < z + plot + 8 for crossing in crossings):
            z += 8.0
            continue
        if rng.random() < built_up:
            things += house(rng, side, edge + rng.uniform(0.5, 8), z + 1, plot - 2)
        for _ in range(rng.poisson(plot / 2.5 * green)):
            plant = (tree, palm, bush)[rng.choice(3, p=[0.65, 0.1, 0.25])]
            x = side * (edge + rng.uniform(1.2, 16))
            things.append(plant(rng, x, z + rng.uniform(0, plot)))
        border = rng.choice(4, p=[0.38, 0.12, 0.14, 0.36])
        if border < 3:
            things += (wall, fence, hedge)[border](rng, side, edge + 0.2, z, plot)
        z += plot
    for z in np.arange(rng.uniform(4, 28), length, rng.uniform(22, 40)):
        things += lamp(rng, side, width + rng.uniform(0.4, 0.9), z)
    # How far apart they are on average, and how far from the kerb.
    for piece, spacing, out in (
        (sign, 120, 0.7),
        (traffic_light, 220, 0.6),
        (bench, 90, 2.2),
        (bus_shelter, 150, 1.8),
        (litter_bin, 110, 0.8),
    ):
        for z in _along(rng, length, spacing):
            things += piece(rng, side, width + min(out, pavement - 0.3), z)
    for z in _along(rng, length, 100):
        things.append(pedestrian(rng, side * (width + rng.uniform(0.5, pavement)), z))
    return things


def _traffic(rng, width: float, length: float) -> list[Thing]:
    cars = [
        vehicle(rng, x + rng.normal(0, 0.2), z, towards)
        for x, spacing, towards in ((width / 2, 38, False), (-width / 2, 30, True))
        for z in _along(rng, length, spacing)
    ]
    for side in (-1, 1):
        if rng.random() < 0.35:  # a row of parked cars
            for z in _along(rng, length, 20):
                parked = vehicle(rng, side * (width - 0.2), z, towards=side < 0)
                cars.append(replace(parked, speed=0.0))
    return cars


def _along(rng, length: float, spacing: float) -> list[float]:
    """Places at random, on average so far apart, and never on top of each other."""
    places = np.sort(rng.uniform(5, length, rng.poisson(length / spacing)))
    return [z for i, z in enumerate(places) if i == 0 or z - places[i - 1] > 6]

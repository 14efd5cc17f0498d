"""What ids mean: names and colours, and those of the Lyft/Udacity data."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Classes:
    """What the ids of a data set's masks mean.

    ``names`` and ``colours`` (``#rrggbb``) are in the order of the ids. Pixels with
    the id ``ignore_index`` count neither as right nor as wrong.
    """

    names: tuple[str, ...]
    colours: tuple[str, ...]
    ignore_index: int | None = None

    def __len__(self) -> int:
        return len(self.names)

    def colour(self, mask: np.ndarray) -> np.ndarray:
        """Ids [..., H, W] to colours [..., H, W, 3] uint8; ignored pixels are black."""
        table = np.zeros((256, 3), dtype=np.uint8)
        for class_id, colour in enumerate(self.colours):
            table[class_id] = list(bytes.fromhex(colour[1:]))
        return table[mask]


# The colours were chosen by a search that keeps every two of them apart for normal,
# red-blind, green-blind and blue-blind eyes; a test holds them to it.
_LYFT = {
    "None": "#d9caff",
    "Buildings": "#64460d",
    "Fences": "#e1c4a1",
    "Other": "#8f3a9a",
    "Pedestrians": "#ee0044",
    "Poles": "#d9fff0",
    "RoadLines": "#f4ff5f",
    "Roads": "#332b3a",
    "Sidewalks": "#b476e8",
    "Vegetation": "#009357",
    "Vehicles": "#2b18ca",
    "Walls": "#7a677f",
    "TrafficSigns": "#f78900",
}
LYFT = Classes(tuple(_LYFT), tuple(_LYFT.values()))

# The challenge asked for road and vehicles alone; their colours are those above.
LYFT_CHALLENGE = Classes(
    ("Other", "Road", "Vehicle"), (_LYFT["None"], _LYFT["Roads"], _LYFT["Vehicles"])
)

NONE, BUILDINGS, FENCES, OTHER, PEDESTRIANS, POLES, ROAD_LINES = range(7)
ROADS, SIDEWALKS, VEGETATION, VEHICLES, WALLS, TRAFFIC_SIGNS = range(7, 13)

"""The classes of the Lyft/Udacity (CARLA 0.8) data: ids, names and colours."""

import numpy as np

CLASS_NAMES = (
    "None",
    "Buildings",
    "Fences",
    "Other",
    "Pedestrians",
    "Poles",
    "RoadLines",
    "Roads",
    "Sidewalks",
    "Vegetation",
    "Vehicles",
    "Walls",
    "TrafficSigns",
)
NUM_CLASSES = len(CLASS_NAMES)

NONE, BUILDINGS, FENCES, OTHER, PEDESTRIANS, POLES, ROAD_LINES = range(7)
ROADS, SIDEWALKS, VEGETATION, VEHICLES, WALLS, TRAFFIC_SIGNS = range(7, 13)

# In the order of the class ids. Chosen by a search that keeps every two
# colours apart for normal, red-blind, green-blind and blue-blind eyes; a test
# holds them to it.
COLOURS = (
    "#d9caff",  # None
    "#64460d",  # Buildings
    "#e1c4a1",  # Fences
    "#8f3a9a",  # Other
    "#ee0044",  # Pedestrians
    "#d9fff0",  # Poles
    "#f4ff5f",  # RoadLines
    "#332b3a",  # Roads
    "#b476e8",  # Sidewalks
    "#009357",  # Vegetation
    "#2b18ca",  # Vehicles
    "#7a677f",  # Walls
    "#f78900",  # TrafficSigns
)
RGB = np.array([list(bytes.fromhex(colour[1:])) for colour in COLOURS], dtype=np.uint8)


def colour_mask(mask: np.ndarray) -> np.ndarray:
    """Class ids [..., H, W] to colours [..., H, W, 3] uint8."""
    return RGB[mask]

"""What can be had without a network: answers by colour and place alone."""

import torch
from torch import Tensor

from unet_tutorial.classes import Classes
from unet_tutorial.data.batches import Frames
from unet_tutorial.metrics import ConfusionMatrix

# The classifier knows so many shades of each channel, rows and columns.
SHADES, ROWS, COLUMNS = 8, 12, 16
# So many pixels of the cell's own mixture are added to the counts of each colour, so
# that one that was hardly seen there does not decide by chance.
PRIOR = 3.0


def score_colour(train: Frames, test: Frames, classes: Classes) -> ConfusionMatrix:
    """Answer for each pixel with the most frequent class of its colour and place.

    Colours are cut into 8 shades of each channel, the picture into 12 x 16 cells.

    Args:
        train: the frames to count in.
        test: the frames to answer for, of the same size.
        classes: what the ids mean.
    """
    keys, masks = _keys(train).flatten(), train.masks[train.rows].flatten().long()
    known = masks < len(classes)
    counts = torch.bincount(
        keys[known] * len(classes) + masks[known],
        minlength=ROWS * COLUMNS * SHADES**3 * len(classes),
    ).reshape(ROWS * COLUMNS, SHADES**3, len(classes))
    of_cell = counts.sum(dim=1, keepdim=True)
    counts = counts + PRIOR * of_cell / of_cell.sum(dim=2, keepdim=True).clamp_min(1)
    answers = counts.reshape(-1, len(classes)).argmax(dim=1)
    confusion = ConfusionMatrix(len(classes), classes.ignore_index)
    confusion.update(answers[_keys(test)], test.masks[test.rows])
    return confusion


def _keys(frames: Frames) -> Tensor:
    """A number for each pixel's cell and colour, [N, H, W]."""
    height, width = frames.images.shape[1:3]
    device = frames.images.device
    row = (torch.arange(height, device=device) * ROWS // height)[:, None]
    column = torch.arange(width, device=device) * COLUMNS // width
    red, green, blue = (frames.images[frames.rows] // (256 // SHADES)).long().unbind(-1)
    colour = (red * SHADES + green) * SHADES + blue
    return (row * COLUMNS + column) * SHADES**3 + colour

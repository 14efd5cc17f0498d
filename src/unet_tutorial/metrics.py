"""Every score, from one confusion matrix over a whole data set."""

import torch
from torch import Tensor


class ConfusionMatrix:
    """Counts of pixels by true class (rows) and predicted class (columns).

    Scores are read from the counts of the whole data set, never averaged over
    images or batches: a class that is rare in one image weighs what it weighs
    in all. A class that occurs in no mask scores NaN and is left out of means.

    Args:
        num_classes: C; ids are 0 to C-1.
        ignore_index: pixels whose true id is this are not counted.
    """

    def __init__(self, num_classes: int, ignore_index: int | None = None) -> None:
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.counts = torch.zeros(num_classes, num_classes, dtype=torch.int64)

    def update(self, predicted: Tensor, mask: Tensor) -> None:
        """Count predicted ids against true ids, two integer tensors of one shape."""
        self.counts = self.counts.to(mask.device)
        cells = mask.flatten().long() * self.num_classes + predicted.flatten().long()
        counted = torch.ones_like(cells)
        if self.ignore_index is not None:
            counted = (mask.flatten() != self.ignore_index).long()
            cells = cells * counted
        # Unlike bincount or picking out the valid ones, this does not let a GPU wait
        # to learn how many there are.
        self.counts.view(-1).index_add_(0, cells, counted)

    def _hits_misses_false_alarms(self) -> tuple[Tensor, Tensor, Tensor]:
        # On the CPU: Apple GPUs have no double precision.
        counts = self.counts.cpu().double()
        hits = counts.diagonal()
        return hits, counts.sum(1) - hits, counts.sum(0) - hits

    def iou(self) -> Tensor:
        """Intersection over union of each class, [C], 0 to 1; NaN where absent."""
        hits, misses, false_alarms = self._hits_misses_false_alarms()
        return self._where_present(hits / (hits + misses + false_alarms))

    def dice(self) -> Tensor:
        """Dice coefficient of each class, [C], 0 to 1; NaN where absent."""
        return self.f_score(beta=1)

    def f_score(self, beta: float) -> Tensor:
        """F score of each class, [C], 0 to 1; beta above 1 favours recall."""
        hits, misses, false_alarms = self._hits_misses_false_alarms()
        weighted = (1 + beta**2) * hits
        return self._where_present(
            weighted / (weighted + beta**2 * misses + false_alarms)
        )

    def _where_present(self, scores: Tensor) -> Tensor:
        return torch.where(self.counts.cpu().sum(1) > 0, scores, torch.nan)

    def miou(self) -> float:
        """Mean IoU over the classes that occur."""
        return float(self.iou().nanmean())

    def mean_dice(self) -> float:
        """Mean Dice coefficient over the classes that occur."""
        return float(self.dice().nanmean())

    def pixel_accuracy(self) -> float:
        """Share of pixels with the right class."""
        return float(self.counts.diagonal().sum() / self.counts.sum())


def road_and_vehicle(confusion: ConfusionMatrix) -> tuple[float, float]:
    """What the Lyft challenge judged by: F0.5 of the road and F2 of vehicles, 0 to 1.

    The first punishes what is falsely called road, the second what is missed of a
    vehicle. NaN where road or vehicle does not occur.

    Args:
        confusion: three classes, as
            :func:`unet_tutorial.data.target.lyft_target` makes them.
    """
    return float(confusion.f_score(beta=0.5)[1]), float(confusion.f_score(beta=2)[2])


def lyft_score(confusion: ConfusionMatrix) -> float:
    """The challenge's accuracy, 0 to 100: 100 (F0.5 of road + F2 of vehicle) / 2.

    Its penalty for slow programs is left out. The challenge's board was scored
    on a hidden drive with labels of its own, so a local score does not compare
    with it.

    Args:
        confusion: as :func:`road_and_vehicle` takes it.
    """
    return 50 * sum(road_and_vehicle(confusion))

"""The losses that the networks learn from."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from unet_tutorial.errors import check_known
from unet_tutorial.processes import add_up, is_shared

LOSS_NAMES = ("dice", "cross-entropy", "both")


def dice_sums(
    probabilities: Tensor, mask: Tensor, ignore_index: int | None = None
) -> Tensor:
    """What the Dice coefficients are made of, for each class; may be added up.

    Args:
        probabilities: [N, C, H, W], 0 to 1, summing to 1 over C.
        mask: [N, H, W], class ids 0 to C-1, or ``ignore_index``.
        ignore_index: pixels with this id count neither as right nor as wrong.

    Returns:
        The overlap of answer and mask and the size of each of the two, [3, C]. A class
        occurs in the mask where the last is above 0.
    """
    classes = torch.arange(probabilities.shape[1], device=mask.device)
    target = mask[:, None] == classes[:, None, None]
    if ignore_index is not None:
        valid = (mask != ignore_index)[:, None]
        target, probabilities = target & valid, probabilities * valid
    parts = (probabilities * target, probabilities, target)
    return torch.stack([part.sum((0, 2, 3), dtype=torch.float32) for part in parts])


def soft_dice(sums: Tensor) -> Tensor:
    r"""The soft Dice coefficient of each class, over all pixels of a batch.

    .. math::
        \mathrm{Dice}_c = \frac{2 \sum_i p_{ic}\, y_{ic}}{\sum_i p_{ic} + \sum_i y_{ic}}

    where :math:`p_{ic}` is the probability of class :math:`c` at pixel :math:`i`
    and :math:`y_{ic}` is 1 where the mask says :math:`c`, else 0.

    Args:
        sums: [3, C], as :func:`dice_sums` makes them.

    Returns:
        The coefficients [C], 0 to 1.
    """
    overlap, answered, true = sums
    # A class that neither occurs nor is predicted has 0/0; it is not counted.
    return 2 * overlap / (answered + true).clamp_min(1e-7)


class DiceLoss(nn.Module):
    """One minus the mean soft Dice coefficient of the classes in the batch's masks.

    The loss takes **logits** and applies the softmax itself: 0 for a perfect
    answer, near 1 for a useless one. Give it probabilities and it squashes them
    once more, so that even a perfect answer scores badly. Classes that do not
    occur in the batch are left out of the mean.

    F. Milletari, N. Navab, S.-A. Ahmadi: V-Net, 2016, https://arxiv.org/abs/1606.04797,
    which squares probabilities and mask below the line and has one class.

    Args:
        ignore_index: pixels of the mask with this id are left out.
    """

    def __init__(self, ignore_index: int | None = None) -> None:
        super().__init__()
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Logits [N, C, H, W] and class ids [N, H, W] to a scalar, 0 to 1."""
        # Sums over many pixels overflow in half precision.
        probabilities = logits.float().softmax(dim=1)
        sums = dice_sums(probabilities, mask.long(), self.ignore_index)
        if self.training:
            sums = add_up(sums)  # of all processes: the coefficients of the whole batch
        present = sums[2] > 0
        # Not picked out by an index: a GPU would wait to learn how many there are.
        lost = torch.where(present, 1 - soft_dice(sums), 0)
        # A batch without a single counted pixel has no class: its loss is 0, not NaN.
        return lost.sum() / present.sum().clamp_min(1)


class CrossEntropy(nn.Module):
    """The mean over pixels of minus the logarithm of the true class's probability.

    Use it where every pixel shall weigh the same; with class weights, or beside the
    Dice loss, where small classes shall not be lost.

    Args:
        ignore_index: pixels of the mask with this id are left out.
        class_weights: [C], how much a pixel of each class weighs.
        label_smoothing: share of the target, 0 to 1, that is spread evenly
            over the classes, against too certain networks and wrong labels.
    """

    def __init__(
        self,
        ignore_index: int | None = None,
        class_weights: Tensor | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.ignore_index = -100 if ignore_index is None else ignore_index
        self.label_smoothing = label_smoothing
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", class_weights)

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Logits [N, C, H, W] and class ids [N, H, W] to a scalar, 0 or more."""
        mask, weights = mask.long(), self.class_weights
        loss = functional.cross_entropy(
            logits.float(),
            mask,
            weights,
            ignore_index=self.ignore_index,
            reduction="sum",
            label_smoothing=self.label_smoothing,
        )
        counted = (mask != self.ignore_index).float()
        if weights is not None:
            counted = counted * weights[torch.where(counted > 0, mask, 0)]
        total = counted.sum()
        if self.training and is_shared():
            # The processes' gradients are averaged: each gives its part of the batch's.
            total = add_up(total) / torch.distributed.get_world_size()
        return loss / total.clamp_min(1e-7)


class BothLosses(nn.Module):
    """The sum of Dice loss and cross-entropy: overlap, and every single pixel.

    F. Isensee and others: nnU-Net, 2021, https://arxiv.org/abs/1904.08128.
    """

    def __init__(self, dice: DiceLoss, cross_entropy: CrossEntropy) -> None:
        super().__init__()
        self.dice, self.cross_entropy = dice, cross_entropy

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Logits [N, C, H, W] and class ids [N, H, W] to a scalar."""
        return self.dice(logits, mask) + self.cross_entropy(logits, mask)


def make_loss(
    name: str,
    ignore_index: int | None = None,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> nn.Module:
    """A loss by its name.

    Args:
        name: ``"dice"`` as in the report, ``"cross-entropy"`` or ``"both"``.
        ignore_index: pixels of the mask with this id are left out.
        class_weights: [C], for the cross-entropy only.
        label_smoothing: for the cross-entropy only.

    Raises:
        UserError: if the name is not known.
    """
    check_known("loss", name, LOSS_NAMES)
    dice = DiceLoss(ignore_index)
    cross_entropy = CrossEntropy(ignore_index, class_weights, label_smoothing)
    if name == "both":
        return BothLosses(dice, cross_entropy)
    return dice if name == "dice" else cross_entropy

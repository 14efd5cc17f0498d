"""The loss that the networks learn from."""

import torch
from torch import Tensor, nn
from torch.nn import functional


def soft_dice(
    probabilities: Tensor, mask: Tensor, ignore_index: int | None = None
) -> tuple[Tensor, Tensor]:
    r"""The soft Dice coefficient of each class, over all pixels of a batch.

    .. math::
        \mathrm{Dice}_c = \frac{2 \sum_i p_{ic}\, y_{ic}}{\sum_i p_{ic} + \sum_i y_{ic}}

    where :math:`p_{ic}` is the probability of class :math:`c` at pixel :math:`i`
    and :math:`y_{ic}` is 1 where the mask says :math:`c`, else 0.

    Args:
        probabilities: [N, C, H, W], 0 to 1, summing to 1 over C.
        mask: [N, H, W], class ids 0 to C-1, or ``ignore_index``.
        ignore_index: pixels with this id count neither as right nor as wrong.

    Returns:
        The coefficients [C], 0 to 1, and which classes occur in the mask, [C] of bool.
    """
    num_classes = probabilities.shape[1]
    valid = (
        torch.ones_like(mask, dtype=torch.bool)
        if ignore_index is None
        else mask != ignore_index
    )
    target = functional.one_hot(torch.where(valid, mask, 0), num_classes).movedim(-1, 1)
    target = target * valid[:, None]
    probabilities = probabilities * valid[:, None]
    pixels = (0, 2, 3)
    intersection = (probabilities * target).sum(pixels)
    cardinality = probabilities.sum(pixels) + target.sum(pixels)
    # A class that neither occurs nor is predicted has 0/0; it is not counted.
    dice = 2 * intersection / cardinality.clamp_min(1e-7)
    return dice, target.sum(pixels) > 0


class DiceLoss(nn.Module):
    """One minus the mean soft Dice coefficient of the classes in the batch's masks.

    The loss takes **logits** and applies the softmax itself: 0 for a perfect
    answer, near 1 for a useless one. Give it probabilities and it squashes them
    once more, so that even a perfect answer scores badly. Classes that do not
    occur in the batch are left out of the mean.

    F. Milletari, N. Navab, S.-A. Ahmadi: V-Net, 2016, https://arxiv.org/abs/1606.04797.

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
        dice, present = soft_dice(probabilities, mask.long(), self.ignore_index)
        # A batch without a single counted pixel has no class: its loss is 0, not NaN.
        return (1 - dice)[present].sum() / present.sum().clamp_min(1)

"""Let a network whose strides want sides divisible by some number take any size."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional


def pad_and_crop(
    network: Callable[[Tensor], Tensor], image: Tensor, multiple: int
) -> Tensor:
    """Run ``network`` on ``image`` padded to a multiple, and crop its output back.

    Args:
        network: maps [N, C, H, W] to [N, K, H, W] for sides divisible by ``multiple``.
        image: [N, C, H, W], any height and width. The right and bottom edges
            are repeated outwards, so that no false border appears in the image.
        multiple: 2 to the number of times that the network halves its input.

    Returns:
        [N, K, H, W], of the height and width of ``image``.
    """
    height, width = image.shape[-2:]
    padding = (0, -width % multiple, 0, -height % multiple)
    return network(functional.pad(image, padding, mode="replicate"))[
        ..., :height, :width
    ]

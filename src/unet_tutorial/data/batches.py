"""From pairs on disk to batches on the device."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from unet_tutorial.classes import LYFT, Classes
from unet_tutorial.data.pairs import Pair, read_pair

# The statistics of ImageNet, which pretrained encoders expect; a network
# trained from scratch does as well with them as with any others.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
to_network = v2.Compose(
    [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
)


@dataclass(frozen=True)
class Frames:
    """Decoded pairs: images [N, 3, H, W] and masks [N, H, W], both uint8."""

    images: Tensor
    masks: Tensor

    def __len__(self) -> int:
        return len(self.images)


def load_frames(
    pairs: list[Pair],
    size: tuple[int, int],
    classes: Classes = LYFT,
    on_pair: Callable[[int, int], None] = lambda done, total: None,
) -> Frames:
    """Decode pairs once, at the size of training, and keep them in memory.

    Images are resized bilinearly, masks to the nearest pixel: a mean of two
    class ids would be a third class. torchvision tells them apart by type.

    Args:
        pairs: what to read.
        size: height and width.
        classes: what the ids of the masks mean.
        on_pair: called with the number of pairs done and their total, after each.

    Raises:
        UserError: if a pair is faulty.
    """
    resize = v2.Resize(size, antialias=True)
    images = torch.empty(len(pairs), 3, *size, dtype=torch.uint8)
    masks = torch.empty(len(pairs), *size, dtype=torch.uint8)
    for i, pair in enumerate(pairs):
        image, mask = map(torch.tensor, read_pair(pair, classes))
        images[i], masks[i] = resize(
            tv_tensors.Image(image.permute(2, 0, 1)), tv_tensors.Mask(mask)
        )
        on_pair(i + 1, len(pairs))
    return Frames(images, masks)


def batches(
    frames: Frames,
    batch_size: int,
    device: torch.device | str = "cpu",
    generator: torch.Generator | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Go through the frames once.

    Args:
        frames: the decoded pairs.
        batch_size: the last batch may be smaller.
        device: where the batch is normalised and returned.
        generator: shuffles, and mirrors each image left to right with a probability
            of one half; without it the frames come in order and as they are.

    Yields:
        Normalised images [N, 3, H, W] float32 and masks [N, H, W] int64.
    """
    order = torch.arange(len(frames))
    if generator is not None:
        order = torch.randperm(len(frames), generator=generator)
    for chosen in order.split(batch_size):
        image = to_network(frames.images[chosen].to(device))
        mask = frames.masks[chosen].to(device).long()
        if generator is not None:
            mirrored = (torch.rand(len(chosen), generator=generator) < 0.5).to(device)
            image = torch.where(mirrored[:, None, None, None], image.flip(-1), image)
            mask = torch.where(mirrored[:, None, None], mask.flip(-1), mask)
        yield image, mask

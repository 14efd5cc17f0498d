"""From decoded frames to batches on the device, augmented there."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional

from unet_tutorial.errors import UserError, check_known
from unet_tutorial.hardware import usual_memory_format

# The statistics of ImageNet, which pretrained encoders expect; a network
# trained from scratch does as well with them as with any others.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# So many images share one draw of the augmentation on a GPU, which would wait longer
# for the small steps of one by one than for the network. A processor does not.
GPU_GROUP = 4
AUGMENTATIONS = ("none", "mirror", "full")


def to_network(image: Tensor) -> Tensor:
    """Bytes [..., 3, H, W] to normalised float32 of the same shape.

    As torchvision's ``Normalize``, which brings mean and deviation to the device anew
    each time, and so lets a GPU wait for the CPU.
    """
    image = functional.to_dtype(image, torch.float32, scale=True)
    for channel, mean, std in zip(image.unbind(-3), MEAN, STD):
        channel.sub_(mean).div_(std)
    return image


@dataclass(frozen=True)
class Frames:
    """Decoded pairs: images [M, H, W, 3] and masks [M, H, W], both uint8.

    Those that count are named by ``rows`` [N], in this order.
    """

    images: Tensor
    masks: Tensor
    rows: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, positions: Tensor) -> "Frames":
        """Those at some positions, in that order."""
        return replace(self, rows=self.rows[positions])

    def on(self, device: torch.device) -> "Frames":
        """On a GPU, if they take no more than a quarter of what is free there."""
        if device.type != "cuda":
            return self
        torch.cuda.empty_cache()  # what an earlier run no longer needs
        needed = len(self) * (self.images[0].numel() + self.masks[0].numel())
        if needed > torch.cuda.mem_get_info(device)[0] / 4:
            return self
        images, masks = self.images[self.rows], self.masks[self.rows]
        return Frames(images.to(device), masks.to(device), torch.arange(len(self)))


def make_augmentation(
    name: str, size: tuple[int, int], crop: tuple[int, int] | None = None
) -> v2.Transform:
    """What is done to images and masks in training, by name.

    Args:
        name: ``"none"``; ``"mirror"``, left to right, with a probability of one
            half; ``"full"``, which also moves by up to a quarter of the outcome, scales
            0.7 to 1.4 times and varies brightness, contrast and saturation.
        size: height and width of images and masks.
        crop: height and width of the outcome, a part at a random place, the same for
            images that are transformed at once; by default all of the image. In
            training each image has a draw of its own, on a GPU every four.

    Raises:
        UserError: if the name is not known, or the crop larger than the size.
    """
    check_known("augmentation", name, AUGMENTATIONS)
    (height, width), (crop_height, crop_width) = size, crop or size
    if crop_height > height or crop_width > width:
        raise UserError(
            f"crop {crop_height}x{crop_width}: is larger than the size, {height}x"
            f"{width}; choose a smaller one, or a larger size"
        )
    steps: list[v2.Transform] = []
    if name != "none":
        steps.append(v2.RandomHorizontalFlip())
    if name == "full":
        # Things must be made smaller, too: a network that saw them enlarged only would
        # miss the thin ones of whole pictures. At 0.7 times their size, 1.5 times the
        # height and width is enough to fill the outcome; beyond its edges a picture is
        # mirrored. The affine transform keeps masks on their images, which resizing
        # does not: its nearest pixel is the upper left of those that it could take.
        steps += [
            v2.RandomCrop(
                (3 * crop_height // 2, 3 * crop_width // 2),
                pad_if_needed=True,
                padding_mode="reflect",
            ),
            v2.RandomAffine(
                degrees=0, scale=(0.7, 1.4), interpolation=InterpolationMode.BILINEAR
            ),
            v2.CenterCrop((crop_height, crop_width)),
            v2.ColorJitter(brightness=0.3, contrast=0.3, saturation=0.3),
        ]
    elif crop is not None:
        steps.append(v2.RandomCrop(crop))
    return v2.Compose(steps) if steps else v2.Identity()


def batches(
    frames: Frames,
    batch_size: int,
    device: torch.device | str = "cpu",
    augment: v2.Transform | None = None,
    generator: torch.Generator | None = None,
    memory_format: torch.memory_format | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Go through the frames once, in their order.

    Args:
        frames: the decoded pairs.
        batch_size: the last batch may be smaller.
        device: where the batch is augmented, normalised and returned.
        augment: as :func:`make_augmentation` makes it.
        generator: decides the augmentation.
        memory_format: of the images; by default what
            :func:`unet_tutorial.hardware.usual_memory_format` says.

    Yields:
        Normalised images [N, 3, H, W] float32, and masks [N, H, W] int64.
    """
    device = torch.device(device)
    memory_format = memory_format or usual_memory_format(device)
    rows = frames.rows.to(frames.images.device)
    for chosen in rows.split(batch_size) if len(rows) else ():
        image = _bring(frames.images[chosen], device).permute(0, 3, 1, 2)
        mask = _bring(frames.masks[chosen], device)
        if augment is not None:
            image, mask = _augment(image, mask, augment, generator)
        image = image.contiguous(memory_format=memory_format)
        yield to_network(image), mask.long()


def _bring(tensor: Tensor, device: torch.device) -> Tensor:
    """To the device; to a GPU without waiting for the copy's end."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def _augment(
    image: Tensor,
    mask: Tensor,
    augment: v2.Transform,
    generator: torch.Generator | None,
) -> tuple[Tensor, Tensor]:
    """Augment a batch, image by image or in groups.

    The transforms draw from torch's one global generator, so that is set from ours
    and put back afterwards.
    """
    group = GPU_GROUP if image.device.type == "cuda" else 1
    seed = int(torch.randint(2**62, (), generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        groups = [
            augment(tv_tensors.Image(picture), tv_tensors.Mask(ids))
            for picture, ids in zip(image.split(group), mask.split(group))
        ]
    pictures, ids = zip(*groups)
    return torch.cat(pictures), torch.cat(ids)

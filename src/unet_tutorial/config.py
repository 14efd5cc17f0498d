"""What decides a run, with the report's values as defaults."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Config:
    """Everything that decides a run, apart from the data.

    The defaults for epochs, learning rate, augmentation, loss and schedule are those of
    the report.
    """

    model: str
    size: tuple[int, int]
    """Height and width at which the network sees the images, in pixels."""
    epochs: int = 100
    learning_rate: float = 0.0005
    batch_size: int = 8
    seed: int = 0
    base_channels: int = 16
    """Width of the first block of the network from scratch."""
    encoder_weights: str = "none"
    """What the ResNet34 starts from, ``imagenet``, ``none`` or the path of a file."""
    target: str | None = None
    """``lyft`` reduces the masks to road and vehicle; None leaves them as they are."""
    augment: str = "none"
    """``none``, ``mirror`` or ``full``, as
    :func:`unet_tutorial.data.batches.make_augmentation` takes it. Mirroring is for
    pictures in which left and right are alike: chapter 12 of the book."""
    crop: tuple[int, int] | None = None
    """Height and width of the part of each image that is learned from at a time, where
    whole ones of the size would take too long. Answers are given for whole images."""
    loss: str = "dice"
    """``dice`` as in the report; ``cross-entropy``; ``both`` is their sum. Which ends
    higher is to be tried: chapters 12 and 15 of the book do."""
    class_weights: str | None = None
    """``median`` weighs the cross-entropy of each class by the median share of the
    classes over its own, for sets with rare classes."""
    label_smoothing: float = 0.0
    """The share of the target, 0 to 1, that the cross-entropy spreads evenly over all
    classes, where labels are wrong here and there."""
    schedule: str | None = None
    """``cosine`` lets the learning rate rise for a moment and then fall to 0, which
    the last epochs gain from; None keeps it, as in the report."""
    clip: float | None = None
    """The largest norm of the gradient, for losses that jump."""
    accumulate: int = 1
    """Batches per step, for batches that do not fit into memory at once."""
    precision: str = "auto"
    """``32-true``, ``bf16-mixed``, or ``auto`` for the faster one on this machine. With
    the first, NVIDIA GPUs may still round inside convolutions (TF32), as torch lets
    them."""
    keep_every: int | None = None
    """Also keep the weights of every so many epochs."""

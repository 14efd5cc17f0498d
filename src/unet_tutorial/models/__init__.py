"""The two networks of the report, by name."""

from torch import nn

from unet_tutorial.errors import check_known
from unet_tutorial.models.resnet_unet import ResNet34UNet
from unet_tutorial.models.unet import UNet

MODEL_NAMES = ("scratch", "resnet34")


def build_model(name: str, num_classes: int, base_channels: int = 16) -> nn.Module:
    """Build a network with random weights.

    Args:
        name: ``"scratch"`` for the U-Net of :mod:`unet_tutorial.models.unet`,
            ``"resnet34"`` for that of :mod:`unet_tutorial.models.resnet_unet`.
        num_classes: number of logits per pixel.
        base_channels: width of the first block of ``"scratch"``; the ResNet34
            network has one width only.

    Raises:
        UserError: if the name is neither of the two.
    """
    check_known("model", name, MODEL_NAMES)
    if name == "scratch":
        return UNet(num_classes=num_classes, base_channels=base_channels)
    return ResNet34UNet(num_classes=num_classes)

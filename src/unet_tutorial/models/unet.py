"""The U-Net, written from scratch.

O. Ronneberger, P. Fischer, T. Brox: U-Net: Convolutional Networks for
Biomedical Image Segmentation, 2015, https://arxiv.org/abs/1505.04597.

Two things differ from that paper. The convolutions are padded, so that the
mask has the size of the image, and each is followed by batch normalisation
(S. Ioffe, C. Szegedy, 2015, https://arxiv.org/abs/1502.03167).
"""

import torch
from torch import Tensor, nn

from unet_tutorial.models.padding import pad_and_crop


class DoubleConv(nn.Sequential):
    """Two 3x3 convolutions, a ReLU after each: [N, in, H, W] to [N, out, H, W]."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            # No bias: the batch normalisation that follows brings its own.
            nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class Down(nn.Module):
    """One step of the encoder: keep the features as a skip, then halve them."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = DoubleConv(in_channels, out_channels)
        self.pool = nn.MaxPool2d(kernel_size=2)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """[N, in, H, W] to the skip [N, out, H, W] and its half, [N, out, H/2, W/2]."""
        skip = self.conv(features)
        return skip, self.pool(skip)


class Up(nn.Module):
    """One step of the decoder: double the features, join the skip, convolve."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(in_channels, out_channels, kernel_size=2, stride=2)
        self.conv = DoubleConv(2 * out_channels, out_channels)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """[N, in, H/2, W/2] and the skip [N, out, H, W] to [N, out, H, W]."""
        return self.conv(torch.cat([skip, self.up(features)], dim=1))


class UNet(nn.Module):
    """Encoder, bridge and decoder, joined by skip connections.

    Args:
        in_channels: channels of the image, 3 for RGB.
        num_classes: number of logits per pixel.
        base_channels: channels of the first block; each of the ``depth`` steps
            down doubles them. The paper has 64.
        depth: how often the encoder halves the image. The paper has 4.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 13,
        base_channels: int = 64,
        depth: int = 4,
    ) -> None:
        super().__init__()
        widths = [base_channels * 2**level for level in range(depth + 1)]
        self.multiple = 2**depth
        self.encoder = nn.ModuleList(
            Down(before, after)
            for before, after in zip([in_channels, *widths], widths[:-1])
        )
        self.bridge = DoubleConv(widths[-2], widths[-1])
        self.decoder = nn.ModuleList(
            Up(below, above) for below, above in zip(widths[:0:-1], widths[-2::-1])
        )
        self.head = nn.Conv2d(base_channels, num_classes, kernel_size=1)

    def forward(self, image: Tensor) -> Tensor:
        """Normalised images [N, in_channels, H, W] to logits [N, num_classes, H, W]."""
        return pad_and_crop(self._forward, image, self.multiple)

    def _forward(self, features: Tensor) -> Tensor:
        skips = []
        for down in self.encoder:
            skip, features = down(features)
            skips.append(skip)
        features = self.bridge(features)
        for up, skip in zip(self.decoder, reversed(skips)):
            features = up(features, skip)
        return self.head(features)

"""The U-Net with a ResNet34 as its encoder, by segmentation-models-pytorch.

K. He, X. Zhang, S. Ren, J. Sun: Deep Residual Learning for Image Recognition,
2015, https://arxiv.org/abs/1512.03385.
"""

from pathlib import Path
from urllib.request import Request, urlopen

import segmentation_models_pytorch as smp
from huggingface_hub import constants, hf_hub_download, hf_hub_url
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors import SafetensorError
from safetensors.torch import load_file
from segmentation_models_pytorch.encoders import encoders
from torch import Tensor, nn

from unet_tutorial.errors import UserError
from unet_tutorial.models.padding import pad_and_crop

# How long to wait for the first answer of the weights' host: a reader without
# a network should know within ten seconds.
CONNECT_TIMEOUT_S = 5.0
WEIGHTS = "model.safetensors"


class ResNet34UNet(nn.Module):
    """A U-Net decoder on a ResNet34 encoder, with random weights.

    Call :func:`load_encoder_weights` to put pretrained weights into the encoder.

    Args:
        in_channels: channels of the image, 3 for RGB.
        num_classes: number of logits per pixel.
    """

    def __init__(self, in_channels: int = 3, num_classes: int = 13) -> None:
        super().__init__()
        # Built without weights: what the encoder starts from is a decision of
        # the experiment, and building a saved network must not ask a network.
        self.network = smp.Unet(
            "resnet34",
            encoder_weights=None,
            in_channels=in_channels,
            classes=num_classes,
        )

    def forward(self, image: Tensor) -> Tensor:
        """Normalised images [N, in_channels, H, W] to logits [N, num_classes, H, W]."""
        return pad_and_crop(self.network, image, multiple=32)


def load_encoder_weights(model: ResNet34UNet, weights: str) -> str:
    """Put weights into the encoder and say which.

    Args:
        model: the network; its encoder is changed in place.
        weights: ``"imagenet"``, ``"none"`` (leave the random weights), ``"auto"``
            (ImageNet where it can be had, else random), or the path of a
            safetensors file with a ResNet34's weights.

    Returns:
        ``"imagenet"``, ``"random"``, ``"random (ImageNet weights could not be
        fetched)"`` or the file's name, for the manifest and the captions.

    Raises:
        UserError: if the weights that were asked for cannot be had or do not fit.
    """
    if weights == "none":
        return "random"
    if weights in ("imagenet", "auto"):
        try:
            path = _fetch_imagenet()
        except UserError:
            if weights == "imagenet":
                raise
            return "random (ImageNet weights could not be fetched)"
        name = "imagenet"
    else:
        path = Path(weights)
        name = path.name
        if not path.is_file():
            raise UserError(
                f"encoder weights {path}: no such file; give a safetensors file, "
                "'imagenet' or 'none'"
            )
    try:
        state = load_file(path)
        model.network.encoder.load_state_dict(state)
    except (SafetensorError, RuntimeError, OSError) as error:
        raise UserError(
            f"encoder weights {path}: not the weights of a ResNet34 encoder "
            f"({str(error).splitlines()[0]}); give another file or 'none'"
        ) from error
    return name


def _fetch_imagenet() -> Path:
    """The hub's ImageNet weights: from its cache, else from the hub itself."""
    settings = encoders["resnet34"]["pretrained_settings"]["imagenet"]
    where = {
        "repo_id": settings["repo_id"],
        "revision": settings["revision"],
        "filename": WEIGHTS,
    }
    try:
        return Path(hf_hub_download(**where, local_files_only=True))
    except LocalEntryNotFoundError:
        pass
    try:
        # The hub's own client tries a dead address several times with growing
        # pauses; one plain question with a deadline answers sooner.
        question = Request(hf_hub_url(**where), method="HEAD")
        with urlopen(question, timeout=CONNECT_TIMEOUT_S):
            pass
        return Path(hf_hub_download(**where))
    except Exception as error:  # the hub lets errors of several HTTP libraries through
        raise UserError(
            f"ImageNet weights: cannot be fetched from {constants.ENDPOINT} "
            f"({type(error).__name__}); use 'none', or name a file"
        ) from error

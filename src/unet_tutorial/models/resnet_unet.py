"""The U-Net with a ResNet34 as its encoder, by segmentation-models-pytorch.

K. He, X. Zhang, S. Ren, J. Sun: Deep Residual Learning for Image Recognition,
2015, https://arxiv.org/abs/1512.03385.
"""

import threading
from collections.abc import Callable
from pathlib import Path

import requests
import segmentation_models_pytorch as smp
from huggingface_hub import (
    constants,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.utils import logging
from safetensors import SafetensorError
from safetensors.torch import load_file
from segmentation_models_pytorch.encoders import encoders
from torch import Tensor, nn

from unet_tutorial.errors import UserError, reason_of
from unet_tutorial.models.padding import pad_and_crop

# How long to wait for the host of the weights: a reader without a network should
# know within ten seconds.
CONNECT_TIMEOUT_S = 6.0
FILE_NAME = "model.safetensors"


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
        weights: ``"imagenet"``, ``"none"`` (leave the random weights), or the path
            of a safetensors file with a ResNet34's weights.

    Returns:
        ``"imagenet"``, ``"random"`` or the file's name, for manifest and captions.

    Raises:
        UserError: if the weights cannot be had or do not fit.
    """
    if weights == "none":
        return "random"
    path = _fetch_imagenet() if weights == "imagenet" else Path(weights)
    if not path.is_file():
        raise UserError(
            f"encoder weights {path}: no such file; give a safetensors file, "
            "'imagenet' or 'none'"
        )
    try:
        model.network.encoder.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError, OSError) as error:
        raise UserError(
            f"encoder weights {path}: not the weights of a ResNet34 encoder "
            f"({reason_of(error)}); give another file or 'none'"
        ) from error
    return "imagenet" if weights == "imagenet" else path.name


def available_encoder_weights(
    wanted: str, on_missing: Callable[[UserError], None] = lambda why: None
) -> str:
    """What is wanted, but ``"none"`` where ImageNet weights cannot be had.

    It is for the caller to tell the reader: a run is never given other weights
    than its configuration names.

    Args:
        wanted: as :func:`load_encoder_weights` takes it.
        on_missing: called with the reason why they cannot be had.
    """
    if wanted != "imagenet":
        return wanted
    try:
        _fetch_imagenet()
    except UserError as why:
        on_missing(why)
        return "none"
    return "imagenet"


def _fetch_imagenet() -> Path:
    """The hub's ImageNet weights: from its cache, else from the hub itself."""
    settings = encoders["resnet34"]["pretrained_settings"]["imagenet"]
    where = {
        "repo_id": settings["repo_id"],
        "revision": settings["revision"],
        "filename": FILE_NAME,
    }
    # The hub's advice to log in is nothing for a page of a book.
    logging.set_verbosity_error()
    cached = try_to_load_from_cache(**where)
    if isinstance(cached, str):
        return Path(cached)
    try:
        _ask(hf_hub_url(**where))
        return Path(hf_hub_download(**where))
    except Exception as error:  # the hub lets errors of several HTTP libraries through
        raise UserError(
            f"ImageNet weights: cannot be fetched from {constants.ENDPOINT} "
            f"({type(error).__name__}); use 'none', or name a file"
        ) from error


def _ask(url: str) -> None:
    """See that a host answers in time, which the hub's own client does not bound.

    A thread keeps the deadline: the timeout of a connection counts anew for each
    address of a host, and does not count the look-up of its name.
    """
    outcome: list[Exception | None] = []

    def ask() -> None:
        try:
            requests.head(url, timeout=CONNECT_TIMEOUT_S)
            outcome.append(None)  # whatever it answers, the client knows what it means
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(CONNECT_TIMEOUT_S)
    if not outcome:
        raise TimeoutError
    if outcome[0] is not None:
        raise outcome[0]

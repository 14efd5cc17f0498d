"""How this machine trains fastest: in which precision, and with what memory format.

GPUs say what they are. A processor is asked by training for a moment, once: what it
answers is kept in the user's cache folder.
"""

import hashlib
import json
import platform
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import platformdirs
import torch

from unet_tutorial.config import Config
from unet_tutorial.errors import UserError, check_known
from unet_tutorial.files import CACHE_REMEDY, locked, read_json, write_json

PRECISIONS = ("auto", "32-true", "bf16-mixed")
MEMORY_FORMATS = {
    str(known): known for known in (torch.channels_last, torch.contiguous_format)
}
# What is usual is left only for what is faster by so much.
WORTH_IT = 1.1
# A precision, and the memory format of network and image.
Way = tuple[str, torch.memory_format]


def choose_precision(wanted: str, device: torch.device) -> str:
    """``32-true`` or ``bf16-mixed``, whichever is faster, unless one is wanted.

    bfloat16 has the range of float32 and fewer digits. Where the hardware multiplies it
    faster, training gains; where it only imitates it, training loses by far.

    Args:
        wanted: ``"auto"``, or one of the two.
        device: where the network will be.

    Raises:
        UserError: if what is wanted is not known, or the cache folder cannot be
            written.
    """
    check_known("precision", wanted, PRECISIONS)
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(False) else "32-true"
    if device.type != "cpu":
        return "32-true"
    return _remembered("precision", [], PRECISIONS[1:], _probe_precision)


def usual_memory_format(device: torch.device) -> torch.memory_format:
    """How networks and images lie in memory, if nobody has measured.

    Most hardware convolves faster where the channels of a pixel lie together. Apple's
    GPUs are slower then, and torch's gradients of batch normalisation wrong there
    (pytorch issues 193349 and 175189).
    """
    return torch.contiguous_format if device.type == "mps" else torch.channels_last


def choose_memory_format(
    config: Config, device: torch.device, precision: str
) -> torch.memory_format:
    """The usual one, unless this processor trains this network faster in the other.

    In 32 bits some do, most of all wide networks on large images.

    Args:
        config: names the network and the size of its images.
        device: where the network will be.
        precision: as :func:`choose_precision` returned it.

    Raises:
        UserError: if the cache folder cannot be written.
    """
    if device.type != "cpu":
        return usual_memory_format(device)
    shape = config.crop or config.size
    asked = [precision, config.model, config.base_channels, *shape]
    name = _remembered(
        "memory-format",
        asked,
        tuple(MEMORY_FORMATS),
        lambda: str(_probe_memory_format(config, precision)),
    )
    return MEMORY_FORMATS[name]


def _remembered(
    kind: str, asked: list[Any], known: tuple[str, ...], probe: Callable[[], str]
) -> str:
    """One of the known answers, as it was given to this question on this machine."""
    question = [
        platform.node(),
        torch.__version__,
        torch.backends.cpu.get_cpu_capability(),
        torch.get_num_threads(),
        *asked,
    ]
    key = hashlib.sha256(json.dumps(question).encode()).hexdigest()[:12]
    path = platformdirs.user_cache_path("unet_tutorial") / f"{kind}-{key}.json"
    with locked(path, remedy=CACHE_REMEDY):
        try:
            answer = read_json(path).get("answer")
        except UserError:
            answer = None
        if answer not in known:
            answer = probe()
            write_json(path, {"answer": answer, "question": question})
    return str(answer)


def _probe_precision() -> str:
    ways: list[Way] = [(name, torch.channels_last) for name in PRECISIONS[1:]]

    def seconds(*shape: int) -> list[float]:
        return _seconds_per_step("scratch", 64, shape, ways)

    threads = torch.get_num_threads()
    # Where 16 bits are only imitated they take eight times as long, and the pictures
    # that decide would take minutes. A tiny one shows it in seconds; by one thread, for
    # two on a busy machine wait for each other, in whatever precision.
    torch.set_num_threads(1)
    try:
        full, half = seconds(1, 3, 32, 32)
    finally:
        torch.set_num_threads(threads)
    if half < 3 * full:
        full, half = seconds(4, 3, 96, 128)
    return "bf16-mixed" if full > WORTH_IT * half else "32-true"


def _probe_memory_format(config: Config, precision: str) -> torch.memory_format:
    usual, other = _seconds_per_step(
        config.model,
        config.base_channels,
        (1, 3, *(config.crop or config.size)),  # one image is enough to tell
        [(precision, torch.channels_last), (precision, torch.contiguous_format)],
    )
    worth_it = usual > WORTH_IT * other
    return torch.contiguous_format if worth_it else torch.channels_last


def _seconds_per_step(
    model_name: str, base_channels: int, shape: tuple[int, ...], ways: list[Way]
) -> list[float]:
    """Of training on images of a shape, in turns, in each of the ways."""
    # Not above: who wants but a loss or a batch would wait for it.
    from unet_tutorial.models import build_model

    with torch.random.fork_rng(devices=[]):
        tried = [
            (
                build_model(model_name, 13, base_channels).to(memory_format=lies),
                torch.rand(shape).to(memory_format=lies),
            )
            for _, lies in ways
        ]
    seconds: list[list[float]] = [[] for _ in ways]
    for _ in range(4):
        for (precision, _), (model, image), measured in zip(ways, tried, seconds):
            began = time.perf_counter()
            half = precision == "bf16-mixed"
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                loss = model(image).float().square().mean()
            loss.backward()
            measured.append(time.perf_counter() - began)
    # The first step of each prepares what the others use.
    return [median(measured[1:]) for measured in seconds]

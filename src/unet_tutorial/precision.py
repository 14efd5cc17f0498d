"""In which precision this machine trains fastest."""

import hashlib
import json
import platform
import time
from statistics import median

import platformdirs
import torch

from unet_tutorial.errors import UserError
from unet_tutorial.files import CACHE_REMEDY, locked, read_json, write_json
from unet_tutorial.models.unet import UNet

PRECISIONS = ("auto", "32-true", "bf16-mixed")
# A CPU takes to 16 bits only if they are faster by so much.
WORTH_IT = 1.1


def choose_precision(wanted: str, device: torch.device) -> str:
    """``32-true`` or ``bf16-mixed``, whichever is faster, unless one is wanted.

    bfloat16 has the range of float32 and fewer digits. Where the hardware multiplies it
    faster, training gains; where it only imitates it, training loses by far. GPUs say
    what they are; a CPU is asked by training a small network for a moment, once: the
    answer is kept in the user's cache folder.

    Args:
        wanted: ``"auto"``, or one of the two.
        device: where the network will be.

    Raises:
        UserError: if what is wanted is not known, or the cache folder cannot be
            written.
    """
    if wanted not in PRECISIONS:
        raise UserError(
            f"precision '{wanted}' is not known: choose one of {', '.join(PRECISIONS)}"
        )
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(False) else "32-true"
    if device.type != "cpu":
        return "32-true"
    machine = [
        platform.node(),
        torch.__version__,
        torch.backends.cpu.get_cpu_capability(),
        torch.get_num_threads(),
    ]
    key = hashlib.sha256(json.dumps(machine).encode()).hexdigest()[:12]
    path = platformdirs.user_cache_path("unet_tutorial") / f"precision-{key}.json"
    with locked(path, remedy=CACHE_REMEDY):
        try:
            known = read_json(path).get("precision")
        except UserError:
            known = None
        if known not in PRECISIONS[1:]:
            known = _probe()
            write_json(path, {"precision": known, "machine": machine})
    return str(known)


def _probe() -> str:
    threads = torch.get_num_threads()
    # Where 16 bits are only imitated they take eight times as long, and the pictures
    # that decide would take minutes. A tiny one shows it in seconds; by one thread, for
    # two on a busy machine wait for each other, in whatever precision.
    torch.set_num_threads(1)
    try:
        full, half = _seconds_per_step(1, 3, 32, 32)
    finally:
        torch.set_num_threads(threads)
    if half < 3 * full:
        full, half = _seconds_per_step(4, 3, 96, 128)
    return "bf16-mixed" if full > WORTH_IT * half else "32-true"


def _seconds_per_step(*shape: int) -> tuple[float, float]:
    """Of training on images of a shape, in float32 and in bfloat16."""
    with torch.random.fork_rng(devices=[]):
        model = UNet(num_classes=13).to(memory_format=torch.channels_last)
        image = torch.rand(shape).to(memory_format=torch.channels_last)
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(4):
        for half in seconds:
            began = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                loss = model(image).float().square().mean()
            loss.backward()
            seconds[half].append(time.perf_counter() - began)
    # The first step of each prepares what the others use.
    return median(seconds[False][1:]), median(seconds[True][1:])

"""Measure the library against the plain way of doing the same, side by side."""

import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from unet_tutorial.data.batches import batches, make_augmentation, to_network
from unet_tutorial.data.cache import open_set
from unet_tutorial.data.pairs import Pair, find_pairs
from unet_tutorial.losses import DiceLoss
from unet_tutorial.models import MODEL_NAMES
from unet_tutorial.runs import Config, provenance
from unet_tutorial.town.drive import make_town
from unet_tutorial.training import setup, train_one_epoch

# The real frames' size, and that of training in the profile `full`.
FRAME_SIZE, SIZE = (600, 800), (256, 320)
PAIRS, BATCH, WORKERS = 48, 16, 2
REPEATS = 3


class PlainPairs(Dataset):
    """What a first tutorial writes: decode and resize with Pillow at each access."""

    def __init__(self, pairs: list[Pair]) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        pair, (height, width) = self.pairs[index], SIZE
        with Image.open(pair.image) as picture:
            image = picture.convert("RGB").resize((width, height))
        with Image.open(pair.mask) as picture:
            mask = picture.resize((width, height), Image.Resampling.NEAREST)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        return to_network(pixels), torch.from_numpy(np.array(mask)[..., 0]).long()


def bench_data(
    watch: Callable[[int, int, str], None] = lambda *_: None,
) -> dict[str, Any]:
    """Images a second that reach the device: plain, from the cache, and consumed.

    All are measured on the same rendered pairs of 600x800, brought to 256x320,
    in turns; each number is the median over the turns.

    Args:
        watch: called with the steps done, their total and what comes next.

    Returns:
        ``plain`` (Pillow in a DataLoader of two workers), ``cached`` (the same batches
        from the cache), their ``ratio``, ``augmented`` (from the cache, with the full
        augmentation), ``consumed`` (by the fastest network in training, from memory),
        ``fastest`` (its name), and ``machine``.
    """
    device = Fabric(accelerator="auto", devices=1).device
    with tempfile.TemporaryDirectory() as folder:
        make_town(
            Path(folder, "town"),
            PAIRS,
            FRAME_SIZE,
            seed=0,
            on_pair=lambda done: watch(done, PAIRS, "rendering"),
        )
        pairs = find_pairs(Path(folder, "town"))
        frames = open_set(Path(folder, "town"), SIZE).frames(pairs)
        generator = torch.Generator().manual_seed(0)
        augment = make_augmentation("full", SIZE)
        loader = DataLoader(
            PlainPairs(pairs), BATCH, num_workers=WORKERS, persistent_workers=True
        )
        feeders: dict[str, tuple[int, Callable[[], Iterable]]] = {
            "plain": (2, lambda: ((a.to(device), b.to(device)) for a, b in loader)),
            "cached": (20, lambda: batches(frames, BATCH, device)),
            "augmented": (
                10,
                lambda: batches(frames, BATCH, device, augment, generator),
            ),
        }
        speeds: dict[str, list[float]] = {name: [] for name in feeders}
        for turn in range(REPEATS + 1):
            for name, (rounds, feed) in feeders.items():
                watch(turn, REPEATS + 1, f"feeding, {name}")
                speed = _speed(feed, rounds, device)
                if turn:  # the first starts workers and warms up
                    speeds[name].append(speed)
    result = {name: round(median(values), 1) for name, values in speeds.items()}
    consumed = {}
    for done, name in enumerate(MODEL_NAMES):
        watch(done, len(MODEL_NAMES), f"training, {name}")
        consumed[name] = _consumption(name)
    fastest = max(consumed, key=lambda name: consumed[name])
    return {
        **result,
        "ratio": round(result["cached"] / result["plain"], 1),
        "consumed": round(consumed[fastest], 1),
        "fastest": fastest,
        "machine": provenance(),
    }


def _speed(feed: Callable[[], Iterable], rounds: int, device: torch.device) -> float:
    images, began = 0, time.perf_counter()
    for _ in range(rounds):
        for image, _ in feed():
            images += len(image)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return images / (time.perf_counter() - began)


def _consumption(name: str) -> float:
    """Images a second that a network trains on, when they are on the device already."""
    fabric = Fabric(accelerator="auto", devices=1)
    config = Config(name, SIZE)
    model, optimizer, _ = setup(config, 13, fabric)
    image = torch.rand(config.batch_size, 3, *SIZE, device=fabric.device)
    mask = torch.randint(13, (config.batch_size, *SIZE), device=fabric.device)
    batch = [(image.to(memory_format=torch.channels_last), mask)]
    speeds = []
    for _ in range(REPEATS + 1):
        began = time.perf_counter()
        train_one_epoch(model, batch * 2, DiceLoss(), optimizer, fabric)
        speeds.append(2 * config.batch_size / (time.perf_counter() - began))
    return median(speeds[1:])

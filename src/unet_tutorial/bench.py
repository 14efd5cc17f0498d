"""Measure the library against the plain way of doing the same, side by side."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from unet_tutorial.classes import LYFT
from unet_tutorial.config import Config
from unet_tutorial.data.batches import (
    Frames,
    batches,
    make_augmentation,
    to_network,
)
from unet_tutorial.data.cache import open_set
from unet_tutorial.data.pairs import Pair, find_pairs, read_image
from unet_tutorial.hardware import choose_memory_format
from unet_tutorial.losses import DiceLoss
from unet_tutorial.models import MODEL_NAMES, build_model
from unet_tutorial.prediction import Predictor, predict_files
from unet_tutorial.processes import make_fabric
from unet_tutorial.runs import Run, provenance, save_weights
from unet_tutorial.town.drive import make_town
from unet_tutorial.training import Batches, setup, train_one_epoch

# The real frames' size. On a GPU networks train at the size of the profile `full`, on
# a CPU at that of `laptop`.
FRAME_SIZE, GPU_SIZE, CPU_SIZE = (600, 800), (256, 320), (96, 128)
PAIRS, WORKERS, REPEATS = 48, 2, 3
# In prediction a GPU sees whole frames, a CPU half their height and width; there the
# larger network takes seconds for a few.
SEEN_BY_CPU, TO_ANSWER = (300, 400), 12
Watch = Callable[[int, int, str], None]


class PlainPairs(Dataset):
    """What a first tutorial writes: decode and resize with Pillow at each access."""

    def __init__(self, pairs: list[Pair], size: tuple[int, int]) -> None:
        self.pairs, self.size = pairs, size

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        pair, (height, width) = self.pairs[index], self.size
        with Image.open(pair.image) as picture:
            image = picture.convert("RGB").resize((width, height))
        with Image.open(pair.mask) as picture:
            mask = picture.resize((width, height), Image.Resampling.NEAREST)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        return to_network(pixels), torch.from_numpy(np.array(mask)[..., 0]).long()


def _plain_loader(
    pairs: list[Pair], size: tuple[int, int], batch_size: int
) -> DataLoader:
    return DataLoader(
        PlainPairs(pairs, size),
        batch_size,
        num_workers=WORKERS,
        persistent_workers=True,
    )


@contextmanager
def _town(count: int, watch: Watch) -> Iterator[Path]:
    """Pairs as large as the real ones, in a folder that nothing else is beside."""
    with tempfile.TemporaryDirectory() as folder:
        town = Path(folder, "town")
        make_town(
            town,
            count,
            FRAME_SIZE,
            seed=0,
            on_pair=lambda n: watch(n, count, "rendering"),
        )
        yield town


@contextmanager
def _data(size: tuple[int, int], watch: Watch) -> Iterator[tuple[list[Pair], Frames]]:
    """Pairs as large as the real ones, and the same decoded at a size."""
    with _town(PAIRS, watch) as town:
        opened = open_set(town, size)
        yield opened.pairs, opened.frames(opened.pairs)


def _in_turns(
    ways: dict[str, Callable[[], int]], device: torch.device, watch: Watch, title: str
) -> dict[str, float]:
    """Images a second of each way, which returns how many it took: medians of turns."""
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(REPEATS + 1):
        for name, way in ways.items():
            watch(turn, REPEATS + 1, f"{title}, {name}")
            began = time.perf_counter()
            images = way()
            if device.type != "cpu":
                torch.accelerator.synchronize()
            if turn:  # the first starts workers and warms up
                speeds[name].append(images / (time.perf_counter() - began))
    return {name: round(median(values), 2) for name, values in speeds.items()}


def bench_data(watch: Watch = lambda *_: None) -> dict[str, Any]:
    """Images a second that reach the device: plain, from the cache, and consumed.

    What is fed are the same rendered pairs of 600x800, brought to 256x320, in turns;
    each number is the median over the turns.

    Args:
        watch: called with the steps done, their total and what comes next.

    Returns:
        ``plain`` (Pillow in a DataLoader of two workers), ``cached`` (the same batches
        from the cache), their ``ratio``, ``augmented`` (from the cache, with the full
        augmentation), ``consumed`` (by the fastest network in training, of random
        images of that size), ``fastest`` (its name), and ``machine``.
    """
    fabric, batch_size = make_fabric("auto"), 16
    device, augment = fabric.device, make_augmentation("full", GPU_SIZE)
    chance = torch.Generator().manual_seed(0)

    def count(rounds: int, feed: Callable[[], Batches]) -> int:
        return sum(len(image.to(device)) for _ in range(rounds) for image, _ in feed())

    with _data(GPU_SIZE, watch) as (pairs, frames):
        loader = _plain_loader(pairs, GPU_SIZE, batch_size)
        fed = _in_turns(
            {
                "plain": lambda: count(2, lambda: loader),
                "cached": lambda: count(
                    20, lambda: batches(frames, batch_size, device)
                ),
                "augmented": lambda: count(
                    10, lambda: batches(frames, batch_size, device, augment, chance)
                ),
            },
            device,
            watch,
            "feeding",
        )
    trainers = {
        name: _trainer(config, fabric, _faster(config, fabric))
        for name in MODEL_NAMES
        for config in [Config(name, GPU_SIZE)]
    }
    consumed = _in_turns(
        {
            name: partial(train, [batch] * 2)
            for name, (train, batch) in trainers.items()
        },
        device,
        watch,
        "training",
    )
    fastest = max(consumed, key=lambda name: consumed[name])
    return {
        **fed,
        "ratio": round(fed["cached"] / fed["plain"], 1),
        "consumed": consumed[fastest],
        "fastest": fastest,
        "machine": provenance(fabric.device),
    }


def bench_train(watch: Watch = lambda *_: None) -> dict[str, Any]:
    """Images a second that each network trains on, in three ways, in turns.

    Args:
        watch: called with the steps done, their total and what comes next.

    Returns:
        ``machine``, ``precision`` (ours), and ``rows`` of ``model``, ``base_channels``,
        ``size``, ``batch``, ``plain`` (``32-true``, channels first, PNG files decoded
        in a DataLoader), ``ours``, and ``ceiling`` (ours, from a batch that is on the
        device already). Each number is the median over the turns.
    """
    fabric = make_fabric("auto")
    size, batch_size = (GPU_SIZE, 32) if fabric.device.type == "cuda" else (CPU_SIZE, 8)
    rows = []
    with _data(size, watch) as (pairs, frames):
        for name, base_channels in (("scratch", 16), ("scratch", 64), ("resnet34", 16)):
            config = Config(
                name, size, batch_size=batch_size, base_channels=base_channels
            )
            measured = _three_ways(config, fabric, pairs, frames, watch)
            about = {"model": name, "base_channels": base_channels}
            rows.append(about | {"size": list(size), "batch": batch_size} | measured)
    return {
        "machine": provenance(fabric.device),
        "precision": fabric.strategy.precision.precision,
        "rows": rows,
    }


def _three_ways(
    config: Config, fabric: Fabric, pairs: list[Pair], frames: Frames, watch: Watch
) -> dict[str, float]:
    device, batch_size = fabric.device, config.batch_size
    # A large network on a CPU takes seconds for a batch.
    some = 2 if config.base_channels > 16 and device.type == "cpu" else 6
    used = torch.arange(some * batch_size) % len(frames)
    chosen = [pairs[i] for i in used.tolist()]
    loader = _plain_loader(chosen, config.size, batch_size)
    frames, augment = frames.on(device), make_augmentation(config.augment, config.size)
    chance = torch.Generator().manual_seed(0)
    memory_format = _faster(config, fabric)
    train, batch = _trainer(config, fabric, memory_format)
    plain_fabric = make_fabric("32-true")
    train_plainly, _ = _trainer(config, plain_fabric, torch.contiguous_format)
    ways = {
        "plain": lambda: train_plainly((a.to(device), b.to(device)) for a, b in loader),
        "ours": lambda: train(
            batches(
                frames.take(used), batch_size, device, augment, chance, memory_format
            )
        ),
        "ceiling": lambda: train([batch] * some),
    }
    return _in_turns(ways, device, watch, f"{config.model} {config.base_channels}")


def _faster(config: Config, fabric: Fabric) -> torch.memory_format:
    """As a run of this configuration would choose it."""
    precision = fabric.strategy.precision.precision
    return choose_memory_format(config, fabric.device, precision)


def _trainer(
    config: Config,
    fabric: Fabric,
    memory_format: torch.memory_format,
) -> tuple[Callable[[Batches], int], tuple[Tensor, Tensor]]:
    """What trains on batches and counts the images, and a batch for it."""
    state = setup(config, 13, config.batch_size, fabric, memory_format=memory_format)
    shape, device = (config.batch_size, *config.size), fabric.device
    image = torch.rand(shape[0], 3, *config.size, device=device)
    mask = torch.randint(13, shape, device=device)

    def train(data: Batches) -> int:
        losses = train_one_epoch(state.model, data, DiceLoss(), state.optimizer, fabric)
        return config.batch_size * len(losses)

    return train, (image.to(memory_format=memory_format), mask)


def bench_predict(watch: Watch = lambda *_: None) -> dict[str, Any]:
    """How fast each network answers for frames of 600x800, in two ways, in turns.

    Args:
        watch: called with the steps done, their total and what comes next.

    Returns:
        ``machine``, and ``rows`` of ``model``, ``base_channels``, ``size`` (at which
        the network sees a frame), ``files`` (frames a second from PNG files to the
        masks and overlays that ``predict`` writes) and ``latency_ms`` (of one frame in
        memory, to its mask in memory). Both are medians over the turns.
    """
    device = make_fabric("auto").device
    size = SEEN_BY_CPU if device.type == "cpu" else FRAME_SIZE
    rows = []
    with _town(TO_ANSWER, watch) as town:
        paths = [pair.image for pair in find_pairs(town)]
        frames = [read_image(path) for path in paths]

        def from_files(predictor: Predictor) -> int:
            predict_files(predictor, paths, town.parent / "masks")
            return len(paths)

        def from_memory(predictor: Predictor) -> int:
            return len([predictor.mask(frame) for frame in frames])

        for name in MODEL_NAMES:
            config = Config(name, size)
            predictor = _untrained(config, town.parent / name, device)
            ways: dict[str, Callable[[], int]] = {
                "files": partial(from_files, predictor),
                "memory": partial(from_memory, predictor),
            }
            speeds = _in_turns(ways, device, watch, name)
            rows.append(
                {
                    "model": name,
                    "base_channels": config.base_channels,
                    "size": list(size),
                    "files": speeds["files"],
                    "latency_ms": round(1000 / speeds["memory"], 1),
                }
            )
    return {"machine": provenance(device), "rows": rows}


def _untrained(config: Config, folder: Path, device: torch.device) -> Predictor:
    """What a network has learned does not change its pace."""
    network = build_model(config.model, len(LYFT), config.base_channels)
    save_weights(folder, network)
    return Predictor(Run(folder, config, LYFT, {}, pd.DataFrame()), device)

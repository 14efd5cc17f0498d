"""A finished run and images in, masks and scores out."""

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torchvision.transforms import v2

from unet_tutorial.classes import LYFT, LYFT_CHALLENGE, Classes
from unet_tutorial.data.batches import to_network
from unet_tutorial.data.pairs import (
    Pair,
    digest_pair,
    read_image,
    read_pair,
    write_mask,
    write_picture,
)
from unet_tutorial.data.target import Target, choose_target, lyft_target
from unet_tutorial.errors import UserError
from unet_tutorial.hardware import choose_precision, usual_memory_format
from unet_tutorial.metrics import ConfusionMatrix, lyft_score, road_and_vehicle
from unet_tutorial.models import build_model
from unet_tutorial.processes import best_device
from unet_tutorial.runs import Run, load_weights

# So many images are decoded, or written, at a time.
AHEAD = min(2 * (os.cpu_count() or 1), 16)


def load_model(run: Run) -> nn.Module:
    """The network of a run with the weights by which it answers, on the CPU."""
    config = run.config
    model = build_model(config.model, len(run.classes), config.base_channels)
    load_weights(run.folder, model, run.weights)
    return model


class Predictor:
    """A trained network that answers for images of any size.

    Args:
        run: a finished run.
        device: where the network works; by default on a GPU if there is one.

    Raises:
        UserError: if the weights cannot be loaded, or the cache folder, where the
            faster precision is kept, cannot be written.
    """

    def __init__(self, run: Run, device: torch.device | str | None = None) -> None:
        config = run.config
        self.classes = run.classes
        self.target = target_of(config.target, run.classes)
        self.device = torch.device(device or best_device())
        self.model = load_model(run)
        memory_format = usual_memory_format(self.device)
        self.model.to(self.device).to(memory_format=memory_format).eval()
        precision = choose_precision(config.precision, self.device)
        self.in_16_bits = precision == "bf16-mixed"
        self.resize = v2.Resize(tuple(config.size), antialias=True)

    @torch.inference_mode()
    def logits(self, image: np.ndarray) -> torch.Tensor:
        """[H, W, 3] uint8 to logits, [C, H, W] on the device.

        The network sees the image at the size it was trained at; its logits are
        brought back to the size of the image.
        """
        pixels = torch.tensor(image).permute(2, 0, 1)[None].to(self.device)
        logits = self._answer(self.resize(pixels))
        size = image.shape[:2]
        return nn.functional.interpolate(logits.float(), size, mode="bilinear")[0]

    def _answer(self, image: torch.Tensor) -> torch.Tensor:
        """Bytes [N, 3, H, W] of the network's size to logits."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.in_16_bits):
            return self.model(to_network(image))

    def probabilities(self, image: np.ndarray) -> torch.Tensor:
        """[H, W, 3] uint8 to the probability of each class, [C, H, W] on the device."""
        return self.logits(image).softmax(dim=0)

    def mask(self, image: np.ndarray) -> np.ndarray:
        """[H, W, 3] uint8 to class ids, [H, W] uint8."""
        return self.logits(image).argmax(dim=0).to(torch.uint8).cpu().numpy()


def target_of(name: str | None, classes: Classes) -> Target:
    """What the masks of a data set are reduced to for a network of these classes."""
    return choose_target(name, classes if name is None else LYFT)


def refuse_known(run: Run, pairs: list[Pair]) -> None:
    """See that a run was trained on none of the pairs that it is to be judged on.

    Raises:
        UserError: if it was, as when a small set has changed since and is now split
            another way.
    """
    trained_on = set(run.manifest.get("trained_on", ()))
    known = [pair for pair in pairs if _digest(pair) in trained_on]
    if known:
        raise UserError(
            f"{run.folder}: was trained on {len(known)} of these {len(pairs)} pairs, "
            f"as {known[0].image}; the data have changed since, so train it anew"
        )


def _digest(pair: Pair) -> str | None:
    try:
        return digest_pair(pair)
    except UserError:  # told when it is to be scored
        return None


def score(
    predictor: Predictor,
    pairs: list[Pair],
    skip_bad: bool = False,
    on_pair: Callable[[int], None] = lambda done: None,
) -> tuple[dict[str, Any], ConfusionMatrix]:
    """Score a network on pairs, at the masks' own size.

    Args:
        predictor: the network.
        pairs: images and their masks.
        skip_bad: leave out pairs with a fault instead of stopping.
        on_pair: called with the number of pairs done, after each.

    Returns:
        The scores ``miou``, ``dice`` and ``pixel_accuracy`` from 0 to 1 (None if no
        pixel has a class),
        ``road_f05`` and ``vehicle_f2`` from 0 to 1 and ``lyft_score`` from 0 to 100
        (None for other classes than those of Lyft, and where road or vehicle does not
        occur),
        ``per_class`` with ``iou`` and ``dice`` of each class (None where a class does
        not occur) and ``skipped`` with the faults of pairs left out; and the confusion
        matrix.

    Raises:
        UserError: if a pair is faulty and not to be skipped, or all are.
    """
    classes = predictor.classes
    confusion = ConfusionMatrix(len(classes), classes.ignore_index)
    challenge = ConfusionMatrix(len(LYFT_CHALLENGE))
    skipped: list[str] = []
    for done, pair in enumerate(pairs, start=1):
        try:
            image, mask = read_pair(pair, predictor.target.source)
        except UserError as error:
            skipped.append(str(error))
            if not skip_bad or len(skipped) == len(pairs):
                raise
            on_pair(done)
            continue
        true, predicted = predictor.target.reduce(mask), predictor.mask(image)
        confusion.update(torch.tensor(predicted), torch.tensor(true))
        if classes == LYFT:
            true, predicted = lyft_target(true), lyft_target(predicted)
        if classes in (LYFT, LYFT_CHALLENGE):
            challenge.update(torch.tensor(predicted), torch.tensor(true))
        on_pair(done)
    per_class = zip(classes.names, confusion.iou().tolist(), confusion.dice().tolist())
    road_f05, vehicle_f2 = road_and_vehicle(challenge)
    scores = {
        "miou": _or_none(confusion.miou()),
        "dice": _or_none(confusion.mean_dice()),
        "pixel_accuracy": _or_none(confusion.pixel_accuracy()),
        "road_f05": _or_none(road_f05),
        "vehicle_f2": _or_none(vehicle_f2),
        "lyft_score": _or_none(lyft_score(challenge)),
        "per_class": {
            name: {"iou": _or_none(iou), "dice": _or_none(dice)}
            for name, iou, dice in per_class
        },
        "skipped": skipped,
    }
    return scores, confusion


def _or_none(value: float) -> float | None:
    """JSON knows no NaN."""
    return None if np.isnan(value) else value


def predict_files(
    predictor: Predictor,
    images: list[Path],
    out: Path,
    on_image: Callable[[int], None] = lambda done: None,
) -> None:
    """Write for each image its mask, ``NAME.png``, and ``NAME_overlay.png``.

    The mask is in the Lyft format: class ids in the red channel. While the network
    answers for one image, the next ones are decoded and answers before are written.

    Raises:
        UserError: if an image cannot be read, the folder cannot be written, or an
            answer would be written over an image, another answer, or a mask that is
            no answer.
    """
    images = list(dict.fromkeys(images))  # one that is named twice is one
    targets = {
        path: (out / f"{path.stem}.png", out / f"{path.stem}_overlay.png")
        for path in images
    }
    taken = {path.resolve() for path in images}
    for path, names in targets.items():
        for name in names:
            if name.resolve() in taken:
                raise UserError(
                    f"{path}: its answer would be written over {name}, an image or "
                    "the answer for another; predict into a new folder, and images "
                    "of one name into folders of their own"
                )
            taken.add(name.resolve())
        if os.path.exists(names[0]) and not os.path.exists(names[1]):
            raise UserError(
                f"{names[0]}: is there already, and beside no overlay of ours; predict "
                "into a new folder"
            )

    def read(path: Path) -> tuple[Path, np.ndarray]:
        return path, read_image(path, upright=True)

    def write(answer: tuple[Path, np.ndarray, np.ndarray]) -> None:
        path, image, mask = answer
        overlay = image // 2 + predictor.classes.colour(mask) // 2
        mask_path, overlay_path = targets[path]
        # The mask comes last: where it stands alone, it is somebody else's.
        write_picture(overlay_path, overlay, compress_level=1)  # four times as fast
        write_mask(mask_path, mask)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        answers = (
            (path, image, predictor.mask(image))
            for path, image in _ahead(pool, read, images)
        )
        for done, _ in enumerate(_ahead(pool, write, answers), start=1):
            on_image(done)


def _ahead(
    pool: ThreadPoolExecutor, function: Callable[[Any], Any], items: Iterable[Any]
) -> Iterator[Any]:
    """As ``pool.map``, but only a few items ahead, for they are large."""
    items, begun = iter(items), deque[Future]()
    while True:
        for item in itertools.islice(items, AHEAD - len(begun)):
            begun.append(pool.submit(function, item))
        if not begun:
            return
        yield begun.popleft().result()

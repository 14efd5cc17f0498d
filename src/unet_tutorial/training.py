"""Train a network: ``fit`` calls ``setup``, ``train_one_epoch`` and ``evaluate``."""

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from unet_tutorial.classes import Classes
from unet_tutorial.data.batches import batches, make_augmentation
from unet_tutorial.data.cache import open_set
from unet_tutorial.data.split import split_pairs
from unet_tutorial.errors import UserError
from unet_tutorial.losses import DiceLoss
from unet_tutorial.metrics import ConfusionMatrix
from unet_tutorial.models import build_model
from unet_tutorial.models.resnet_unet import ResNet34UNet, load_encoder_weights
from unet_tutorial.runs import (
    Config,
    Run,
    begin_run,
    check_run_folder,
    finish_run,
    load_run,
    provenance,
    save_history,
    save_weights,
)

Batches = Iterable[tuple[Tensor, Tensor]]


def train_one_epoch(
    model: nn.Module,
    data: Batches,
    loss_function: nn.Module,
    optimizer: torch.optim.Optimizer,
    fabric: Fabric,
) -> float:
    """Show the network every batch once and improve it after each.

    Returns:
        The mean loss over the batches.
    """
    model.train()
    losses = []
    for image, mask in data:
        loss = loss_function(model(image), mask)
        optimizer.zero_grad()
        fabric.backward(loss)
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses).mean().item()


@torch.inference_mode()
def evaluate(
    model: nn.Module, data: Batches, loss_function: nn.Module, classes: Classes
) -> tuple[float, ConfusionMatrix]:
    """Let the network answer without learning.

    Returns:
        The mean loss over the batches, and the confusion matrix over all pixels.
    """
    model.eval()
    confusion = ConfusionMatrix(len(classes), classes.ignore_index)
    losses = []
    for image, mask in data:
        logits = model(image)
        losses.append(loss_function(logits, mask))
        confusion.update(logits.argmax(dim=1), mask)
    return torch.stack(losses).mean().item(), confusion


def setup(
    config: Config, num_classes: int, fabric: Fabric
) -> tuple[nn.Module, torch.optim.Optimizer, str]:
    """Build the network and its optimizer on the device.

    Returns:
        The network, the optimizer, and which weights the encoder starts from.
    """
    torch.manual_seed(config.seed)
    model = build_model(config.model, num_classes, config.base_channels)
    weights_used = "random"
    if isinstance(model, ResNet34UNet):
        weights_used = load_encoder_weights(model, config.encoder_weights)
    model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    model, optimizer = fabric.setup(model, optimizer)
    return model, optimizer, weights_used


def epoch_line(row: dict[str, float]) -> str:
    """A row of the history, in words."""
    return (
        f"epoch {row['epoch']:3}  training loss {row['train_loss']:.4f}  "
        f"validation loss {row['val_loss']:.4f}  mIoU {row['val_miou']:.4f}"
    )


def fit(
    config: Config,
    data_dir: Path,
    run_dir: Path,
    overwrite: bool = False,
    skip_bad: bool = False,
    on_pair: Callable[[int, int], None] = lambda done, total: None,
    on_epoch: Callable[[dict[str, float]], None] = lambda row: None,
) -> Run:
    """Train on the data set's train split, validate after each epoch, keep the best.

    Writes into ``run_dir``: ``best.safetensors`` (the weights of the epoch with
    the highest validation mIoU), ``history.csv`` (a row an epoch) and, at the
    end, ``manifest.json`` (everything one needs to know to make the run again).

    Args:
        config: what to train, and how.
        data_dir: a folder or a description, as
            :func:`unet_tutorial.data.description.read_description` takes it.
        run_dir: a new folder.
        overwrite: replace a run that is already there.
        skip_bad: leave out pairs with a fault, and say in the manifest which, instead
            of stopping.
        on_pair: called with the number of pairs decoded and their total, after each,
            if the data set was not decoded before.
        on_epoch: called with each row of the history.

    Raises:
        UserError: if the configuration, the data or the folder cannot be used.
    """
    started = time.perf_counter()
    _check(config)
    check_run_folder(run_dir, overwrite)
    augment = make_augmentation(config.augment, config.size)
    data = open_set(data_dir, config.size, config.target, skip_bad, on_pair)
    classes = data.target.classes
    frames = {
        part: data.frames(pairs) for part, pairs in split_pairs(data.pairs).items()
    }
    for part in ("train", "val"):
        if not len(frames[part]):
            raise UserError(
                f"{data_dir}: has no sound pair for '{part}'; name a folder for it in "
                "its description, or see 'data check'"
            )
    fabric = Fabric(accelerator="auto", devices=1)
    model, optimizer, weights_used = setup(config, len(classes), fabric)
    begin_run(run_dir)
    loss_function = DiceLoss(classes.ignore_index)
    order = torch.Generator().manual_seed(config.seed)

    history: list[dict[str, float]] = []
    for epoch in range(1, config.epochs + 1):
        shuffled = batches(
            frames["train"], config.batch_size, fabric.device, order, augment
        )
        train_loss = train_one_epoch(model, shuffled, loss_function, optimizer, fabric)
        in_order = batches(frames["val"], config.batch_size, fabric.device)
        val_loss, confusion = evaluate(model, in_order, loss_function, classes)
        row = {
            "epoch": epoch,
            "train_loss": train_loss,
            "val_loss": val_loss,
            "val_miou": confusion.miou(),
            "val_dice": confusion.mean_dice(),
            "val_pixel_accuracy": confusion.pixel_accuracy(),
        }
        if not history or row["val_miou"] > max(past["val_miou"] for past in history):
            save_weights(run_dir, model)
        history.append(row)
        save_history(run_dir, history)
        on_epoch(row)

    best = max(history, key=lambda past: past["val_miou"])
    finish_run(
        run_dir,
        {
            "config": asdict(config),
            "encoder_weights_used": weights_used,
            "parameters": sum(weight.numel() for weight in model.parameters()),
            "classes": asdict(classes),
            "data": {
                "name": data.name,
                "digest": data.digest,
                "pairs": {part: len(some) for part, some in frames.items()},
                "skipped": data.faults,
            },
            "best_epoch": int(best["epoch"]),
            "seconds": round(time.perf_counter() - started, 1),
            **provenance(),
        },
    )
    return load_run(run_dir)


def _check(config: Config) -> None:
    for name in ("epochs", "batch_size", "base_channels"):
        if getattr(config, name) < 1:
            raise UserError(f"{name} is {getattr(config, name)}; it must be at least 1")
    # At its coarsest, a network must see more than one position: batch
    # normalisation cannot work on a single number.
    smallest = 64 if config.model == "resnet34" else 32
    if min(config.size) < smallest:
        raise UserError(
            f"size {config.size[0]}x{config.size[1]}: for '{config.model}' both sides "
            f"must be at least {smallest}"
        )
    if config.model == "scratch" and config.encoder_weights != "none":
        raise UserError(
            f"encoder weights '{config.encoder_weights}': the network from scratch has "
            "no pretrained encoder; leave them out or train 'resnet34'"
        )

"""Train a network: ``fit`` calls ``setup``, then ``learn``.

``learn`` calls ``train_one_epoch`` and ``evaluate``, epoch after epoch.
"""

import itertools
import math
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from unet_tutorial.classes import Classes
from unet_tutorial.config import Config
from unet_tutorial.data.batches import Frames, batches, make_augmentation
from unet_tutorial.data.cache import DecodedSet, open_set
from unet_tutorial.data.pairs import Pair, join_digests
from unet_tutorial.data.split import split_pairs
from unet_tutorial.errors import UserError, check_known, reason_of
from unet_tutorial.files import digest_files, locked
from unet_tutorial.hardware import (
    MEMORY_FORMATS,
    PRECISIONS,
    choose_memory_format,
    usual_memory_format,
)
from unet_tutorial.losses import LOSS_NAMES, make_loss
from unet_tutorial.metrics import ConfusionMatrix
from unet_tutorial.models import MODEL_NAMES, build_model
from unet_tutorial.models.resnet_unet import ResNet34UNet, load_encoder_weights
from unet_tutorial.processes import (
    add_up,
    is_shared,
    make_fabric,
    processes_started,
    share_batches,
    share_buffers,
    share_positions,
)
from unet_tutorial.runs import (
    CHECKPOINT,
    EPOCH,
    LAST,
    Run,
    as_read,
    begin_run,
    begun_setup,
    check_run_folder,
    code_digest,
    finish_run,
    is_finished,
    load_run,
    provenance,
    save_checkpoint,
    save_history,
    save_weights,
    versions,
)

Batches = Iterable[tuple[Tensor, Tensor]]
Row = dict[str, float]
SCHEDULE_NAMES = (None, "cosine")
# The share of all steps in which the cosine schedule rises to the full rate.
WARM_UP = 0.05


def train_one_epoch(
    model: nn.Module,
    data: Batches,
    loss_function: nn.Module,
    optimizer: torch.optim.Optimizer,
    fabric: Fabric,
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
    accumulate: int = 1,
    clip: float | None = None,
    on_batch: Callable[[], None] = lambda: None,
) -> Tensor:
    """Show the network every batch once and improve it after each, or each few.

    Args:
        model, optimizer: what is trained, and how, as ``fabric.setup`` returned them.
        data, loss_function, fabric: on what it is trained, for what, and where.
        schedule: changes the learning rate after each step.
        accumulate: batches that share one step.
        clip: the largest norm of the gradient.
        on_batch: called after each batch.

    Returns:
        The loss of each batch, [batches] on the device.
    """
    model.train()
    loss_function.train()
    data, losses = iter(data), []
    while several := list(itertools.islice(data, accumulate)):
        optimizer.zero_grad()
        for position, (image, mask) in enumerate(several, start=1):
            # Several processes exchange their gradients once a step.
            waits = position < len(several)
            with fabric.no_backward_sync(model, enabled=waits):  # type: ignore[arg-type]
                loss = loss_function(model(image), mask)
                fabric.backward(loss / len(several))
            losses.append(loss.detach())
            on_batch()
        if clip is not None:
            # A loss that is no number is told at the end of the epoch, with its batch.
            fabric.clip_gradients(
                model, optimizer, max_norm=clip, error_if_nonfinite=False
            )
        optimizer.step()
        if schedule is not None:
            schedule.step()
    return torch.stack(losses)


@torch.inference_mode()
def evaluate(
    model: nn.Module, data: Batches, loss_function: nn.Module, classes: Classes
) -> tuple[float, ConfusionMatrix]:
    """Let the network answer without learning.

    Returns:
        The mean loss over the batches, and the confusion matrix over all pixels; over
        those of all processes, if several share the work.
    """
    model.eval()
    loss_function.eval()
    confusion = ConfusionMatrix(len(classes), classes.ignore_index)
    losses = []
    for image, mask in data:
        logits = model(image)
        losses.append(loss_function(logits, mask))
        confusion.update(logits.argmax(dim=1), mask)
    total = torch.tensor([float(sum(losses)), len(losses)], dtype=torch.float64)
    if is_shared():
        device = next(model.parameters()).device
        total, confusion.counts = (
            add_up(counted.to(device)) for counted in (total, confusion.counts)
        )
    return float(total[0] / total[1]), confusion


@dataclass
class State:
    """What changes in a run, epoch after epoch."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    weights_used: str
    """What the encoder started from."""
    memory_format: torch.memory_format
    """Of the network and its images."""
    history: list[Row] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def best_epoch(self) -> int:
        """The first one with the highest validation mIoU."""
        return int(max(self.history, key=lambda row: row["val_miou"])["epoch"])

    def to_save(self) -> dict[str, Any]:
        """Tensors, numbers and lists, from which :meth:`restore` goes on."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "history": self.history,
            "seconds": self.seconds,
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from what :meth:`to_save` gave."""
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.schedule.load_state_dict(saved["schedule"])
        self.history = [dict(row) for row in saved["history"]]
        self.seconds = float(saved["seconds"])


def setup(
    config: Config,
    num_classes: int,
    images: int,
    fabric: Fabric,
    model: nn.Module | None = None,
    memory_format: torch.memory_format | None = None,
) -> State:
    """Build the network and its optimizer on the device.

    Args:
        config: what to train, and how.
        num_classes: number of logits per pixel.
        images: how many there are to train on, for the schedule.
        fabric: where.
        model: another network than the one that the configuration names.
        memory_format: of the network and its images; by default what
            :func:`unet_tutorial.hardware.usual_memory_format` says.

    Raises:
        UserError: if the encoder's weights cannot be had, or the model or the schedule
            is not known.
    """
    torch.manual_seed(config.seed)
    weights_used = "random"
    if model is None:
        model = build_model(config.model, num_classes, config.base_channels)
    if isinstance(model, ResNet34UNet):
        weights_used = load_encoder_weights(model, config.encoder_weights)
    memory_format = memory_format or usual_memory_format(fabric.device)
    model = model.to(memory_format=memory_format)
    # Fused, a step goes through the weights once and not ten times. On a CPU torch does
    # not choose that by itself, and the many weights of the ResNet34 take long.
    optimizer = torch.optim.Adam(
        model.parameters(), lr=config.learning_rate, fused=True
    )
    model, optimizer = fabric.setup(model, optimizer)
    steps = math.ceil(_batches_per_epoch(images, config, fabric) / config.accumulate)
    schedule = make_schedule(config.schedule, optimizer, config.epochs * steps)
    return State(model, optimizer, schedule, weights_used, memory_format)


def make_schedule(
    name: str | None, optimizer: torch.optim.Optimizer, steps: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """How the learning rate changes over all steps of a run.

    Args:
        name: None for a constant rate; ``"cosine"`` for a short rise and a long fall to
            0 along half a cosine, I. Loshchilov, F. Hutter: SGDR, 2017,
            https://arxiv.org/abs/1608.03983.
        optimizer: whose rate it is.
        steps: in the whole run.

    Raises:
        UserError: if the name is not known.
    """
    check_known("schedule", name, SCHEDULE_NAMES)
    rise = max(round(WARM_UP * steps), 1)

    def factor(step: int) -> float:
        if name is None:
            return 1.0
        if step < rise:
            return (step + 1) / rise
        return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(steps - rise, 1)))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def median_weights(frames: Frames, classes: Classes) -> Tensor:
    """Median of the classes' shares over each one's own; 0 for those that are absent.

    The share of a class is that in the images in which it occurs: D. Eigen, R. Fergus,
    2015, https://arxiv.org/abs/1411.4734.

    Returns:
        A weight for each class, [C] float32.

    Raises:
        UserError: if no pixel has a class.
    """
    masks = frames.masks[frames.rows].flatten(1).cpu()
    pixels = torch.stack([torch.bincount(mask, minlength=256) for mask in masks])
    pixels = pixels[:, : len(classes)].double()
    room = (pixels > 0).sum(dim=0) * masks.shape[1]
    share = pixels.sum(dim=0) / room.clamp_min(1)
    if not share.any():
        raise UserError("no training pixel has a class; see 'data check'")
    weights = share[share > 0].quantile(0.5) / share
    return torch.where(share > 0, weights, 0).float()


def epoch_line(row: Row) -> str:
    """A row of the history, in words."""
    return (
        f"epoch {row['epoch']:3}  training loss {row['train_loss']:.4f}  "
        f"validation loss {row['val_loss']:.4f}  mIoU {row['val_miou']:.4f}"
    )


def learn(
    state: State,
    config: Config,
    train: Frames,
    val: Frames,
    classes: Classes,
    loss_function: nn.Module,
    fabric: Fabric,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
    name_of: Callable[[int], str] = lambda position: f"training image {position}",
) -> Iterator[Row]:
    """Train and validate until the configuration's epochs are done.

    Args:
        state: what :func:`setup` built; it goes on after the last row of its history.
        config: how to train.
        train, val: what to learn from, and what to judge by.
        classes: of the masks.
        loss_function: takes what the network gives, and masks.
        fabric: where.
        on_batch: called with the number of batches trained on and their total in the
            run, after each.
        name_of: names a training image in an error.

    Yields:
        A row of the history after each epoch, which is in the state's by then.

    Raises:
        UserError: if the augmentation is not known, the loss is no longer a number, or
            no validation pixel has a class.
    """
    augment = make_augmentation(config.augment, config.size, config.crop)
    batch_size = config.batch_size // fabric.world_size
    prepare = partial(batches, device=fabric.device, memory_format=state.memory_format)
    per_epoch = _batches_per_epoch(len(train), config, fabric)
    numbers = itertools.count(per_epoch * len(state.history) + 1)
    while len(state.history) < config.epochs:
        epoch, began = len(state.history) + 1, time.perf_counter()
        # Each epoch has generators of its own, so that there is no state to keep.
        order = _generator(config.seed, epoch, 0)
        chance = _generator(config.seed, epoch, 1 + fabric.global_rank)
        shuffled = torch.randperm(len(train), generator=order)
        mine = share_positions(shuffled, config.batch_size, fabric)
        losses = train_one_epoch(
            state.model,
            prepare(train.take(mine), batch_size, augment=augment, generator=chance),
            loss_function,
            state.optimizer,
            fabric,
            state.schedule,
            config.accumulate,
            config.clip,
            lambda: on_batch(next(numbers), per_epoch * config.epochs),
        )
        # So that all processes come to the same verdict, and log the same mean.
        losses = add_up(losses) / fabric.world_size
        if not losses.isfinite().all():
            first = int((~losses.isfinite()).nonzero()[0])
            batch = shuffled.split(config.batch_size)[first]
            names = ", ".join(map(name_of, batch.tolist()))
            raise UserError(
                f"the loss is no longer a number in epoch {epoch}, first for the batch "
                f"of {names}; lower the learning rate, set 'clip', or look at them"
            )
        share_buffers(state.model)
        asked = val.take(share_batches(len(val), config.batch_size, fabric))
        to_judge = prepare(asked, config.batch_size)
        val_loss, confusion = evaluate(state.model, to_judge, loss_function, classes)
        if not math.isfinite(val_loss) or not confusion.counts.any():
            raise UserError(
                f"epoch {epoch}: the validation loss is no number, or no validation "
                "pixel has a class; lower the learning rate, or see 'data check'"
            )
        row = {
            "epoch": epoch,
            "train_loss": losses.mean().item(),
            "val_loss": val_loss,
            "val_miou": confusion.miou(),
            "val_dice": confusion.mean_dice(),
            "val_pixel_accuracy": confusion.pixel_accuracy(),
        }
        state.history.append(row)
        state.seconds += time.perf_counter() - began
        yield row


def fit(
    config: Config,
    data_dir: Path,
    run_dir: Path,
    overwrite: bool = False,
    skip_bad: bool = False,
    on_pair: Callable[[int, int], None] = lambda done, total: None,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
    on_epoch: Callable[[Row], None] = lambda row: None,
) -> Run:
    """Train on the data set's train split, validate after each epoch, keep the best.

    Writes into ``run_dir``: ``best.safetensors`` and ``last.safetensors`` (the weights
    of the epoch with the highest validation mIoU, and of the last), those of every
    ``keep_every``-th epoch, ``history.csv`` (a row an epoch), ``setup.json`` (what
    decides the run), ``checkpoint.pt`` while it trains and, at the end,
    ``manifest.json`` (everything one needs to know to make the run again).

    A run that was stopped, at whatever moment, goes on after its last whole epoch when
    it is called again, and ends as if it had never been stopped. One that has finished
    is not trained again. Two calls for one folder at a time would spoil it: the second
    is refused.

    Args:
        config: what to train, and how.
        data_dir: a folder or a description, as
            :func:`unet_tutorial.data.description.read_description` takes it.
        run_dir: a new folder, or that of the same run.
        overwrite: replace another run that is there.
        skip_bad: leave out pairs with a fault, and say in the manifest which, instead
            of stopping.
        on_pair: called with the number of pairs decoded and their total, after each,
            if the data set was not decoded before.
        on_batch: called with the number of batches trained on and their total in the
            run, after each.
        on_epoch: called with each row of the history; those of epochs that were done
            before come at once.

    Raises:
        UserError: if the configuration, the data or the folder cannot be used, another
            process is training into the folder, or the loss is no longer a number.
    """
    _check(config)
    check_run_folder(run_dir, overwrite, config)
    make_augmentation(config.augment, config.size, config.crop)  # refuses what is wrong
    data = open_set(data_dir, config.size, config.target, skip_bad, on_pair)
    classes, parts = data.target.classes, _sound_parts(data, data_dir)
    about = _describe(config, data, parts)
    begun = _begun_as(about, run_dir)
    fabric = make_fabric(begun.get("precision") or config.precision)
    precision = about["precision"] = fabric.strategy.precision.precision
    memory_format = MEMORY_FORMATS.get(
        str(begun.get("memory_format"))
    ) or choose_memory_format(config, fabric.device, precision)
    about["memory_format"] = fabric.broadcast(str(memory_format))
    # One process looks, and all learn the same.
    if fabric.broadcast(is_finished(run_dir, about)):
        run = load_run(run_dir)
        if fabric.is_global_zero:
            # It may have been killed between the manifest and this.
            with suppress(OSError):
                (run_dir / CHECKPOINT).unlink(missing_ok=True)
            rows: list[Any] = run.history.to_dict("records")
            for row in rows:
                on_epoch(row)
        return run
    if fabric.device.type == "cuda" and torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats(fabric.device)  # an earlier run's
    train, val = (
        data.frames(parts[name]).on(fabric.device) for name in ("train", "val")
    )
    weights = median_weights(train, classes) if config.class_weights else None
    loss_function = make_loss(
        config.loss, classes.ignore_index, weights, config.label_smoothing
    ).to(fabric.device)
    memory_format = MEMORY_FORMATS[about["memory_format"]]
    state = setup(config, len(classes), len(train), fabric, memory_format=memory_format)

    origin = provenance(fabric.device)  # the code may change while it trains
    with _begun(run_dir, about, overwrite, fabric) as saved:
        if saved is not None:
            try:
                state.restore(saved)
            except Exception as error:  # it was read, and can still hold anything
                raise UserError(
                    f"{run_dir / CHECKPOINT}: does not fit the run "
                    f"({reason_of(error)}); delete {run_dir} to start anew"
                ) from error
        if fabric.is_global_zero:
            _keep(run_dir, state, config)
            for row in state.history:  # of a run that goes on
                on_epoch(row)
        for row in learn(
            state,
            config,
            train,
            val,
            classes,
            loss_function,
            fabric,
            on_batch,
            lambda position: str(parts["train"][position].image),
        ):
            if fabric.is_global_zero:
                save_checkpoint(run_dir, state.to_save())
                _keep(run_dir, state, config)
                on_epoch(row)
        if fabric.is_global_zero:
            save_weights(run_dir, state.model, LAST)
            shown = len(train) * config.epochs
            manifest = {
                **about,
                "encoder_weights_used": state.weights_used,
                "parameters": sum(
                    weight.numel() for weight in state.model.parameters()
                ),
                "skipped": data.faults,
                "trained_on": data.digests(parts["train"]),
                "best_epoch": state.best_epoch,
                "seconds": round(state.seconds, 1),
                "images_per_second": round(shown / state.seconds, 1),
                "peak_memory_mb": _peak_memory_mb(fabric.device),
                **origin,
            }
            finish_run(run_dir, manifest)
    fabric.barrier()
    return load_run(run_dir)


def _sound_parts(data: DecodedSet, data_dir: Path) -> dict[str, list[Pair]]:
    """The pairs of each part that have no fault, enough to train and validate on."""
    parts = {name: data.sound(pairs) for name, pairs in split_pairs(data.pairs).items()}
    for name in ("train", "val"):
        if not parts[name]:
            raise UserError(
                f"{data_dir}: has no sound pair for '{name}'; name a folder for it in "
                "its description, or see 'data check'"
            )
    if len(parts["train"]) < processes_started():
        raise UserError(
            f"{data_dir}: {len(parts['train'])} pairs to train on cannot be shared by "
            f"{processes_started()} processes; start fewer"
        )
    return parts


def _describe(
    config: Config, data: DecodedSet, parts: dict[str, list[Pair]]
) -> dict[str, Any]:
    """Everything that decides a run, but precision and memory format."""
    weights_file = Path(config.encoder_weights)
    return {
        "config": asdict(config),
        "encoder_weights_digest": (
            digest_files([weights_file]) if weights_file.is_file() else None
        ),
        "classes": asdict(data.target.classes),
        "data": {
            "name": data.name,
            "digest": data.digest,
            "pairs": {name: len(pairs) for name, pairs in parts.items()},
            "parts": {
                name: join_digests(data.digests(pairs)) for name, pairs in parts.items()
            },
        },
        "processes": processes_started(),
        "versions": versions(),
        "code": code_digest(),
    }


@contextmanager
def _begun(
    run_dir: Path, about: dict[str, Any], overwrite: bool, fabric: Fabric
) -> Iterator[dict[str, Any] | None]:
    """Keep other calls from the folder; yields what the run goes on from, if anything.

    The first process sees to it for all.
    """
    saved, refused = None, None
    with ExitStack() as stack:
        if fabric.is_global_zero:
            try:
                stack.enter_context(locked(run_dir, wait=False))
                saved = begin_run(run_dir, about, overwrite)
            except UserError as error:
                refused = error
        # All processes stop, not only the one that looked: the others would wait.
        saved, refused = fabric.broadcast((saved, refused))
        if refused is not None:
            raise refused
        yield saved


def _begun_as(about: dict[str, Any], run_dir: Path) -> dict[str, Any]:
    """The precision and the memory format of the very same run, if it has begun.

    What is faster is a matter of the machine and the hour, and the run goes on as it
    began.
    """
    begun = begun_setup(run_dir)
    chosen = {name: begun.pop(name, None) for name in ("precision", "memory_format")}
    return chosen if begun == as_read(about) else {}


def _keep(run_dir: Path, state: State, config: Config) -> None:
    """Write what follows from a checkpoint; again, after a stop between the two."""
    epoch = len(state.history)
    if epoch == 0:
        return
    if state.best_epoch == epoch:
        save_weights(run_dir, state.model)
    if config.keep_every and epoch % config.keep_every == 0:
        save_weights(run_dir, state.model, EPOCH.format(f"{epoch:04}"))
    save_history(run_dir, state.history)


def _batches_per_epoch(images: int, config: Config, fabric: Fabric) -> int:
    """How many batches each process sees in an epoch."""
    seen = len(share_positions(torch.arange(images), config.batch_size, fabric))
    return math.ceil(seen / (config.batch_size // fabric.world_size))


def _generator(*numbers: int) -> torch.Generator:
    seed = np.random.SeedSequence(numbers).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(seed[0]) % 2**63)


def _peak_memory_mb(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) // 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (2**20 if sys.platform == "darwin" else 2**10)


def _check(config: Config) -> None:
    for name in ("epochs", "batch_size", "base_channels", "accumulate", "keep_every"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise UserError(f"{name} is {value}; it must be at least 1")
    for name in ("learning_rate", "clip"):
        value = getattr(config, name)
        if value is not None and not 0 < value < math.inf:
            raise UserError(f"{name} is {value}; it must be a number above 0")
    if not 0 <= config.label_smoothing <= 1:
        raise UserError(
            f"label_smoothing is {config.label_smoothing}; it must be from 0 to 1"
        )
    if not 0 <= config.seed < 2**63:
        raise UserError(f"seed is {config.seed}; it must be from 0 to 2^63 - 1")
    for name, known in (
        ("model", MODEL_NAMES),
        ("loss", LOSS_NAMES),
        ("schedule", SCHEDULE_NAMES),
        ("precision", PRECISIONS),
        ("class_weights", (None, "median")),
    ):
        check_known(name, getattr(config, name), known)
    if config.loss == "dice" and (config.class_weights or config.label_smoothing):
        raise UserError(
            "loss 'dice': takes neither class weights nor label smoothing; use "
            "'cross-entropy' or 'both'"
        )
    if config.batch_size % processes_started():
        raise UserError(
            f"batch_size {config.batch_size}: cannot be shared by "
            f"{processes_started()} processes; choose a multiple of their number"
        )
    # At its coarsest, a network must see more than one position: batch
    # normalisation cannot work on a single number.
    smallest = 64 if config.model == "resnet34" else 32
    for name, shape in (("size", config.size), ("crop", config.crop or config.size)):
        if min(shape) < smallest:
            raise UserError(
                f"{name} {shape[0]}x{shape[1]}: for '{config.model}' both sides must "
                f"be at least {smallest}"
            )
    if config.model == "scratch" and config.encoder_weights != "none":
        raise UserError(
            f"encoder weights '{config.encoder_weights}': the network from scratch has "
            "no pretrained encoder; leave them out or train 'resnet34'"
        )

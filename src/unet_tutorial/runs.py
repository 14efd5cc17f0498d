"""What a run leaves behind: its folder, and where its numbers came from."""

import platform
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from unet_tutorial.classes import Classes
from unet_tutorial.errors import UserError
from unet_tutorial.files import read_json, whole_file, write_json

MANIFEST, HISTORY, WEIGHTS = "manifest.json", "history.csv", "best.safetensors"
PACKAGES = (
    "torch",
    "torchvision",
    "segmentation-models-pytorch",
    "lightning-fabric",
    "numpy",
)


@dataclass(frozen=True)
class Config:
    """Everything that decides a run, beside the data.

    The defaults for ``epochs`` and ``learning_rate`` are those of the report.
    """

    model: str
    size: tuple[int, int]
    """Height and width at which the network sees the images, in pixels."""
    epochs: int = 100
    learning_rate: float = 0.0005
    batch_size: int = 8
    seed: int = 0
    base_channels: int = 16
    """Width of the first block of the network from scratch."""
    encoder_weights: str = "none"
    """What the ResNet34 starts from, ``imagenet``, ``none`` or the path of a file."""
    target: str | None = None
    """What the masks are reduced to: ``lyft``, or None for their own classes."""
    augment: str = "mirror"
    """What is done to images in training: ``none``, ``mirror`` or ``full``."""


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, what made it, and its loss curves."""

    folder: Path
    config: Config
    classes: Classes
    manifest: dict[str, Any]
    history: pd.DataFrame

    def summary(self) -> dict[str, Any]:
        """What a page tells of a run: its size, time, weights, first and last epoch."""
        losses = self.history[["train_loss", "val_loss", "val_miou"]]
        return {
            "epochs": len(self.history),
            "parameters": self.manifest["parameters"],
            "weights": self.manifest["encoder_weights_used"],
            "seconds": self.manifest["seconds"],
            "best_epoch": self.manifest["best_epoch"],
            "first": losses.iloc[0].to_dict(),
            "last": losses.iloc[-1].to_dict(),
        }


def check_run_folder(folder: Path, overwrite: bool) -> None:
    """See that a run may be written to a folder, before any work is done for it.

    Raises:
        UserError: if the folder holds a finished run that is not to be
            overwritten, or anything else.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; choose another folder for the run")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not any((folder / name).exists() for name in (MANIFEST, HISTORY, WEIGHTS)):
        raise UserError(
            f"{folder}: holds something else than a run; choose another folder"
        )
    if not overwrite and (folder / MANIFEST).exists():
        raise UserError(
            f"{folder}: already holds a run; choose another folder or delete it"
        )


def begin_run(folder: Path) -> None:
    """Make an empty folder, in place of what :func:`check_run_folder` let pass.

    Raises:
        UserError: if it cannot be made.
    """
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be made ({error.strerror}); choose another folder"
        ) from error


def save_weights(folder: Path, model: nn.Module) -> None:
    """Write the model's weights as safetensors, which cannot carry code."""
    state = {
        name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()
    }
    with whole_file(folder / WEIGHTS) as temporary:
        try:
            save_file(state, temporary)
        except SafetensorError as error:  # how it reports a full disk
            raise OSError(str(error)) from error


def load_weights(folder: Path, model: nn.Module) -> None:
    """Read what :func:`save_weights` wrote.

    Raises:
        UserError: if the file is missing, broken or of another network.
    """
    path = folder / WEIGHTS
    try:
        model.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{path}: cannot be loaded ({reason}); train the run again"
        ) from error


def save_history(folder: Path, rows: list[dict[str, float]]) -> None:
    """Write one row per epoch."""
    with whole_file(folder / HISTORY) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)


def finish_run(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest, which says that the run is whole."""
    write_json(folder / MANIFEST, manifest)


def load_run(folder: Path) -> Run:
    """Read a finished run.

    Raises:
        UserError: if there is none, it did not finish, or it is damaged.
    """
    if not (folder / MANIFEST).is_file():
        state = "did not finish" if (folder / HISTORY).exists() else "holds no run"
        raise UserError(f"{folder}: {state}; make one with 'train --out {folder}'")
    manifest = read_json(folder / MANIFEST)
    try:
        config = Config(**manifest["config"])
        known = manifest["classes"]
        classes = Classes(
            tuple(known["names"]), tuple(known["colours"]), known["ignore_index"]
        )
        history = pd.read_csv(folder / HISTORY)
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise UserError(
            f"{folder}: its {MANIFEST} or {HISTORY} is damaged ({error}); "
            "train the run again"
        ) from error
    return Run(folder, config, classes, manifest, history)


def provenance() -> dict[str, Any]:
    """When, on what and with which code something was computed."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": _git("rev-parse", "--short=12", "HEAD"),
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": _device(),
        # torch says more of itself than its package does: which build it is.
        "versions": {name: version(name) for name in PACKAGES}
        | {"torch": torch.__version__},
    }


def save_results(
    out_dir: str, page: str, profile: str, data_dir: str, **numbers: Any
) -> None:
    """Write the numbers that a page of the book quotes, with where they came from.

    Args:
        out_dir: the profile's folder; the file is ``OUT_DIR/results/PAGE.json``.
        page: name of the page, which shows the file's provenance at its foot.
        profile: name of the profile.
        data_dir: the data that the numbers were computed on.
        numbers: anything that JSON can hold.
    """
    origin = {"profile": profile, "data": Path(data_dir).name, **provenance()}
    write_json(
        Path(out_dir) / "results" / f"{page}.json", {**numbers, "provenance": origin}
    )


def _device() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    kind = "Apple GPU" if torch.backends.mps.is_available() else "CPU"
    return f"{kind}, {torch.get_num_threads()} threads"


def _git(*arguments: str) -> str | None:
    """One line from git about this source tree; None outside of one."""
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()

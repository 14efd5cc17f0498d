"""What a run leaves behind: its folder, and where its numbers came from."""

import io
import json
import platform
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from unet_tutorial.classes import Classes
from unet_tutorial.config import Config
from unet_tutorial.errors import UserError, reason_of
from unet_tutorial.files import digest_files, read_json, whole_file, write_json
from unet_tutorial.processes import best_device
from unet_tutorial.source import source_state

MANIFEST, HISTORY, SETUP = "manifest.json", "history.csv", "setup.json"
BEST, LAST, CHECKPOINT = "best.safetensors", "last.safetensors", "checkpoint.pt"
EPOCH = "epoch-{}.safetensors"
# The parts of the library that decide what a run learns.
DECIDING = (
    "classes.py",
    "data/*.py",
    "hardware.py",
    "losses.py",
    "metrics.py",
    "models/*.py",
    "processes.py",
    "training.py",
)
PACKAGES = (
    "torch",
    "torchvision",
    "segmentation-models-pytorch",
    "lightning-fabric",
    "numpy",
)


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, what made it, and its loss curves."""

    folder: Path
    config: Config
    classes: Classes
    manifest: dict[str, Any]
    history: pd.DataFrame
    weights: str = BEST
    """The file in its folder from which it answers."""

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


def check_run_folder(
    folder: Path, overwrite: bool, config: Config | None = None
) -> None:
    """See that a run may be written to a folder, before any work is done for it.

    Raises:
        UserError: if the folder cannot be read, or holds what is not to be overwritten:
            a run of another configuration, parts of an unknown one, or anything else.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder}: is a file; choose another folder for the run")
        if not folder.is_dir():
            return
        known = overwrite or (folder / SETUP).exists() or (folder / MANIFEST).exists()
        for path in folder.iterdir():
            if path.name.startswith("."):  # as systems leave them, and killed calls
                continue
            if not (known and _is_ours(path)):
                raise UserError(
                    f"{folder}: holds something other than a run, such as {path.name}; "
                    "choose another folder"
                )
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be read ({error.strerror}); choose another folder"
        ) from error
    if config is None or overwrite:
        return
    there, here = begun_setup(folder), as_read({"config": asdict(config)})
    if there and there["config"] != here["config"]:
        raise _holds_another(folder, there, here)


def _is_ours(path: Path) -> bool:
    """Whether a file in a run's folder is one of those that runs are made of."""
    named = (MANIFEST, HISTORY, SETUP, BEST, LAST, CHECKPOINT)
    return path.name in named or any(map(path.match, (EPOCH.format("*"), ".*.tmp")))


def begun_setup(folder: Path) -> dict[str, Any]:
    """The setup of the run in a folder, whether it finished or not; empty if none is.

    Raises:
        UserError: if its file is damaged.
    """
    if not (folder / SETUP).exists():
        return {}
    setup = read_json(folder / SETUP)
    if not isinstance(setup.get("config"), dict):
        raise UserError(
            f"{folder / SETUP}: holds no setup; delete {folder} to start anew"
        )
    return setup


def is_finished(folder: Path, setup: dict[str, Any]) -> bool:
    """Whether a folder holds a finished run of this very setup."""
    return (folder / MANIFEST).exists() and begun_setup(folder) == as_read(setup)


def begin_run(
    folder: Path, setup: dict[str, Any], overwrite: bool
) -> dict[str, Any] | None:
    """Make a folder for a run, or find where the same run was interrupted.

    Args:
        folder: what :func:`check_run_folder` let pass, and where the same run has not
            finished.
        setup: everything that decides the run.
        overwrite: replace another run.

    Returns:
        What :func:`save_checkpoint` saved last of the same run; None if there is
        nothing to go on from.

    Raises:
        UserError: if a run of another setup is there and not to be overwritten, what
            was saved of the same one is damaged, or the folder cannot be made.
    """
    # Again: another process may have been at work here in the meantime.
    check_run_folder(folder, overwrite)
    setup, finished = as_read(setup), (folder / MANIFEST).exists()
    there = begun_setup(folder)
    if there == setup:
        if finished:
            raise UserError(
                f"{folder}: another call has just finished this run; call again to "
                "read it"
            )
        for left_behind in folder.glob(".*.tmp"):
            with suppress(OSError):
                left_behind.unlink()
        return _load_checkpoint(folder)
    if not overwrite and (there or finished):
        raise _holds_another(folder, there, setup)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Should this be stopped half-way, what is left must not pass for a finished
        # run, nor for one that can go on, and must still be known as one of ours.
        for name in (MANIFEST, CHECKPOINT):
            (folder / name).unlink(missing_ok=True)
        for path in filter(_is_ours, folder.iterdir()):
            if path.name != SETUP:
                path.unlink()
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be made ({error.strerror}); choose another folder"
        ) from error
    write_json(folder / SETUP, setup)
    return None


def _holds_another(
    folder: Path, there: dict[str, Any], here: dict[str, Any]
) -> UserError:
    kind, remedy = "an unfinished run", "give that again to go on, "
    if (folder / MANIFEST).exists():
        kind, remedy = "a run", ""
    difference = _difference({"config": {}} | there, here)
    return UserError(
        f"{folder}: holds {kind} of another setup ({difference}); "
        f"{remedy}choose another folder, or delete it"
    )


def as_read(setup: dict[str, Any]) -> dict[str, Any]:
    """As a setup is read from its file: with lists for tuples."""
    return dict(json.loads(json.dumps(setup)))


def _difference(there: dict[str, Any], here: dict[str, Any], within: str = "") -> str:
    """In words, the first entry in which two setups differ."""
    # What was asked for comes first, of that the model: all else may follow from it.
    first = {"config", "model"}
    known = there.keys() | here.keys()
    for key in [*sorted(known & first), *sorted(known - first)]:
        one, other = (setup.get(key, "nothing") for setup in (there, here))
        if isinstance(one, dict) and isinstance(other, dict) and one != other:
            return _difference(one, other, "" if key == "config" else f"{key}.")
        if one != other:
            return f"{within}{key}: {one} there, {other} here"
    raise ValueError("two setups are the same")


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write all that is needed to go on: tensors, numbers and lists, no code."""
    # By way of memory, for torch's own writer does not say why it could not write.
    content = io.BytesIO()
    torch.save(state, content)
    with whole_file(folder / CHECKPOINT) as temporary:
        temporary.write_bytes(content.getbuffer())


def _load_checkpoint(folder: Path) -> dict[str, Any] | None:
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        # Only tensors and the like: a file that brings code with it is refused.
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what is no checkpoint can raise anything
        raise UserError(
            f"{path}: cannot be read ({reason_of(error)}); delete {folder} to start "
            "anew"
        ) from error


def save_weights(folder: Path, model: nn.Module, name: str = BEST) -> None:
    """Write the model's weights as safetensors, which cannot carry code."""
    state = {
        key: tensor.contiguous().cpu() for key, tensor in model.state_dict().items()
    }
    with whole_file(folder / name) as temporary:
        # Not save_file: it writes through a temporary file of its own, under a name
        # that nobody could tell from a stranger's after a kill.
        temporary.write_bytes(save(state))


def load_weights(folder: Path, model: nn.Module, name: str = BEST) -> None:
    """Read what :func:`save_weights` wrote.

    Raises:
        UserError: if the file is missing, broken or of another network.
    """
    path = folder / name
    try:
        model.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise UserError(
            f"{path}: cannot be loaded ({reason_of(error)}); delete {folder} and train "
            "it again"
        ) from error


def save_history(folder: Path, rows: list[dict[str, float]]) -> None:
    """Write one row per epoch."""
    with whole_file(folder / HISTORY) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)


def finish_run(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest, which says that the run is whole.

    There is nothing left to go on with, so what was kept for that is removed.
    """
    write_json(folder / MANIFEST, manifest)
    with suppress(OSError):
        (folder / CHECKPOINT).unlink(missing_ok=True)


def load_run(folder: Path) -> Run:
    """Read a finished run.

    Args:
        folder: of the run, which then answers by its best weights; or a file of weights
            in it, as ``last.safetensors``, by which it answers instead.

    Raises:
        UserError: if there is none, it did not finish, or it is damaged.
    """
    weights = BEST
    if folder.suffix == Path(BEST).suffix and not folder.is_dir():
        folder, weights = folder.parent, folder.name
        if not (folder / weights).is_file():
            found = sorted(path.name for path in folder.glob(f"*{Path(BEST).suffix}"))
            raise UserError(
                f"{folder / weights}: no such file; choose one of a run's "
                f"({', '.join(found) or 'there are none here'})"
            )
    if not (folder / MANIFEST).is_file():
        if (folder / SETUP).exists():
            raise UserError(
                f"{folder}: did not finish; give the call that began it again to go on"
            )
        if not folder.exists():
            raise UserError(
                f"{folder}: no such run; check the path, or make one with 'train --out "
                f"{folder}'"
            )
        raise UserError(
            f"{folder}: holds no run; name the folder that 'train' was given as --out"
        )
    manifest = read_json(folder / MANIFEST)
    try:
        settings = manifest["config"]
        shapes = {"size": tuple(settings["size"])}
        if settings.get("crop"):
            shapes["crop"] = tuple(settings["crop"])
        config = Config(**settings | shapes)
        known = manifest["classes"]
        classes = Classes(
            tuple(known["names"]), tuple(known["colours"]), known["ignore_index"]
        )
        history = pd.read_csv(folder / HISTORY)
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise UserError(
            f"{folder}: its {MANIFEST} or {HISTORY} is damaged ({error}); delete it "
            "and train the run again"
        ) from error
    return Run(folder, config, classes, manifest, history, weights)


def provenance(device: torch.device | None = None) -> dict[str, Any]:
    """When, on what and with which code something was computed.

    Args:
        device: where; by default the best that there is.
    """
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        **source_state(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": _device_name(device),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Of what computes."""
    # torch says more of itself than its package does: which build it is.
    return {name: version(name) for name in PACKAGES} | {"torch": torch.__version__}


def code_digest() -> str:
    """A name for the code that decides what a run learns."""
    package = Path(__file__).parent
    files = {path for name in DECIDING for path in package.glob(name)}
    return digest_files(files - {package / "data/download.py"})


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


def _device_name(device: torch.device | None) -> str:
    device = device or best_device()
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    # What a CPU can compute at once decides how its sums come out, and how fast.
    capability = torch.backends.cpu.get_cpu_capability()
    kind = "Apple GPU" if device.type == "mps" else f"CPU ({capability})"
    threads = torch.get_num_threads()
    return f"{kind}, {threads} thread{'s' if threads > 1 else ''}"

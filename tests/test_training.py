"""A run learns, repeats itself, and leaves a folder that can be trusted."""

import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from tests.conftest import TINY
from unet_tutorial import runs, training
from unet_tutorial.classes import LYFT, Classes
from unet_tutorial.config import Config
from unet_tutorial.data.batches import Frames, batches
from unet_tutorial.data.cache import open_set
from unet_tutorial.data.split import split_pairs
from unet_tutorial.errors import UserError
from unet_tutorial.files import locked
from unet_tutorial.losses import CrossEntropy, DiceLoss
from unet_tutorial.metrics import ConfusionMatrix
from unet_tutorial.models.resnet_unet import ResNet34UNet
from unet_tutorial.models.unet import UNet
from unet_tutorial.runs import Run, load_run, load_weights
from unet_tutorial.training import (
    evaluate,
    fit,
    make_schedule,
    median_weights,
    train_one_epoch,
)


def test_the_loss_falls(town: Path, tmp_path: Path) -> None:
    longer = replace(TINY, epochs=15, learning_rate=0.01)
    losses = fit(longer, town, tmp_path / "run").history["train_loss"]
    assert losses.iloc[-1] < 0.9 * losses.iloc[0]


def test_a_run_repeats_itself_to_the_last_digit(
    town: Path, tiny_run: Run, tmp_path: Path
) -> None:
    again = fit(TINY, town, tmp_path / "run")
    for name in ("history.csv", "best.safetensors"):
        assert (again.folder / name).read_bytes() == (
            tiny_run.folder / name
        ).read_bytes()
    other = fit(replace(TINY, seed=1), town, tmp_path / "other")
    assert not other.history.equals(again.history)


def test_a_run_holds_its_files_and_the_manifest_says_how_it_was_made(
    tiny_run: Run, town: Path
) -> None:
    assert sorted(path.name for path in tiny_run.folder.iterdir()) == [
        "best.safetensors",
        "history.csv",
        "last.safetensors",
        "manifest.json",
        "setup.json",
    ]
    manifest = json.loads((tiny_run.folder / "manifest.json").read_text())
    assert manifest["config"]["learning_rate"] == 0.0005
    assert manifest["encoder_weights_used"] == "random"
    assert sum(manifest["data"]["pairs"].values()) == 15
    assert min(manifest["data"]["pairs"].values()) > 0
    assert manifest["precision"] == "32-true"
    assert manifest["images_per_second"] > 0
    assert manifest["peak_memory_mb"] > 100
    assert len(manifest["data"]["digest"]) == 16
    assert manifest["versions"]["torch"] == torch.__version__
    assert list(tiny_run.history.columns[:4]) == [
        "epoch",
        "train_loss",
        "val_loss",
        "val_miou",
    ]


def test_the_weights_kept_are_those_of_the_best_epoch(
    tiny_run: Run, town: Path
) -> None:
    model = UNet(num_classes=13, base_channels=4)
    load_weights(tiny_run.folder, model)
    data = open_set(town, TINY.size)
    val = data.frames(split_pairs(data.pairs)["val"])
    _, confusion = evaluate(model, batches(val, 4), DiceLoss(), LYFT)
    assert confusion.miou() == pytest.approx(
        tiny_run.history["val_miou"].max(), abs=1e-6
    )


def test_best_and_last_weights_are_told_apart(
    town: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.1, 0.3, 0.2, 0.3])

    def judge(*arguments: Any) -> tuple[float, ConfusionMatrix]:
        loss, confusion = evaluate(*arguments)
        score = next(scores)
        monkeypatch.setattr(confusion, "miou", lambda: score)
        return loss, confusion

    monkeypatch.setattr(training, "evaluate", judge)
    run = fit(replace(TINY, epochs=4, keep_every=1), town, tmp_path / "run")
    assert run.manifest["best_epoch"] == 2  # the first of the best
    files = [run.folder / f"epoch-{epoch:04}.safetensors" for epoch in (1, 2, 3, 4)]
    assert len({path.read_bytes() for path in files}) == 4
    assert (run.folder / "best.safetensors").read_bytes() == files[1].read_bytes()
    assert (run.folder / "last.safetensors").read_bytes() == files[3].read_bytes()


def test_evaluate_changes_nothing_in_the_network(town: Path) -> None:
    model = UNet(num_classes=13, base_channels=4)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    data = open_set(town, (32, 48))
    frames = data.frames(data.pairs[:4])
    evaluate(model, batches(frames, 2), DiceLoss(), LYFT)
    assert all(
        torch.equal(before[name], now) for name, now in model.state_dict().items()
    )


def test_a_run_is_not_overwritten_unless_asked(town: Path, tmp_path: Path) -> None:
    once = replace(TINY, epochs=1)
    fit(once, town, tmp_path / "run")
    before = (tmp_path / "run/history.csv").read_bytes()
    with pytest.raises(UserError, match=r"a run of .* \(seed: 0 there, 5 here\)"):
        fit(replace(once, seed=5), town, tmp_path / "run")
    assert (tmp_path / "run/history.csv").read_bytes() == before
    fit(replace(once, seed=5), town, tmp_path / "run", overwrite=True)
    assert (tmp_path / "run/history.csv").read_bytes() != before
    # A run that was stopped before its end is not replaced by another.
    (tmp_path / "run/manifest.json").unlink()
    with pytest.raises(UserError, match=r"unfinished run .* \(seed: 5 there, 0 here\)"):
        fit(once, town, tmp_path / "run")
    fit(once, town, tmp_path / "run", overwrite=True)
    assert (tmp_path / "run/history.csv").read_bytes() == before


def test_the_same_run_is_not_trained_again(town: Path, tmp_path: Path) -> None:
    told: list[list[dict]] = [[], [], []]
    trained: list[int] = []

    def train(config: Config, rows: list[dict]) -> Run:
        return fit(
            config,
            town,
            tmp_path / "run",
            overwrite=True,
            on_batch=lambda done, total: trained.append(done),
            on_epoch=rows.append,
        )

    first = train(TINY, told[0])
    batches_of_one = len(trained)
    again = train(TINY, told[1])
    assert len(trained) == batches_of_one > 0
    assert told[1] == told[0]  # a page shows the same lines
    assert again.manifest == first.manifest
    train(replace(TINY, learning_rate=0.1), told[2])
    assert len(trained) == 2 * batches_of_one


def test_a_run_from_other_weights_is_another_run(town: Path, tmp_path: Path) -> None:
    file = tmp_path / "encoder.safetensors"
    config = Config(
        "resnet34", (64, 64), epochs=1, batch_size=16, encoder_weights=str(file)
    )
    losses = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        save_file(ResNet34UNet().network.encoder.state_dict(), file)
        run = fit(config, town, tmp_path / "run", overwrite=True)
        losses.append(run.history["train_loss"].iloc[0])
    assert losses[0] != losses[1]


def test_an_unfinished_run_of_another_precision_is_named(
    town: Path, tmp_path: Path
) -> None:
    once = replace(TINY, epochs=1, precision="auto")
    chosen = fit(once, town, tmp_path / "run").manifest["precision"]
    (tmp_path / "run/manifest.json").unlink()
    # The same outcome, asked for by its name.
    with pytest.raises(UserError, match=rf"\(precision: auto there, {chosen} here\)"):
        fit(replace(once, precision=chosen), town, tmp_path / "run")


def test_weights_of_no_known_run_are_never_removed(town: Path, tmp_path: Path) -> None:
    (tmp_path / "best.safetensors").write_bytes(b"copied")
    with pytest.raises(UserError, match=r"something other than a run, such as best\."):
        fit(TINY, town, tmp_path)
    assert (tmp_path / "best.safetensors").exists()


def test_more_processes_than_pictures_are_refused(
    town: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unet_tutorial.training.processes_started", lambda: 1000)
    with pytest.raises(UserError, match="cannot be shared by 1000 processes"):
        fit(replace(TINY, batch_size=1000), town, tmp_path / "run")


def test_a_folder_with_something_else_is_never_removed(
    town: Path, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    (tmp_path / "history.csv").write_text("as a run has one, too")
    for overwrite in (False, True):
        with pytest.raises(UserError, match="something other than a run"):
            fit(TINY, town, tmp_path, overwrite=overwrite)
    assert (tmp_path / "thesis.txt").exists()
    assert (tmp_path / "history.csv").exists()


def test_a_run_that_did_not_finish_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no run"):
        load_run(tmp_path)
    (tmp_path / "setup.json").write_text("{}")
    with pytest.raises(UserError, match="did not finish"):
        load_run(tmp_path)


def test_a_damaged_run_is_named(tiny_run: Run, tmp_path: Path) -> None:
    for name, content in (("history.csv", ""), ("manifest.json", "{}")):
        shutil.copytree(tiny_run.folder, tmp_path / name)
        (tmp_path / name / name).write_text(content)
        with pytest.raises(UserError, match="is damaged"):
            load_run(tmp_path / name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"size": (16, 64)}, "at least 32"),
        ({"model": "resnet34", "size": (32, 64)}, "at least 64"),
        ({"encoder_weights": "imagenet"}, "has no pretrained encoder"),
        ({"model": "vgg"}, "'vgg' is not known"),
        ({"loss": "jaccard"}, "'jaccard' is not known"),
        ({"schedule": "step"}, "'step' is not known: choose one of cosine, or leave"),
        ({"precision": "8-bit"}, "'8-bit' is not known"),
        ({"augment": "rotate"}, "'rotate' is not known"),
        ({"crop": (16, 64)}, "crop 16x64: for 'scratch' both sides must be at least"),
        ({"crop": (96, 128)}, "crop 96x128: is larger than the size"),
        ({"target": "roads"}, "'roads' is not known"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0"),
        ({"clip": 0.0}, "clip is 0.0"),
        ({"keep_every": -1}, "keep_every is -1"),
        ({"label_smoothing": 2.0}, "label_smoothing is 2.0"),
        ({"seed": 2**63}, "seed is 9223372036854775808"),
        ({"label_smoothing": 0.1}, "takes neither class weights nor label smoothing"),
        (
            {"model": "resnet34", "size": (64, 64), "encoder_weights": "missing.st"},
            "no such file",
        ),
    ],
)
def test_a_faulty_configuration_is_refused_before_anything_is_written(
    change: dict, message: str, town: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        fit(replace(TINY, **change), town, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_broken_weights_are_named_and_a_pickle_is_refused(
    tiny_run: Run, tmp_path: Path
) -> None:
    torch.save({"a": 1}, tmp_path / "best.safetensors")
    with pytest.raises(UserError, match=r"best\.safetensors: cannot be loaded"):
        load_weights(tmp_path, UNet(num_classes=13, base_channels=4))
    with pytest.raises(UserError, match="cannot be loaded"):
        load_weights(tiny_run.folder, UNet(num_classes=13, base_channels=8))


# --- stopped, and going on ------------------------------------------------------------


class Stopped(Exception):
    pass


def stop(row: dict) -> None:
    """For ``on_epoch``: after the first."""
    raise Stopped


STOPPED = replace(TINY, epochs=4, augment="full", schedule="cosine", keep_every=2)


@pytest.fixture(scope="module")
def never_stopped(town: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fit(STOPPED, town, tmp_path_factory.mktemp("whole") / "run")


@pytest.mark.parametrize("stop_at", [1, 4, 5, 7, 10])
def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(
    stop_at: int, never_stopped: Run, town: Path, tmp_path: Path
) -> None:
    config, whole = STOPPED, never_stopped

    def stop_there(done: int, total: int) -> None:
        if done == stop_at:
            raise Stopped

    with pytest.raises(Stopped):
        fit(config, town, tmp_path / "run", on_batch=stop_there)
    epochs: list[float] = []
    steps: list[int] = []
    run = fit(
        config,
        town,
        tmp_path / "run",
        on_batch=lambda done, total: steps.append(done),
        on_epoch=lambda row: epochs.append(row["epoch"]),
    )
    assert_same_run(run.folder, whole.folder)
    batches_an_epoch = -(-whole.manifest["data"]["pairs"]["train"] // 4)
    whole_epochs = (stop_at - 1) // batches_an_epoch
    assert steps[0] == whole_epochs * batches_an_epoch + 1
    assert epochs == run.history["epoch"].tolist()  # of those before, too


def assert_same_run(one: Path, other: Path) -> None:
    names = {path.name for path in one.iterdir()}
    assert names == {path.name for path in other.iterdir()}
    for name in names - {"manifest.json"}:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def train_in_another_process(
    config: Config, data: Path, folder: Path, begun: Event
) -> None:
    torch.set_num_threads(1)
    fit(config, data, folder, on_batch=lambda done, total: begun.set())


def test_a_run_killed_at_any_moment_ends_as_if_it_had_not_been(
    town: Path, tmp_path: Path
) -> None:
    config = replace(TINY, epochs=80)
    whole = fit(config, town, tmp_path / "whole")
    seconds_an_epoch = whole.manifest["seconds"] / config.epochs
    # A server that has everything imported, so that the processes start at once.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    chance = random.Random(0)
    for _ in range(20):
        begun = context.Event()
        process = context.Process(
            target=train_in_another_process,
            args=(config, town, tmp_path / "run", begun),
        )
        process.start()
        assert begun.wait(120)
        # Wherever it is by then, and never far: a kill costs two epochs at most.
        time.sleep(chance.uniform(0, 2 * seconds_an_epoch))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    assert_same_run(fit(config, town, tmp_path / "run").folder, whole.folder)


def train_until_killed(moment: str, config: Config, data: Path, folder: Path) -> None:
    """The second time that the process comes to the moment, it dies in its middle."""
    torch.set_num_threads(1)
    times = 0

    def dying(work: Callable, writing: bool = True) -> Callable:
        def do(*given: Any, **named: Any) -> Any:
            nonlocal times
            times += 1
            if times == 2 and writing:
                # The system kills it at the first byte past this of any file.
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
                resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
            elif times == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            return work(*given, **named)

        return do

    if moment == "validation":
        training.evaluate = dying(training.evaluate, writing=False)
    elif moment == "after the checkpoint":
        training._keep = dying(training._keep, writing=False)
    elif moment == "checkpoint":
        training.save_checkpoint = dying(training.save_checkpoint)
    elif moment == "weights":
        training.save_weights = dying(training.save_weights)
    else:
        training.save_history = dying(training.save_history)
    fit(config, data, folder)


@pytest.mark.parametrize(
    ("moment", "by"),
    [
        ("validation", signal.SIGKILL),
        ("checkpoint", signal.SIGXFSZ),
        ("after the checkpoint", signal.SIGKILL),
        ("weights", signal.SIGXFSZ),
        ("history", signal.SIGXFSZ),
    ],
)
def test_a_run_killed_in_the_middle_of_its_work_ends_as_if_it_had_not_been(
    moment: str, by: signal.Signals, town: Path, tmp_path: Path
) -> None:
    config = replace(TINY, epochs=3)
    process = multiprocessing.get_context("forkserver").Process(
        target=train_until_killed, args=(moment, config, town, tmp_path / "run")
    )
    process.start()
    process.join(120)
    assert process.exitcode == -by
    assert not (tmp_path / "run/manifest.json").exists()
    whole = fit(config, town, tmp_path / "whole")
    assert_same_run(fit(config, town, tmp_path / "run").folder, whole.folder)


def test_a_run_killed_when_it_had_just_finished_is_kept(
    town: Path, tmp_path: Path
) -> None:
    whole = fit(TINY, town, tmp_path / "whole")
    shutil.copytree(whole.folder, tmp_path / "run")
    (tmp_path / "run/checkpoint.pt").touch()  # removed after the manifest is written
    (tmp_path / "run/.DS_Store").touch()  # as the system of a Mac leaves it
    trained: list[int] = []
    fit(TINY, town, tmp_path / "run", on_batch=lambda done, total: trained.append(done))
    assert not trained
    (tmp_path / "run/.DS_Store").unlink()
    assert_same_run(tmp_path / "run", whole.folder)


def test_a_finished_run_is_read_without_the_weights_it_started_from(
    town: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(TINY, model="resnet34", size=(64, 64), epochs=1)
    whole = fit(config, town, tmp_path / "run")
    monkeypatch.setattr(
        training, "load_encoder_weights", lambda *_: pytest.fail("they were asked for")
    )
    assert fit(config, town, tmp_path / "run").history.equals(whole.history)


def test_two_calls_for_one_folder_do_not_mix(town: Path, tmp_path: Path) -> None:
    left = tmp_path / "run/.best.safetensors.1.tmp"

    def call_again(row: dict) -> None:
        left.touch()  # as the other call writes it at this moment
        with pytest.raises(UserError, match="run: another process is at work on it"):
            fit(TINY, town, tmp_path / "run")
        assert left.exists()

    with pytest.raises(UserError, match="another process"), locked(tmp_path / "run"):
        fit(TINY, town, tmp_path / "run")
    fit(TINY, town, tmp_path / "run", on_epoch=call_again)


def test_a_run_that_another_call_has_just_finished_is_kept(
    town: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finish_meanwhile(precision: str) -> Any:
        monkeypatch.undo()
        fit(replace(TINY, seed=5), town, tmp_path / "run")
        return training.make_fabric(precision)

    monkeypatch.setattr(training, "make_fabric", finish_meanwhile)
    with pytest.raises(UserError, match="a run of another setup"):
        fit(TINY, town, tmp_path / "run")
    assert load_run(tmp_path / "run").config.seed == 5


def test_a_run_that_another_call_finishes_at_this_moment_is_not_made_anew(
    town: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finish_meanwhile(*arguments: Any, **named: Any) -> Any:
        monkeypatch.undo()
        fit(TINY, town, tmp_path / "run")
        return training.setup(*arguments, **named)

    monkeypatch.setattr(training, "setup", finish_meanwhile)
    with pytest.raises(UserError, match="another call has just finished this run"):
        fit(TINY, town, tmp_path / "run", overwrite=True)
    assert fit(TINY, town, tmp_path / "run").history["epoch"].tolist() == [1, 2]


def test_a_run_goes_on_in_the_precision_it_began_with(
    town: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    auto = replace(TINY, precision="auto")
    probe = "unet_tutorial.hardware._probe_precision"
    for cache, faster in (("a", "bf16-mixed"), ("b", "32-true")):
        # As on two machines, each with a verdict of its own.
        monkeypatch.setattr(
            "platformdirs.user_cache_path",
            lambda name, cache=cache: tmp_path / cache,
        )
        monkeypatch.setattr(probe, lambda faster=faster: faster)
        if cache == "a":
            with pytest.raises(Stopped):
                fit(auto, town, tmp_path / "run", on_epoch=stop)
    assert fit(auto, town, tmp_path / "run").manifest["precision"] == "bf16-mixed"
    assert fit(auto, town, tmp_path / "new").manifest["precision"] == "32-true"
    # One that is replaced begins anew: with other code, say.
    monkeypatch.setattr(training, "code_digest", lambda: "other")
    anew = fit(auto, town, tmp_path / "run", overwrite=True)
    assert anew.manifest["precision"] == "32-true"


def test_a_run_does_not_go_on_with_other_parts_of_the_same_data(
    town: Path, tmp_path: Path
) -> None:
    for part, letters in (("train", "AB"), ("val", "CD")):
        for kind in ("CameraRGB", "CameraSeg"):
            (tmp_path / "data" / part / kind).mkdir(parents=True)
            for letter in letters:
                for path in (town / f"data{letter}" / kind).glob("*.png"):
                    shutil.copy(path, tmp_path / "data" / part / kind)
    description = {
        "folders": [
            {"images": f"{part}/CameraRGB", "masks": f"{part}/CameraSeg", "part": part}
            for part in ("train", "val")
        ],
        "classes": dict(zip(LYFT.names, LYFT.colours)),
    }
    path = tmp_path / "data/dataset.yaml"
    path.write_text(yaml.safe_dump(description, sort_keys=False))

    with pytest.raises(Stopped):
        fit(TINY, path, tmp_path / "run", on_epoch=stop)
    for folder, part in zip(description["folders"], ("val", "train")):
        folder["part"] = part  # type: ignore[index]
    path.write_text(yaml.safe_dump(description, sort_keys=False))
    with pytest.raises(UserError, match="unfinished run of another setup"):
        fit(TINY, path, tmp_path / "run")


def test_the_files_that_decide_a_run_are_there() -> None:
    for name in runs.DECIDING:
        assert list(Path(runs.__file__).parent.glob(name)), name


def test_a_run_does_not_go_on_with_other_versions(
    town: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(replace(TINY, epochs=1), town, tmp_path / "run")
    others = training.versions() | {"torchvision": "0.1"}
    monkeypatch.setattr(training, "versions", lambda: others)
    found = r"another setup \(versions\.torchvision: .* there, 0\.1 here\)"
    with pytest.raises(UserError, match=found):
        fit(replace(TINY, epochs=1), town, tmp_path / "run")


def test_a_run_does_not_go_on_under_other_code(
    town: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit(TINY, town, tmp_path / "whole").history

    with pytest.raises(Stopped):
        fit(TINY, town, tmp_path / "run", on_epoch=stop)
    monkeypatch.setattr("unet_tutorial.training.code_digest", lambda: "of another day")
    with pytest.raises(UserError, match=r"code: [0-9a-f]+ there, of another day here"):
        fit(TINY, town, tmp_path / "run")
    seen: list[dict] = []
    fit(TINY, town, tmp_path / "run", overwrite=True, on_epoch=seen.append)
    assert len(seen) == len(whole)  # from its first epoch on


def test_a_checkpoint_that_brings_code_is_refused(town: Path, tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "executed",))

    with pytest.raises(Stopped):
        fit(TINY, town, tmp_path / "run", on_epoch=stop)
    torch.save({"model": Malicious()}, tmp_path / "run/checkpoint.pt")
    with pytest.raises(UserError, match=r"checkpoint\.pt: cannot be read"):
        fit(TINY, town, tmp_path / "run")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"hello world\n",
        b"",
        {"a": 1},
        [1],
        {"model": {}, "optimizer": {}, "schedule": {}, "history": [], "seconds": 0},
    ],
)
def test_a_checkpoint_of_something_else_is_told_in_a_line(
    content: Any, town: Path, tmp_path: Path
) -> None:
    with pytest.raises(Stopped):
        fit(TINY, town, tmp_path / "run", on_epoch=stop)
    path = tmp_path / "run/checkpoint.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(UserError, match=r"checkpoint\.pt: [^\n]+ start anew$"):
        fit(TINY, town, tmp_path / "run")
    (tmp_path / "run/setup.json").write_text('{"config": 1}')
    with pytest.raises(UserError, match=r"setup\.json: holds no setup"):
        fit(TINY, town, tmp_path / "run")


def test_a_full_disk_is_told_in_a_line(town: Path, tmp_path: Path) -> None:
    fit(TINY, town, tmp_path / "whole")  # what is kept for all runs is written now
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Files larger than this cannot be written; the checkpoint is the first.
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**14, limits[1]))
    try:
        with pytest.raises(UserError, match=r"checkpoint\.pt: cannot be written"):
            fit(TINY, town, tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (tmp_path / "run/checkpoint.pt").exists()
    assert len(fit(TINY, town, tmp_path / "run").history) == 2


# --- the options ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"loss": "both", "class_weights": "median", "label_smoothing": 0.1},
        {"loss": "cross-entropy", "clip": 1.0},
        {"accumulate": 2, "schedule": "cosine"},
        {"batch_size": 64},
        {"precision": "bf16-mixed"},
    ],
)
def test_every_option_trains(change: dict, town: Path, tmp_path: Path) -> None:
    config = replace(TINY, epochs=8, learning_rate=0.005, **change)
    losses = fit(config, town, tmp_path / "run").history["train_loss"]
    assert losses.iloc[-3:].mean() < losses.iloc[:3].mean()


@pytest.mark.parametrize(
    "change",
    [
        {"class_weights": "median"},
        {"label_smoothing": 0.1},
        {"clip": 1e-3},
        {"accumulate": 2},
        {"schedule": "cosine"},
        {"augment": "mirror"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_no_option_is_without_effect(change: dict, town: Path, tmp_path: Path) -> None:
    plain = replace(TINY, epochs=1, loss="both")
    without = fit(plain, town, tmp_path / "without").history
    changed = fit(replace(plain, **change), town, tmp_path / "with").history
    assert not changed.equals(without)


def test_a_step_is_as_long_as_clip_lets_it_be() -> None:
    fabric = training.make_fabric("32-true")
    layer = torch.nn.Conv2d(3, 5, 1)
    before = torch.cat([weight.detach().flatten() for weight in layer.parameters()])
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    model, optimizer = fabric.setup(layer, optimizer)
    batch = 100 * torch.rand(2, 3, 8, 8), torch.randint(5, (2, 8, 8))
    train_one_epoch(model, [batch], CrossEntropy(), optimizer, fabric, clip=0.5)
    after = torch.cat([weight.detach().flatten() for weight in layer.parameters()])
    assert (after - before).norm().item() == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize(
    ("precision", "expected"),
    [("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)],
)
def test_the_network_computes_in_the_precision_asked_for(
    precision: str,
    expected: torch.dtype,
    town: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen, judged = set(), set()
    forward, dice = UNet.forward, DiceLoss.forward

    def look(self: UNet, image: torch.Tensor) -> torch.Tensor:
        logits = forward(self, image)
        seen.add(logits.dtype)
        return logits

    def judge(self: DiceLoss, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        loss = dice(self, logits, mask)
        judged.add(loss.dtype)
        return loss

    monkeypatch.setattr(UNet, "forward", look)
    monkeypatch.setattr(DiceLoss, "forward", judge)
    run = fit(replace(TINY, epochs=1, precision=precision), town, tmp_path / "run")
    assert seen == {expected}
    assert judged == {torch.float32}
    weights = load_file(run.folder / "best.safetensors").values()
    assert torch.bfloat16 not in {weight.dtype for weight in weights}


def test_network_and_images_lie_as_this_machine_is_fastest(
    town: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set()
    forward = UNet.forward

    def look(self: UNet, image: torch.Tensor) -> torch.Tensor:
        seen.add((self.training, image.is_contiguous()))
        assert all(weight.is_contiguous() for weight in self.parameters())
        return forward(self, image)

    monkeypatch.setattr(UNet, "forward", look)
    for machine, fastest in (
        ("a", torch.contiguous_format),
        ("b", torch.channels_last),
    ):
        monkeypatch.setattr(
            training, "choose_memory_format", lambda *asked, fastest=fastest: fastest
        )
        if machine == "a":
            with pytest.raises(Stopped):
                fit(TINY, town, tmp_path / "run", on_epoch=stop)
    # The second goes on as the first began.
    run = fit(TINY, town, tmp_path / "run")
    assert run.manifest["memory_format"] == "torch.contiguous_format"
    assert seen == {(True, True), (False, True)}


def test_parts_are_learned_from_and_whole_pictures_judged(
    town: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[bool, set[tuple[int, ...]]] = {True: set(), False: set()}
    forward = UNet.forward

    def look(self: UNet, image: torch.Tensor) -> torch.Tensor:
        seen[self.training].add(tuple(image.shape[-2:]))
        return forward(self, image)

    monkeypatch.setattr(UNet, "forward", look)
    config = replace(TINY, size=(48, 64), crop=(32, 48), epochs=1)
    assert fit(config, town, tmp_path / "run").config == config
    assert seen == {True: {(32, 48)}, False: {(48, 64)}}


def test_accumulating_halves_is_near_the_whole_batch(
    town: Path, tmp_path: Path
) -> None:
    config = replace(
        TINY, epochs=10, loss="cross-entropy", augment="none", learning_rate=0.005
    )
    whole = fit(config, town, tmp_path / "whole").history["train_loss"]
    halves = replace(config, batch_size=2, accumulate=2)
    shared = fit(halves, town, tmp_path / "halves").history["train_loss"]
    # The rest is batch normalisation, which sees half as many pictures at once.
    fallen = whole.iloc[0] - whole.iloc[-1]
    assert fallen > 0.5
    assert (whole - shared).abs().max() < 0.25 * fallen


@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_loss_that_is_no_number_stops_and_names_the_pictures(
    clip: float | None, town: Path, tmp_path: Path
) -> None:
    config = replace(TINY, epochs=5, learning_rate=1e30, clip=clip)
    with pytest.raises(UserError, match=r"no longer a number in epoch \d.*\.png"):
        fit(config, town, tmp_path / "run")


def test_a_validation_loss_that_is_no_number_stops(town: Path, tmp_path: Path) -> None:
    # A single step per epoch breaks the network only after its loss was taken.
    one_step = replace(TINY, batch_size=64, learning_rate=1e30)
    with pytest.raises(UserError, match="validation loss is no number"):
        fit(one_step, town, tmp_path / "one")


def test_the_cosine_rises_and_falls_to_zero() -> None:
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(UserError, match="schedule 'step' is not known"):
        make_schedule("step", optimizer, steps=100)
    schedule = make_schedule("cosine", optimizer, steps=100)
    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == rates[5] == 1.0
    assert rates[-1] < 0.01
    assert all(a > b for a, b in pairwise(rates[6:]))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_cosine_is_at_0_when_the_run_ends(
    accumulate: int, town: Path, tmp_path: Path
) -> None:
    rates: list[float] = []

    def look(row: dict) -> None:
        saved = torch.load(tmp_path / "run/checkpoint.pt", weights_only=True)
        rates.append(saved["optimizer"]["param_groups"][0]["lr"])

    config = replace(TINY, epochs=3, accumulate=accumulate, schedule="cosine")
    fit(config, town, tmp_path / "run", on_epoch=look)
    assert rates[0] > rates[1] > rates[2]
    assert rates[2] == pytest.approx(0)


def test_median_weights_lift_the_rare_and_leave_out_the_absent() -> None:
    masks = torch.zeros(2, 4, 4, dtype=torch.uint8)
    masks[0, 0, :2], masks[0, 1, 0], masks[0, 3] = 1, 2, 255
    frames = Frames(torch.zeros(2, 4, 4, 3, dtype=torch.uint8), masks, torch.arange(2))
    classes = Classes(("a", "b", "c", "d"), ("#000000",) * 4, 255)
    # Shares in the images where they occur: 25/32, 2/16 and 1/16.
    expected = [(2 / 16) / (25 / 32), 1, 2, 0]
    assert median_weights(frames, classes).tolist() == pytest.approx(expected)
    frames = replace(frames, masks=torch.full_like(masks, 255))
    with pytest.raises(UserError, match="no training pixel has a class"):
        median_weights(frames, classes)


def test_evaluate_gives_the_mean_loss_of_the_batches(town: Path) -> None:
    model = UNet(num_classes=13, base_channels=4)
    data = open_set(town, (32, 48))
    both = list(batches(data.frames(data.pairs[:4]), 2))
    alone = [evaluate(model, [one], DiceLoss(), LYFT)[0] for one in both]
    loss, _ = evaluate(model, both, DiceLoss(), LYFT)
    assert loss == pytest.approx(sum(alone) / 2)


# --- devices --------------------------------------------------------------------------


def test_a_gpu_that_nothing_has_used_yet_is_no_hindrance(
    town: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop_there(frames: Frames, device: torch.device) -> None:
        raise Stopped

    fabric = training.make_fabric("32-true")
    on_gpu = property(lambda self: torch.device("cuda", 0))
    monkeypatch.setattr(type(fabric), "device", on_gpu)
    monkeypatch.setattr(training, "make_fabric", lambda precision: fabric)
    monkeypatch.setattr(Frames, "on", stop_there)
    with pytest.raises(Stopped):  # and nothing earlier
        fit(TINY, town, tmp_path / "run")

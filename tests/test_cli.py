"""The calls that the README promises, and errors in one line."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from typer.testing import CliRunner, Result

import unet_tutorial
from unet_tutorial import training
from unet_tutorial.classes import LYFT
from unet_tutorial.cli import app
from unet_tutorial.config import Config
from unet_tutorial.data.pairs import find_pairs
from unet_tutorial.errors import UserError
from unet_tutorial.runs import Run, load_run
from unet_tutorial.town.drive import make_town


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def error_of(result: Result) -> str:
    """The one line of a failed call."""
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, lines
    return re.sub(r"\s+", " ", lines[0])


def test_from_making_data_to_predicting_a_mask(tmp_path: Path) -> None:
    data, run, out = tmp_path / "data", tmp_path / "run", tmp_path / "masks"
    made = call(
        "data",
        "make",
        "--out",
        data,
        "--count",
        6,
        "--size",
        "48x64",
        "--seed",
        1,
        "--flat",
    )
    assert made.exit_code == 0, made.output

    checked = call("data", "check", data)
    assert checked.exit_code == 0
    assert "6 pairs" in checked.stdout
    assert "TrafficSigns" in checked.stdout

    trained = call(
        "train",
        "--data",
        data,
        "--model",
        "scratch",
        "--out",
        run,
        "--epochs",
        1,
        "--size",
        "32x48",
        "--crop",
        "32x40",
        "--seed",
        2,
    )
    assert trained.exit_code == 0, trained.output
    config = load_run(run).config
    assert (config.size, config.crop) == ((32, 48), (32, 40))
    assert {"history.csv", "manifest.json"} <= {path.name for path in run.iterdir()}

    scores = tmp_path / "scores.json"
    evaluated = call("evaluate", "--run", run, "--data", data, "--out", scores)
    assert evaluated.exit_code == 0, evaluated.output
    written = json.loads(scores.read_text())
    assert {
        "miou",
        "dice",
        "pixel_accuracy",
        "lyft_score",
        "per_class",
    } <= written.keys()
    assert written["split"] == "test"
    everything = call(
        "evaluate", "--run", run, "--data", data, "--split", "all", "--out", scores
    )
    assert everything.exit_code == 0
    assert json.loads(scores.read_text())["pairs"] == 6

    images = [pair.image for pair in find_pairs(data)[:2]]
    predicted = call("predict", "--run", run, "--out", out, *images)
    assert predicted.exit_code == 0, predicted.output
    assert len(list(out.glob("*.png"))) == 4


def test_a_run_is_not_judged_on_what_it_was_trained_on(tmp_path: Path) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    make_town(data, 12, (48, 64), seed=0, flat=True)
    for i, pair in enumerate(find_pairs(data)):  # too few, so they are cut by order
        for path in (pair.image, pair.mask):
            path.rename(path.with_name(f"img_{i:02}.png"))
    (data / "town.json").unlink()
    config = ["--model", "scratch", "--size", "32x48", "--epochs", 1]
    assert call("train", "--data", data, "--out", run, *config).exit_code == 0
    assert call("evaluate", "--run", run, "--data", data).exit_code == 0
    for pair in find_pairs(data)[6:]:
        pair.image.unlink()
        pair.mask.unlink()
    assert "was trained on" in error_of(call("evaluate", "--run", run, "--data", data))


def test_resnet34_says_which_weights_it_started_from(
    town: Path, tmp_path: Path
) -> None:
    result = call(
        "train",
        "--data",
        town,
        "--model",
        "resnet34",
        "--out",
        tmp_path / "run",
        "--epochs",
        1,
        "--size",
        "64x64",
        "--encoder-weights",
        "none",
    )
    assert result.exit_code == 0, result.output
    assert "the encoder is to start from random weights" in result.stdout


def test_check_prints_a_line_for_each_fault(tmp_path: Path, town: Path) -> None:
    for folder in ("CameraRGB", "CameraSeg"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").write_text("no picture")
    # A name in no encoding of today, as old archives bring them.
    (tmp_path / os.fsdecode(b"CameraRGB/stra\xdfe.png")).write_text("alone")
    result = call("data", "check", tmp_path)
    assert result.exit_code == 1
    assert len(result.stdout.strip().splitlines()) == 2
    assert r"stra\udcdfe.png: has no mask" in result.stdout


def test_check_tells_what_names_and_ids_were_taken_for(tmp_path: Path) -> None:
    text = "folders: [{images: a, masks: b}]\nignore: 255\n"
    text += 'classes: {Ground: "#000000", Disc: "#ffffff"}\n'
    (tmp_path / "dataset.yaml").write_text(text)
    for i in range(12):
        for folder, value in (("a", 80), ("b", 255 * (i % 2))):
            path = tmp_path / f"{folder}/frame_{i:04}_640.png"
            path.parent.mkdir(exist_ok=True)
            Image.new("L", (32, 32), value).save(path)
    result = call("data", "check", tmp_path)
    assert result.exit_code == 0, result.output
    assert "no mask holds Disc" in result.stdout
    told = "12 drives; 'frame_0000_640' is frame 640 of 'frame_0000_'"
    assert told in result.stdout.replace("\n", " ")
    assert "no pair for" not in result.stdout
    (tmp_path / "dataset.yaml").write_text(text.replace("b}", "b, part: train}"))
    assert "no pair for 'val'" in call("data", "check", tmp_path).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data", "check", "nowhere"], "nowhere: no such folder"),
        (
            ["train", "--data", "nowhere", "--model", "scratch", "--out", "r"],
            "no such folder",
        ),
        (["evaluate", "--run", "nowhere", "--data", "TOWN"], "nowhere: no such run"),
        (["predict", "--run", "TOWN", "--out", "o", "a.png"], "'train' was given"),
        (["predict", "--run", "RUN", "--out", "o", "TOWN"], "is a folder; name"),
        (["evaluate", "--run", "RUN", "--data", "TOWN", "--split", "x"], "split 'x'"),
        (
            ["predict", "--run", "RUN", "--out", "o", "gone.png"],
            "gone.png: cannot be read",
        ),
        (
            ["train", "--data", "TOWN", "--model", "vgg", "--out", "r"],
            "'vgg' is not known",
        ),
        (
            ["train", "--data", "TOWN", "--model", "scratch", "--out", "RUN"],
            "holds a run of another setup",
        ),
        (["data", "make", "--out", "TOWN"], "already holds something else"),
        (["data", "fetch", "kitti", "--out", "o"], "'kitti' is not known"),
        (["data", "fetch", "lyft", "--out", "TOWN"], "is there already"),
        (["data", "fetch", "lyft", "--out", "o", "--archive", "a.zip"], "no such file"),
        (["data", "make", "--out", "o", "--count", "0"], "at least 1 pair"),
        (["notebooks", "--profile", "nowhere"], "profile 'nowhere' does not exist"),
    ],
)
def test_bad_input_gives_one_line_and_no_traceback(
    arguments: list[str],
    message: str,
    town: Path,
    tiny_run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if arguments[0] != "notebooks":
        monkeypatch.chdir(tmp_path)
    places = {"TOWN": town, "RUN": tiny_run.folder}
    assert message in error_of(call(*(places.get(word, word) for word in arguments)))


def test_ctrl_c_ends_the_step_and_says_how_to_go_on(
    town: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    # As in the foreground: where the tests run in the background it is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    describe = training.epoch_line

    def press(row: dict[str, float]) -> str:
        os.kill(os.getpid(), signal.SIGINT)
        return describe(row)

    options = ("--data", town, "--model", "scratch", "--size", "32x48", "--epochs", 2)
    run = ("train", *options, "--base-channels", 4, "--out", tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(training, "epoch_line", press)
        stopped = call(*run)
    assert stopped.exit_code == 130
    assert "stopping after this step" in stopped.stderr
    assert "the same call again goes on" in stopped.stderr
    done = call(*run)
    assert done.exit_code == 0, done.output
    assert done.stdout.count("epoch   1") == done.stdout.count("epoch   2") == 1


def test_a_path_that_looks_like_markup_is_printed_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "[bold]x"
    made = call("data", "make", "--out", folder, "--count", 1, "--size", "32x32")
    assert made.exit_code == 0, made.output
    assert "[bold]x" in made.stdout.replace("\n", "")
    assert "[bold]x" in call("data", "check", folder).stdout.replace("\n", "")


@pytest.mark.parametrize(
    "command",
    [
        ("evaluate", "--run", "no-run", "--data", "no-data"),
        ("export", "--run", "no-run"),
        ("bench", "data"),
        ("bench", "train"),
        ("bench", "predict"),
    ],
    ids=lambda command: "-".join(command[:2]),
)
def test_a_folder_for_a_file_is_a_usage_error_before_any_work(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    result = call(*command, "--out", tmp_path)
    assert result.exit_code == 2
    assert "is a directory" in re.sub(r"[\s│]+", " ", result.stderr)


def test_a_negative_seed_is_a_usage_error(tmp_path: Path) -> None:
    assert call("data", "make", "--out", tmp_path / "d", "--seed", -1).exit_code == 2


@pytest.mark.parametrize("size", ["48", "axb", "48x"])
def test_a_size_that_is_none_is_a_usage_error(size: str, tmp_path: Path) -> None:
    result = call("data", "make", "--out", tmp_path / "d", "--size", size)
    assert result.exit_code == 2
    assert "HEIGHTxWIDTH" in re.sub(r"[\s│]+", " ", result.stderr)


def test_the_module_is_a_program() -> None:
    command = [sys.executable, "-m", "unet_tutorial", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for name in ("data", "bench", "train", "evaluate", "predict", "notebooks"):
        assert name in done.stdout


@pytest.mark.parametrize(
    ("local", "shared", "told"),
    [
        ("0", {"TORCHELASTIC_RUN_ID": "a"}, True),
        ("1", {"TORCHELASTIC_RUN_ID": "a"}, False),
        ("1", {}, True),  # torchrun has not started it: it is alone
    ],
)
def test_of_several_processes_one_a_machine_tells_an_error(
    local: str, shared: dict[str, str], told: bool, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "unet_tutorial", "data", "check", "nowhere"]
    ranks = {"RANK": "2", "LOCAL_RANK": local, **shared}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | ranks,
    )
    assert done.returncode == 1
    assert ("nowhere" in done.stderr) == told


@pytest.mark.parametrize(
    ("module", "heavy"),
    [("unet_tutorial", {"torch", "numpy"}), ("unet_tutorial.cli", {"torch"})],
)
def test_importing_is_light(module: str, heavy: set[str]) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not heavy & set(done.stdout.split())


@pytest.mark.parametrize("command", ["notebooks", "publish", "compare"])
def test_who_lacks_what_builds_the_book_is_told(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("unet_tutorial.book")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(unet_tutorial, "book", raising=False)
    monkeypatch.setitem(sys.modules, "jupytext", None)
    assert "is not installed, which the book" in error_of(call(command))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB"),
        RuntimeError("MPS backend out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"),
        MemoryError("Unable to allocate 9.00 GiB for an array"),
    ],
)
def test_too_little_memory_is_told_in_a_line(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(training, "fit", fail)
    train = ["train", "--data", tmp_path, "--model", "scratch", "--out", tmp_path]
    assert "make the batch or the pictures smaller" in error_of(call(*train))
    error = RuntimeError("shapes cannot be multiplied")  # a fault of the code's
    assert call(*train).exception is error


def test_the_curves_for_tensorboard_are_written_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    writer = SimpleNamespace(
        add_scalar=lambda name, value, epoch: written.append((name, value, epoch)),
        flush=lambda: None,
    )
    # It need not be installed.
    stand_in = SimpleNamespace(SummaryWriter=lambda folder: writer)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", stand_in)
    make_town(tmp_path / "data", 12, (32, 32), 0)
    again = ["train", "--data", tmp_path / "data", "--model", "scratch"]
    again += ["--out", tmp_path / "run", "--epochs", 2, "--size", "32x32"]
    again += ["--base-channels", 2, "--tensorboard", tmp_path / "curves"]
    for _ in range(2):  # the second call trains nothing
        result = call(*again)
        assert result.exit_code == 0, result.output
    losses = [(value, epoch) for name, value, epoch in written if name == "val_loss"]
    history = pd.read_csv(tmp_path / "run/history.csv")
    assert losses == list(zip(history["val_loss"], history["epoch"]))
    assert "epoch" not in {name for name, _, _ in written}
    # A run's folder holds a run alone, and the next call would be refused.
    again[-1] = tmp_path / "run/curves"
    assert "choose another for --tensorboard" in error_of(call(*again))


def test_where_there_are_no_notebooks_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "call this in the project's folder" in error_of(call("notebooks"))
    assert not list(tmp_path.iterdir())


def test_a_run_that_goes_on_starts_from_the_weights_that_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(wanted: str, on_missing: Callable[[UserError], None]) -> str:
        on_missing(UserError("the hub is away"))
        return "none"

    make_town(tmp_path / "data", 12, (64, 64), 0)
    again = ["train", "--data", tmp_path / "data", "--model", "resnet34"]
    again += ["--out", tmp_path / "run", "--epochs", 1, "--size", "64x64"]
    hub = "unet_tutorial.models.resnet_unet.available_encoder_weights"
    monkeypatch.setattr(hub, away)
    first = call(*again)
    assert first.exit_code == 0
    assert "the hub is away; going on from random weights" in first.stdout
    (tmp_path / "run/manifest.json").unlink()  # as if it had been stopped
    monkeypatch.setattr(hub, lambda *_: pytest.fail("the hub was asked"))
    result = call(*again)
    assert result.exit_code == 0, result.output
    assert "random weights" in result.stdout
    result = call(*again)
    assert result.exit_code == 0, result.output
    assert "had finished before, and nothing was trained" in result.stdout
    # Nor is it asked for a run that may not be written.
    assert "another setup (epochs: 1 there," in error_of(call(*again, "--epochs", 2))
    # What the other model started from is not taken for what is asked for.
    other = error_of(call(*again, "--model", "scratch"))
    assert "another setup (model: resnet34 there, scratch here)" in other


def test_every_option_of_train_reaches_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Config, bool]] = []

    def fit(config: Config, *_: Path, skip_bad: bool, **options: object) -> None:
        asked.append((config, skip_bad))
        raise UserError("that is enough")

    monkeypatch.setattr(training, "fit", fit)
    config = Config(
        "resnet34",
        (70, 80),
        epochs=3,
        learning_rate=0.25,
        batch_size=5,
        seed=7,
        base_channels=6,
        encoder_weights="some.safetensors",
        target="lyft",
        augment="full",
        crop=(64, 72),
        loss="both",
        class_weights="median",
        label_smoothing=0.125,
        schedule="cosine",
        clip=0.75,
        accumulate=4,
        precision="32-true",
        keep_every=2,
    )
    words: list[object] = ["--data", tmp_path, "--out", tmp_path / "run", "--skip-bad"]
    for option in fields(Config):
        value = getattr(config, option.name)
        assert value != option.default, option.name
        told = "x".join(map(str, value)) if isinstance(value, tuple) else value
        words += [f"--{option.name.replace('_', '-')}", told]
    assert "that is enough" in error_of(call("train", *words))
    assert asked == [(config, True)]


def test_faulty_pairs_are_left_out_of_a_score_if_that_is_asked(
    tiny_run: Run, town: Path, tmp_path: Path
) -> None:
    data, out = tmp_path / "data", tmp_path / "scores.json"
    shutil.copytree(town, data)
    pairs = find_pairs(data)
    pairs[0].image.write_bytes(b"no picture")
    pairs[1].mask.unlink()
    ask: list[object] = ["evaluate", "--run", tiny_run.folder, "--data", data]
    ask += ["--split", "all", "--out", out]
    assert "has no mask" in error_of(call(*ask))
    done = call(*ask, "--skip-bad")
    assert done.exit_code == 0, done.output
    scores = json.loads(out.read_text())
    assert scores["pairs"] == 13
    assert len(scores["skipped"]) == 2
    assert "cannot be decoded" in done.stdout.replace("\n", " ")


def test_a_run_is_judged_on_classes_of_the_same_names(
    tiny_run: Run, town: Path, tmp_path: Path
) -> None:
    path = tmp_path / "dataset.yaml"
    colours = dict.fromkeys(LYFT.names, "#112233")  # which decide no score
    folders = [
        {"images": f"data{letter}/CameraRGB", "masks": f"data{letter}/CameraSeg"}
        for letter in "ABCDE"
    ]
    content = {"root": str(town), "folders": folders, "classes": colours}
    ask = ["evaluate", "--run", tiny_run.folder, "--data", path, "--split", "all"]
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    done = call(*ask)
    assert done.exit_code == 0, done.output
    content["classes"] = {name.replace("Poles", "Masts"): "#112233" for name in colours}
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    assert "was trained for other classes" in error_of(call(*ask))

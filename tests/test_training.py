"""A run learns, repeats itself, and leaves a folder that can be trusted."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.conftest import TINY
from unet_tutorial.classes import LYFT
from unet_tutorial.data.batches import batches
from unet_tutorial.data.cache import open_set
from unet_tutorial.data.split import split_pairs
from unet_tutorial.errors import UserError
from unet_tutorial.losses import DiceLoss
from unet_tutorial.models.unet import UNet
from unet_tutorial.runs import Run, load_run, load_weights
from unet_tutorial.training import evaluate, fit


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


def test_a_run_holds_three_files_and_the_manifest_says_how_it_was_made(
    tiny_run: Run, town: Path
) -> None:
    assert sorted(path.name for path in tiny_run.folder.iterdir()) == [
        "best.safetensors",
        "history.csv",
        "manifest.json",
    ]
    manifest = json.loads((tiny_run.folder / "manifest.json").read_text())
    assert manifest["config"]["learning_rate"] == 0.0005
    assert manifest["encoder_weights_used"] == "random"
    assert manifest["data"]["pairs"] == {"train": 10, "val": 2, "test": 3}
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
    with pytest.raises(UserError, match="already holds a run"):
        fit(replace(once, seed=5), town, tmp_path / "run")
    assert (tmp_path / "run/history.csv").read_bytes() == before
    fit(replace(once, seed=5), town, tmp_path / "run", overwrite=True)
    assert (tmp_path / "run/history.csv").read_bytes() != before
    # A run that was stopped before its end may be started again.
    (tmp_path / "run/manifest.json").unlink()
    fit(once, town, tmp_path / "run")
    assert (tmp_path / "run/history.csv").read_bytes() == before


def test_a_folder_with_something_else_is_never_removed(
    town: Path, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="something else than a run"):
        fit(TINY, town, tmp_path, overwrite=True)
    assert (tmp_path / "thesis.txt").exists()


def test_a_run_that_did_not_finish_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no run"):
        load_run(tmp_path)
    (tmp_path / "history.csv").write_text("epoch\n1\n")
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

"""A network in a file answers as the run's does."""

import copy
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.test_cli import call, error_of
from unet_tutorial import export
from unet_tutorial.data.pairs import find_pairs, read_image
from unet_tutorial.errors import UserError
from unet_tutorial.export import _FromPixels, _write_onnx, export_run, load_predictor
from unet_tutorial.models.unet import UNet
from unet_tutorial.prediction import Predictor, score
from unet_tutorial.runs import Run


@pytest.mark.parametrize("name", ["model.onnx", "model.pt2"])
def test_the_file_answers_as_the_run_does(
    name: str, tiny_run: Run, town: Path, tmp_path: Path
) -> None:
    path = tmp_path / name
    assert export_run(tiny_run, path) < 1e-4
    assert list(tmp_path.iterdir()) == [path]
    exported, own = load_predictor(path), Predictor(tiny_run, "cpu")
    own.in_16_bits = False
    assert exported.classes == own.classes
    for pair in find_pairs(town)[:3]:
        image = read_image(pair.image)
        np.testing.assert_allclose(
            exported.logits(image), own.logits(image), rtol=1e-3, atol=1e-4
        )
    scores, _ = score(exported, find_pairs(town)[:3])
    assert scores["miou"] == pytest.approx(score(own, find_pairs(town)[:3])[0]["miou"])


def test_sixteen_channels_stay_under_8_mb(tmp_path: Path) -> None:

    image = torch.zeros(2, 3, 96, 128, dtype=torch.uint8)
    network = _FromPixels(UNet(base_channels=16)).eval()
    _write_onnx(network, image, "{}", tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").stat().st_size < 8e6


def test_predict_takes_the_file(tiny_run: Run, town: Path, tmp_path: Path) -> None:
    done = call("export", "--run", tiny_run.folder, "--out", tmp_path / "m.onnx")
    assert done.exit_code == 0, done.output
    assert "as the network does in 32 bits" in done.stdout
    image = find_pairs(town)[0].image
    done = call("predict", "--run", tmp_path / "m.onnx", "--out", tmp_path / "a", image)
    assert done.exit_code == 0, done.output
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == [image.name, f"{image.stem}_overlay.png"]


def test_what_is_no_network_is_told_in_a_line(tiny_run: Run, tmp_path: Path) -> None:
    line = error_of(call("export", "--run", tiny_run.folder, "--out", "model.h5"))
    assert "must end in .onnx or .pt2" in line
    torch.save({"a": 1}, tmp_path / "other.pt2")  # an archive, but of another kind
    (tmp_path / "broken.onnx").write_bytes(b"no network")
    (tmp_path / "broken.pt2").write_bytes(b"no network")
    for name in ("broken.onnx", "broken.pt2", "other.pt2", "missing.pt2"):
        line = error_of(
            call("predict", "--run", tmp_path / name, "--out", tmp_path, "a.png")
        )
        assert f"{name}: is no network that 'export' wrote" in line
    call("export", "--run", tiny_run.folder, "--out", tmp_path / "good.pt2")
    about = "unet_tutorial.json"
    for key, value in (
        ("size", [16, 16]),
        ("size", "large"),
        ("target", "lyft"),
        ("classes", {"names": ["a"], "colours": ["#000000"], "ignore_index": None}),
    ):
        with (
            zipfile.ZipFile(tmp_path / "good.pt2") as good,
            zipfile.ZipFile(tmp_path / "changed.pt2", "w") as changed,
        ):
            for name in good.namelist():
                content = good.read(name)
                if name.endswith(about):
                    content = json.dumps(json.loads(content) | {key: value}).encode()
                changed.writestr(name, content)
        line = error_of(
            call("predict", "--run", tmp_path / "changed.pt2", "--out", ".", "a")
        )
        assert "changed.pt2: is no network that 'export' wrote" in line
    line = error_of(call("predict", "--run", tmp_path / "no.onnx", "--out", ".", "a"))
    assert "no.onnx: is no network" in line


def test_a_file_that_answers_otherwise_is_not_written(
    tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = export._write_pt2

    def spoil(network: Any, *given: Any) -> None:
        network = copy.deepcopy(network)
        network.model.head.bias.data += 0.1
        write(network, *given)

    monkeypatch.setattr(export, "_write_pt2", spoil)
    with pytest.raises(UserError, match=r"model\.pt2: the exported .* differently"):
        export_run(tiny_run, tmp_path / "model.pt2")
    assert not list(tmp_path.iterdir())


def test_who_lacks_what_onnx_files_need_is_told(
    tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.onnx"
    for package, use in (
        ("onnxscript", lambda: export_run(tiny_run, path)),
        ("onnxruntime", lambda: load_predictor(path)),
    ):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(UserError, match=f"pip install {package}', or use a .pt2"):
            use()
    assert not list(tmp_path.iterdir())

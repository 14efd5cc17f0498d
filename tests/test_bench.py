"""The measurements are made, and are numbers of this machine."""

import json
from pathlib import Path

import pytest

from tests.test_cli import call
from unet_tutorial import bench


def test_feeding_is_measured_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("FRAME_SIZE", (96, 128)), ("SIZE", (64, 64)), ("PAIRS", 4)):
        monkeypatch.setattr(bench, name, value)
    result = call("bench", "data", "--out", tmp_path / "bench.json")
    assert result.exit_code == 0, result.output
    numbers = json.loads((tmp_path / "bench.json").read_text())
    assert numbers["ratio"] == pytest.approx(
        numbers["cached"] / numbers["plain"], abs=0.06
    )
    # By far: the plain loop decodes PNG files, the cache does not.
    assert numbers["ratio"] > 2
    assert min(numbers["augmented"], numbers["consumed"]) > 0
    assert numbers["fastest"] in ("scratch", "resnet34")
    assert numbers["machine"]["versions"]

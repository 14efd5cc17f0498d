"""The measurements are made, and are numbers of this machine."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.test_cli import call
from unet_tutorial import bench


def measure(name: str, out: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command writes, on pictures so small that it takes a moment."""
    sizes = {"FRAME_SIZE": (96, 128), "GPU_SIZE": (64, 64), "CPU_SIZE": (64, 64)}
    sizes["SEEN_BY_CPU"] = (48, 64)
    for constant, value in {**sizes, "PAIRS": 4, "TO_ANSWER": 4, "REPEATS": 1}.items():
        monkeypatch.setattr(bench, constant, value)
    result = call("bench", name, "--out", out / "bench.json")
    assert result.exit_code == 0, result.output
    return json.loads((out / "bench.json").read_text())


def test_a_speed_is_the_median_of_its_turns_without_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = 0.0
    waited = iter([9.0, 9.0, 1.0, 8.0, 2.0, 4.0, 5.0, 2.0])  # a, b, a, b, ...

    def way() -> int:
        return 8

    def synchronize() -> None:
        nonlocal clock
        clock += next(waited)

    monkeypatch.setattr(bench.time, "perf_counter", lambda: clock)
    monkeypatch.setattr(torch.accelerator, "synchronize", synchronize)
    speeds = bench._in_turns(
        {"a": way, "b": way}, torch.device("cuda"), lambda *_: None, ""
    )
    assert speeds == {"a": 4.0, "b": 2.0}


def test_feeding_is_measured_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = measure("data", tmp_path, monkeypatch)
    assert numbers["ratio"] == pytest.approx(
        numbers["cached"] / numbers["plain"], abs=0.06
    )
    # By far: the plain loop decodes PNG files, the cache does not.
    assert numbers["ratio"] > 2
    assert min(numbers["augmented"], numbers["consumed"]) > 0
    assert numbers["fastest"] in ("scratch", "resnet34")
    assert numbers["machine"]["versions"]


def test_training_is_measured_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = measure("train", tmp_path, monkeypatch)
    assert [(row["model"], row["base_channels"]) for row in numbers["rows"]] == [
        ("scratch", 16),
        ("scratch", 64),
        ("resnet34", 16),
    ]
    for row in numbers["rows"]:
        assert min(row["plain"], row["ours"], row["ceiling"]) > 0
    assert numbers["precision"] in ("32-true", "bf16-mixed")


def test_prediction_is_measured_from_files_and_from_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = measure("predict", tmp_path, monkeypatch)
    assert [row["model"] for row in numbers["rows"]] == ["scratch", "resnet34"]
    for row in numbers["rows"]:
        assert min(row["files"], row["latency_ms"]) > 0

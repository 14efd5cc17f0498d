"""Precision is chosen by what the machine at hand does faster."""

from pathlib import Path
from typing import Any

import pytest
import torch

from unet_tutorial import precision
from unet_tutorial.precision import choose_precision


@pytest.mark.parametrize(
    ("kind", "has_bf16", "expected"),
    [
        ("cuda", True, "bf16-mixed"),
        ("cuda", False, "32-true"),
        ("mps", True, "32-true"),
    ],
)
def test_a_gpu_is_not_probed(
    kind: str, has_bf16: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda emulated: has_bf16)
    monkeypatch.setattr("unet_tutorial.precision._probe", lambda: pytest.fail("probed"))
    assert choose_precision("auto", torch.device(kind)) == expected


@pytest.mark.parametrize(
    ("tiny", "large", "expected"),
    [
        ((1, 8), None, "32-true"),  # imitated: the large picture would take minutes
        ((1, 2), (3, 1), "bf16-mixed"),
        ((1, 1), (1, 1), "32-true"),
    ],
)
def test_a_processor_that_imitates_16_bits_is_told_by_a_tiny_picture(
    tiny: tuple, large: tuple | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def seconds(*shape: int) -> Any:
        tried.append(torch.get_num_threads())
        return tiny if len(tried) == 1 else large

    monkeypatch.setattr(precision, "_seconds_per_step", seconds)
    torch.set_num_threads(2)
    try:
        assert precision._probe() == expected
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)  # as in all tests
    assert tried == ([1, 2] if large else [1])


def test_a_processor_is_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[None] = []

    def probe() -> str:
        asked.append(None)
        return "bf16-mixed"

    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path)
    monkeypatch.setattr(precision, "_probe", probe)
    cpu = torch.device("cpu")
    assert [choose_precision("auto", cpu) for _ in range(3)] == ["bf16-mixed"] * 3
    assert len(asked) == 1
    (kept,) = tmp_path.glob("precision-*.json")
    kept.write_text("{")  # damaged
    assert choose_precision("auto", cpu) == "bf16-mixed"
    assert len(asked) == 2

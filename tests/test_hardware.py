"""Precision and memory format are chosen by what the machine at hand does faster."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from unet_tutorial import hardware, models
from unet_tutorial.config import Config
from unet_tutorial.hardware import choose_memory_format, choose_precision

WIDE = Config("scratch", (96, 128), base_channels=24, crop=(64, 80))


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
    monkeypatch.setattr(
        "unet_tutorial.hardware._probe_precision", lambda: pytest.fail("probed")
    )
    assert choose_precision("auto", torch.device(kind)) == expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("cuda", torch.channels_last), ("mps", torch.contiguous_format)],
)
def test_the_memory_format_of_a_gpu_is_known(
    kind: str, expected: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        hardware, "_seconds_per_step", lambda *question: pytest.fail("probed")
    )
    device = torch.device(kind)
    assert choose_memory_format(WIDE, device, "32-true") == expected


@pytest.mark.parametrize(
    ("usual", "other", "expected"),
    [
        (1.2, 1.0, torch.contiguous_format),
        (1.05, 1.0, torch.channels_last),  # not worth it
        (1.0, 1.2, torch.channels_last),
    ],
)
def test_a_processor_takes_the_faster_memory_format(
    usual: float,
    other: float,
    expected: torch.memory_format,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = []

    def seconds(*question: Any) -> list[float]:
        tried.append(question)
        return [usual, other]

    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path)
    monkeypatch.setattr(hardware, "_seconds_per_step", seconds)
    cpu, larger = torch.device("cpu"), replace(WIDE, crop=None)
    for config in (WIDE, larger, WIDE, larger):
        assert choose_memory_format(config, cpu, "bf16-mixed") == expected
    ways = [
        ("bf16-mixed", torch.channels_last),
        ("bf16-mixed", torch.contiguous_format),
    ]
    assert tried == [
        ("scratch", 24, (1, 3, 64, 80), ways),
        ("scratch", 24, (1, 3, 96, 128), ways),
    ]


def test_each_way_of_a_step_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Watched(torch.nn.Conv2d):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            together = [
                tensor.is_contiguous(memory_format=torch.channels_last)
                for tensor in (image, self.weight)
            ]
            answer = super().forward(image)
            seen.append((*together, answer.dtype))
            return answer

    ways = [
        ("32-true", torch.contiguous_format),
        ("32-true", torch.channels_last),
        ("bf16-mixed", torch.channels_last),
    ]
    # Began and ended: the first step, which takes longest, does not count.
    lasts = [90, 90, 90, 1, 20, 3, 1, 2, 3, 10, 2, 3]
    clock = itertools.accumulate(
        itertools.chain.from_iterable((0, last) for last in lasts)
    )
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    before = torch.random.get_rng_state()
    monkeypatch.setattr(models, "build_model", lambda *named: Watched(3, 4, 3))
    measured = hardware._seconds_per_step("scratch", 16, (1, 3, 8, 8), ways)
    assert measured == [1, 2, 3]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert seen == 4 * [
        (False, False, torch.float32),
        (True, True, torch.float32),
        (True, True, torch.bfloat16),
    ]


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

    def seconds(*question: Any) -> Any:
        tried.append(torch.get_num_threads())
        return tiny if len(tried) == 1 else large

    monkeypatch.setattr(hardware, "_seconds_per_step", seconds)
    torch.set_num_threads(2)
    try:
        assert hardware._probe_precision() == expected
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
    monkeypatch.setattr(hardware, "_probe_precision", probe)
    cpu = torch.device("cpu")
    assert [choose_precision("auto", cpu) for _ in range(3)] == ["bf16-mixed"] * 3
    assert len(asked) == 1
    (kept,) = tmp_path.glob("precision-*.json")
    kept.write_text("{")  # damaged
    assert choose_precision("auto", cpu) == "bf16-mixed"
    assert len(asked) == 2

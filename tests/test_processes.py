"""Several processes share the work, and learn what one does."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.conftest import TINY
from unet_tutorial.errors import UserError
from unet_tutorial.processes import make_fabric, share_batches, share_positions
from unet_tutorial.runs import load_run
from unet_tutorial.training import fit


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "2")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match=r"2 processes for 1 GPU\(s\); start as many"):
        make_fabric("32-true")


def test_processes_share_batches_in_learning_and_whole_ones_in_judging() -> None:
    ranks: list[Any] = [SimpleNamespace(global_rank=i, world_size=2) for i in (0, 1)]
    learned = [share_positions(torch.arange(9), 4, rank).tolist() for rank in ranks]
    # The ninth is left out: one process would wait for the other's gradient for ever.
    assert learned == [[0, 2, 4, 6], [1, 3, 5, 7]]
    judged = [share_batches(9, 4, rank).tolist() for rank in ranks]
    assert judged == [[0, 1, 2, 3, 8], [4, 5, 6, 7]]
    assert share_batches(3, 4, ranks[1]).tolist() == []


def test_two_processes_learn_what_one_does(town: Path, tmp_path: Path) -> None:
    config = replace(
        TINY, epochs=10, batch_size=8, augment="none", learning_rate=0.005, loss="both"
    )
    alone = fit(config, town, tmp_path / "alone").history
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, torch\n"
        "from pathlib import Path\n"
        "from unet_tutorial.config import Config\n"
        "from unet_tutorial.training import fit\n"
        "torch.set_num_threads(1)\n"
        f"fit({config!r}, Path({str(town)!r}), Path({str(tmp_path / 'two')!r}))\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    subprocess.run([*command, str(script)], check=True, env=environment, timeout=300)
    run = load_run(tmp_path / "two")
    assert run.manifest["processes"] == 2
    # Not exactly: each process normalises by the pictures that it sees itself.
    fallen = alone["train_loss"].iloc[0] - alone["train_loss"].iloc[-1]
    assert fallen > 0.5
    apart = (run.history["train_loss"] - alone["train_loss"]).abs().max()
    assert apart < 0.1 * fallen  # as chapter 17 says; with three seeds it was 0.02


def test_two_processes_have_the_gradient_of_the_whole_batch(tmp_path: Path) -> None:
    """To the last digits, where nothing is normalised by batch."""
    script = tmp_path / "script.py"
    script.write_text(GRADIENT)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    subprocess.run([*command, str(script)], check=True, env=environment, timeout=300)


GRADIENT = """
import torch
from lightning_fabric import Fabric
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from unet_tutorial.losses import make_loss
from unet_tutorial.training import train_one_epoch

generator = torch.Generator().manual_seed(0)
image = torch.randn(4, 3, 8, 8, generator=generator)
mask = torch.randint(0, 5, (4, 8, 8), generator=generator)
mask[0, :5] = 9  # ignored: the processes have different numbers of pixels
weights = torch.tensor([1.0, 2.0, 0.5, 4.0, 1.0])
gradients = {}
for name in ("dice", "cross-entropy", "both"):
    torch.manual_seed(0)
    model = torch.nn.Conv2d(3, 5, 3, padding=1)
    make_loss(name, 9, weights, 0.1)(model(image), mask).backward()
    gradients[name] = model.weight.grad

fabric = Fabric(accelerator="cpu", strategy="ddp", devices=2)
fabric.launch()
for name, expected in gradients.items():
    torch.manual_seed(0)
    model = fabric.setup_module(torch.nn.Conv2d(3, 5, 3, padding=1))
    share = slice(fabric.global_rank, None, 2)
    fabric.backward(make_loss(name, 9, weights, 0.1)(model(image[share]), mask[share]))
    torch.testing.assert_close(model.module.weight.grad, expected)

# A step of two batches, for which gradients are exchanged once.
loss_function = make_loss("dice", 9)
torch.manual_seed(0)
alone = torch.nn.Conv2d(3, 5, 3, padding=1)
for part in (slice(0, 2), slice(2, 4)):
    (loss_function(alone(image[part]), mask[part]) / 2).backward()
torch.manual_seed(0)
model = torch.nn.Conv2d(3, 5, 3, padding=1)
model, optimizer = fabric.setup(model, torch.optim.SGD(model.parameters(), lr=1.0))
exchanges = []
model._forward_module.register_comm_hook(
    None, lambda _, bucket: exchanges.append(1) or allreduce_hook(None, bucket)
)
mine = [
    (image[part], mask[part])
    for part in (slice(fabric.global_rank, 2, 2), slice(2 + fabric.global_rank, 4, 2))
]
train_one_epoch(model, mine, loss_function, optimizer, fabric, accumulate=2)
torch.testing.assert_close(model.module.weight.grad, alone.weight.grad)
assert len(exchanges) == 1
"""

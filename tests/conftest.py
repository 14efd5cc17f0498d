"""What many tests need: a small town, and a network trained on it for a moment."""

import os
from collections.abc import Iterator
from pathlib import Path

# What tests ask for, to the bit and in moments, a processor gives and not a GPU. torch
# reads the first name, when it is imported, and Lightning Fabric the second.
os.environ |= {"CUDA_VISIBLE_DEVICES": "", "DISABLE_MPS": "1"}

import pytest
import torch

from unet_tutorial.config import Config
from unet_tutorial.runs import Run
from unet_tutorial.town.drive import make_town
from unet_tutorial.training import fit

# The tensors here are small: a second thread costs more than it gives, and much
# more on a busy machine.
torch.set_num_threads(1)

TINY = Config(
    "scratch", (32, 48), epochs=2, batch_size=4, base_channels=4, precision="32-true"
)


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The user's own cache folder is left alone."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifteen pairs of 48x64 in the Lyft layout. Not to be changed by tests."""
    folder = tmp_path_factory.mktemp("data") / "town"
    make_town(folder, count=15, size=(48, 64), seed=0)
    return folder


@pytest.fixture(scope="session")
def tiny_run(town: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run. Not to be changed by tests."""
    return fit(TINY, town, tmp_path_factory.mktemp("runs") / "tiny")

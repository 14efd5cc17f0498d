"""Results say from which state of the sources they are."""

import subprocess
from pathlib import Path

import pytest

from unet_tutorial import source
from unet_tutorial.source import source_state


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    subprocess.run(
        ["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True
    )


def test_changes_of_code_and_notebooks_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "src/unet_tutorial/source.py"
    notebook = tmp_path / "notebooks/01_first.py"
    for path in (here, notebook):
        path.parent.mkdir(parents=True)
        path.write_text("1\n")
    monkeypatch.setattr(source, "__file__", str(here))
    unknown = {"commit": None, "dirty": None}
    assert source_state() == unknown
    git(tmp_path, "init")
    assert source_state() == unknown  # as a copy in the tree of another project
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "a")
    clean = source_state()
    assert clean["dirty"] is False
    assert len(str(clean["commit"])) == 12
    (tmp_path / "thesis.txt").write_text("lies around")
    assert source_state() == clean
    for path in (here, notebook):
        path.write_text("2\n")
        assert source_state() == clean | {"dirty": True}
        path.write_text("1\n")

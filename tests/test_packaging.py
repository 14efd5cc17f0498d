"""The lists of packages agree, and the fixed places exist."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_environment_yml_names_the_same_packages() -> None:
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    by_pip = next(entry["pip"] for entry in conda if isinstance(entry, dict))
    named = {line for line in by_pip if not line.startswith("--")}
    assert named == {
        *PROJECT["dependencies"],
        *PROJECT["optional-dependencies"]["book"],
    }
    assert f"python{PROJECT['requires-python']}" in conda


def test_the_packages_that_the_project_promises_are_there() -> None:
    names = {
        canonicalize_name(Requirement(line).name)
        for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["book"]
    }
    assert names >= {
        "jupyter-book",
        "jupytext",
        "torch",
        "segmentation-models-pytorch",
        "matplotlib",
        "papermill",
        "seaborn",
    }


def test_the_constraints_fit_the_bounds() -> None:
    pinned: dict[str, list[str]] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        requirement = Requirement(line)
        versions = [clause.version for clause in requirement.specifier]
        pinned.setdefault(canonicalize_name(requirement.name), []).extend(versions)
    extras = PROJECT["optional-dependencies"]
    for line in (
        PROJECT["dependencies"] + extras["book"] + extras["dev"] + extras["onnx"]
    ):
        requirement = Requirement(line)
        for version in pinned[canonicalize_name(requirement.name)]:
            assert version in requirement.specifier, line


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_what_a_page_of_the_project_names_is_there(page: str) -> None:
    text = (ROOT / page).read_text()
    places = re.findall(r"\]\((?!http)([^)]+)\)", text)
    places += re.findall(r"`((?:book|notebooks|src|tests)(?:/[\w./]*)?)`", text)
    places = [place for place in places if "NN_" not in place]
    assert places
    for place in places:
        assert (ROOT / place).exists(), place


@pytest.mark.parametrize(
    "place",
    [
        "book",
        "notebooks",
        "src/unet_tutorial",
        "data",
        "_config.yml",
        "_toc.yml",
        "tests",
    ],
)
def test_the_layout_is_the_agreed_one(place: str) -> None:
    assert (ROOT / place).exists()


@pytest.mark.parametrize("target", ["book", "reproduce"])
def test_make_hands_on_another_data_set(target: str) -> None:
    command = ["make", "--dry-run", target, "DATA=data/mine"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert ' --data "data/mine"' in done.stdout


def test_the_pages_can_be_built_without_what_the_library_imports() -> None:
    """Of the modules that the API page shows."""
    shown = re.findall(r"automodule:: ([\w.]+)", (ROOT / "book/18_api.md").read_text())
    imported = set()
    for module in shown:
        path = ROOT / "src" / module.replace(".", "/")
        source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module or "")
    roots = {name.partition(".")[0] for name in imported} - sys.stdlib_module_names
    text = (ROOT / "book/_ext/library.py").read_text()
    # Jupyter Book itself needs YAML; the exporters are imported when they are used.
    known = {"unet_tutorial", "yaml", "onnxruntime", "onnxscript"}
    assert len(roots) > 10
    assert [name for name in sorted(roots - known) if f'"{name}"' not in text] == []

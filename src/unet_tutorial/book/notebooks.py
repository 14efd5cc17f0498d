"""What notebooks and profiles say of themselves, read and checked."""

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import yaml

from unet_tutorial.errors import UserError, reason_of

# Parameters that are paths of data sets.
DATA_SETS = ("data_dir", "second_data", "real_dir")


@dataclass(frozen=True)
class Notebook:
    """A text notebook: what it declares about itself.

    ``text`` is that of the file; ``parameters`` are names and defaults; ``needs``
    names the notebooks whose runs it reads; ``study`` says that it takes long and may
    be left out; ``data`` is the parameter with the path of the data set that it is
    about, without which it is left out; ``seconds`` is about how long it takes by
    profile on two cores, for the estimate of the time left.
    """

    path: Path
    text: str
    parameters: dict[str, Any]
    needs: tuple[str, ...]
    study: bool
    data: str | None
    seconds: dict[str, float]

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def may_be_left_out(self) -> bool:
        """If it was not executed, its page is the published one."""
        return self.study or self.data is not None

    def chosen(self, profile: dict[str, Any]) -> dict[str, Any]:
        """What a profile says of its parameters."""
        return {key: profile[key] for key in profile if key in self.parameters}

    def data_sets(self, root: Path, profile: dict[str, Any]) -> dict[str, Path]:
        """Where the data sets are that it may read, by parameter."""
        values = self.parameters | profile
        return {
            name: root / values[name] for name in DATA_SETS if name in self.parameters
        }


def read_notebook(path: Path) -> Notebook:
    """Read what a text notebook declares.

    Raises:
        UserError: if it has no ``parameters`` cell, or more than one, if that holds
            more than names and plain values, or its header names a data set that it
            has no parameter for.
    """
    text = path.read_text()
    source = jupytext.reads(text, "py")
    cells = [
        cell for cell in source.cells if "parameters" in cell.metadata.get("tags", [])
    ]
    if len(cells) != 1:
        raise UserError(
            f"{path}: has {len(cells)} cells tagged 'parameters'; it needs exactly one"
        )
    try:
        parameters = dict(map(_read_parameter, ast.parse(cells[0].source).body))
    except (SyntaxError, ValueError) as error:
        raise UserError(
            f"{path}: its parameters cell holds more than names and plain values "
            f"({error})"
        ) from error
    about = source.metadata.get("unet_tutorial", {})
    data = about.get("data")
    if data is not None and (data not in DATA_SETS or data not in parameters):
        raise UserError(
            f"{path}: its header says 'data: {data}', which must be one of its "
            f"parameters and of {', '.join(DATA_SETS)}"
        )
    return Notebook(
        path,
        text,
        parameters,
        tuple(about.get("needs", ())),
        bool(about.get("study", False)),
        data,
        dict(about.get("seconds", {})),
    )


def _read_parameter(statement: ast.stmt) -> tuple[str, Any]:
    match statement:
        case (
            ast.Assign(targets=[ast.Name(id=name)], value=value)
            | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
        ):
            return name, ast.literal_eval(value)
    raise ValueError(f"'{ast.unparse(statement)}'")


def find_paths(folder: Path) -> list[Path]:
    """The files of all text notebooks of a folder, in the order of their numbers.

    Raises:
        UserError: if there are none.
    """
    paths = sorted(folder.glob("[0-9]*.py"))
    if not paths:
        raise UserError(
            f"{folder}: holds no notebooks; call this in the project's folder"
        )
    return paths


def find_notebooks(folder: Path) -> list[Notebook]:
    """All text notebooks of a folder, in the order of their numbers.

    Raises:
        UserError: if there are none, or one needs a notebook that does not come
            before it, or that may be left out.
    """
    notebooks = [read_notebook(path) for path in find_paths(folder)]
    before: dict[str, Notebook] = {}
    for notebook in notebooks:
        for name in notebook.needs:
            if name not in before:
                raise UserError(
                    f"{notebook.path}: needs '{name}', which is no notebook before it"
                )
            if before[name].may_be_left_out:
                raise UserError(
                    f"{notebook.path}: needs '{name}', which may be left out"
                )
        before[notebook.name] = notebook
    return notebooks


def read_profile(path: Path, notebooks: Iterable[Notebook]) -> dict[str, Any]:
    """Read a profile: papermill parameters, each known to at least one notebook.

    One entry is for the runner: ``studies``, whether those are executed.

    Raises:
        UserError: if there is no such profile, it names an unknown parameter, or
            it lacks what the runner itself needs.
    """
    if not path.is_file():
        known = ", ".join(sorted(other.stem for other in path.parent.glob("*.yaml")))
        raise UserError(f"profile '{path.stem}' does not exist: choose one of {known}")
    try:
        profile = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise UserError(
            f"{path}: cannot be read as YAML ({reason_of(error)})"
        ) from error
    if not isinstance(profile, dict):
        raise UserError(f"{path}: holds no 'name: value' lines")
    known_names = {name for notebook in notebooks for name in notebook.parameters}
    unknown = sorted(set(profile) - known_names - {"studies"})
    if unknown:
        raise UserError(
            f"{path}: no notebook has a parameter {', '.join(unknown)}; "
            f"there are {', '.join(sorted(known_names))}"
        )
    missing = sorted(
        {"data_dir", "num_scenes", "scene_size", "scene_seed", "studies"} - set(profile)
    )
    if missing:
        raise UserError(f"{path}: does not say {', '.join(missing)}")
    for name, kind, example in (
        ("num_scenes", int, "400"),
        ("scene_seed", int, "0"),
        ("scene_size", [int, int], "[240, 320]"),
        ("studies", bool, "false"),
    ):
        value = profile[name]
        found = list(map(type, value)) if isinstance(value, list) else type(value)
        if found != kind or (kind is int and value < 0):
            raise UserError(
                f"{path}: '{name}: {value}' is of the wrong kind; write it as "
                f"'{name}: {example}'"
            )
    for notebook in notebooks:
        for name, default in notebook.parameters.items():
            if name in profile and not _is_alike(profile[name], default):
                raise UserError(
                    f"{path}: '{name}: {profile[name]}' is of another kind than the "
                    f"default of {notebook.name}; write it as '{name}: {default}'"
                )
    for name, value in (("profile", path.stem), ("out_dir", f"_build/{path.stem}")):
        if profile.get(name) != value:
            raise UserError(f"{path}: must say '{name}: {value}', as the file is named")
    return profile


def _is_alike(value: Any, default: Any) -> bool:
    """Whether a notebook that is written for the default may get the value."""
    if isinstance(default, list):
        return isinstance(value, list) and all(
            _is_alike(entry, default[0]) for entry in value if default
        )
    if isinstance(default, float):
        return type(value) in (int, float)
    # An empty path would be that of the project itself.
    return type(value) is type(default) and value != ""


def read_profiles(root: Path, notebooks: list[Notebook]) -> dict[str, dict[str, Any]]:
    """All profiles of a checkout, by name, as :func:`read_profile` reads each."""
    paths = sorted((root / "notebooks/profiles").glob("*.yaml"))
    return {path.stem: read_profile(path, notebooks) for path in paths}

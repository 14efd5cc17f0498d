"""Hold the numbers of a new run against the published ones."""

import fnmatch
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from unet_tutorial.book.notebooks import find_notebooks
from unet_tutorial.book.stamps import Execution
from unet_tutorial.errors import UserError
from unet_tutorial.files import read_json

REFERENCE = re.compile(r"\{result\}`([^`:]+)(?::[^`]*)?`")
# These have their results from elsewhere: the runner, and a paper.
NOT_COMPARED = ("build", "report")


@dataclass(frozen=True)
class Compared:
    """A published number and the new one.

    ``tolerance`` is None where they need not be alike.
    """

    name: str
    published: Any
    now: Any
    tolerance: float | None

    @property
    def is_within(self) -> bool:
        """Whether the new one may pass for the published one."""
        if self.tolerance is None:
            return True
        if isinstance(self.published, int | float) and isinstance(
            self.now, int | float
        ):
            return abs(self.now - self.published) <= self.tolerance
        return self.now == self.published


def compare(root: Path, profile: str) -> tuple[list[Compared], dict[str, str]]:
    """Hold a profile's new results against the published ones.

    Compared is each number that a page quotes. How far the two may lie apart is in
    ``book/tolerances.yaml``. Studies whose results are not of the last build, and pages
    about a data set that was not there, or another, are left out. Of a page whose
    encoder started from other weights than the published one, and of those that need
    it, nothing need be alike.

    Returns:
        The numbers, and for each page that is left out the reason.

    Raises:
        UserError: if other results are missing, or are of another profile or other
            data.
    """
    tolerances = read_tolerances(root)
    quoted = {
        reference
        for pattern in ("notebooks/*.py", "book/*.md")
        for path in root.glob(pattern)
        for reference in REFERENCE.findall(path.read_text())
    }
    notebooks = find_notebooks(root / "notebooks")
    results = {
        notebook.name: [
            root / f"book/results/{notebook.name}.json",
            Execution(root / "_build" / profile, notebook.name).results,
        ]
        for notebook in notebooks
    }
    build = root / "_build" / profile / "results/build.json"
    executed = read_json(build).get("executed", []) if build.is_file() else []
    left_out = {}
    for notebook in notebooks:
        published, new = results[notebook.name]
        is_new = notebook.name in executed
        reason = _why_not_comparable(published, new, is_new)
        if reason is None:
            continue
        was_not_executed = published.is_file() and not is_new
        if not (notebook.data or (notebook.study and was_not_executed)):
            raise UserError(reason)
        left_out[notebook.name] = "was not executed" if was_not_executed else reason
    otherwise = {
        notebook.name
        for notebook in notebooks
        for name in (notebook.name, *notebook.needs)
        if len({_weights_of(path) for path in results[name]}) > 1
    }
    compared = []
    for name in sorted(quoted):
        page, _, key = name.partition(".")
        if page in NOT_COMPARED or page in left_out:
            continue
        there, here = (_look_up(path, key) for path in results[page])
        tolerance = None if page in otherwise else _tolerance_of(name, tolerances)
        compared.append(Compared(name, there, here, tolerance))
    return compared, left_out


def _weights_of(results: Path) -> str | None:
    """What the encoder of a page started from, if it says that."""
    return read_json(results).get("weights") if results.is_file() else None


def _why_not_comparable(published: Path, new: Path, is_new: bool) -> str | None:
    if not published.is_file():
        return f"{published}: is missing; call 'make publish' first"
    if not is_new:
        return (
            f"{new}: is missing, or not of the last build; 'make reproduce' executes "
            "everything"
        )
    for fact in ("profile", "data_digest"):
        there, here = (
            _look_up(path, f"provenance.{fact}") for path in (published, new)
        )
        if there != here:
            return (
                f"{published}: was published with {fact} {there}, and the new one has "
                f"{here}; they cannot be compared"
            )
    return None


def read_tolerances(root: Path) -> dict[str, float | None]:
    """By pattern of a number's name: how far it may lie from the published one.

    Those given as multiples of a spread are worked out here, from the spread over seeds
    of the published comparison.
    """
    spread = max(
        _look_up(root / "book/results/11_seeds.json", f"{model}.miou.spread")
        for model in ("scratch", "resnet34")
    )
    given = yaml.safe_load((root / "book/tolerances.yaml").read_text())
    return {
        pattern: float(value.removesuffix("spreads")) * spread
        if isinstance(value, str)
        else value
        for pattern, value in given.items()
    }


def _tolerance_of(name: str, tolerances: dict[str, float | None]) -> float | None:
    """That of the last pattern which fits."""
    fitting = [p for p in tolerances if fnmatch.fnmatchcase(name, p)]
    return tolerances[fitting[-1]] if fitting else 0.0


def _look_up(path: Path, name: str) -> Any:
    value: Any = read_json(path)
    for key in name.split("."):
        if not isinstance(value, dict) or key not in value:
            raise UserError(
                f"{path}: has no '{name}', as another version of the page made it; "
                "execute that again, or publish the new one"
            )
        value = value[key]
    return value

"""Keep executed notebooks and their results in git, and hold a new run against them."""

import base64
import fnmatch
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import yaml

from unet_tutorial.errors import UserError
from unet_tutorial.files import read_json, whole_file, write_json
from unet_tutorial.notebooks import (
    Notebook,
    describe_build,
    find_notebooks,
    read_profile,
    read_stamp,
)

# What a reader on a phone, and whoever clones the project, should not have to load.
NOTEBOOK_LIMIT, FIGURE_LIMIT, TOTAL_LIMIT = 1_500_000, 250_000, 12_000_000
REFERENCE = re.compile(r"\{result\}`([^`:]+)(?::[^`]*)?`")
# These have their results from elsewhere: the runner, and a paper.
NOT_COMPARED = ("build", "report")


def publish(root: Path, profile: str) -> list[str]:
    """Copy a profile's pages and results to ``book/``, after a look at all of them.

    The prose of a page is taken from its source as it is now; its code must be what was
    executed. A page that was not executed here stays as it was published, of the same
    profile unless it is about a data set that not everybody has. Pages whose source is
    gone are removed.

    Returns:
        The names of the pages.

    Raises:
        UserError: if the profile is ``ci``, or a page is missing, is too large, or was
            executed from another source, with other parameters, before what it needs,
            or with changes that are in no commit.
    """
    if profile == "ci":
        raise UserError(
            "profile 'ci' proves that everything runs; its numbers mean "
            "nothing and are never published"
        )
    build, pages, results = root / "_build" / profile, {}, {}
    digests: set[str | None] = {None}
    notebooks = find_notebooks(root / "notebooks")
    values = read_profile(root / f"notebooks/profiles/{profile}.yaml", notebooks)
    stamps = {notebook.name: read_stamp(build, notebook) for notebook in notebooks}
    for notebook in notebooks:
        is_new = bool(stamps[notebook.name])
        executed, numbers = _to_publish(root, profile, notebook, is_new)
        results[notebook.name] = read_json(numbers)
        origin = results[notebook.name].get("provenance", {})
        needs = {name: stamps[name].get("fingerprint") for name in notebook.needs}
        if stamps[notebook.name].get("needs", dict.fromkeys(needs)) != needs:
            raise UserError(
                f"{executed}: needs what was executed anew; execute it, too: "
                f"'notebooks --profile {profile} --only {notebook.name}'"
            )
        # Any data set may be published, and pages tell which one.
        chosen = stamps[notebook.name].get("parameters", {})
        if any(values.get(key) != chosen[key] for key in chosen if key != "data_dir"):
            raise UserError(
                f"{executed}: was executed with other parameters than those of the "
                f"profile now; execute it again: 'notebooks --profile {profile} --only "
                f"{notebook.name}'"
            )
        if not is_new and not notebook.data and origin.get("profile") != profile:
            raise UserError(
                f"{numbers}: is of the profile {origin.get('profile')}, and pages of "
                "two profiles cannot be compared; execute it with this one, too: "
                f"'notebooks --profile {profile} --only {notebook.name}'"
            )
        if is_new and (
            origin.get("profile") != profile or origin.get("dirty") is not False
        ):
            raise UserError(
                f"{numbers}: was not made with the profile {profile} from a commit "
                "alone; commit all changes, delete that file, and execute the notebook "
                "again"
            )
        if notebook.data is None:
            digests.add(origin.get("data_digest"))
        pages[notebook.name] = with_current_prose(
            nbformat.read(executed, as_version=4), notebook.path
        )
        check_size(pages[notebook.name], executed)
    if len(digests) > 2:
        raise UserError(
            f"{build}: its pages were made from different data; execute all of them "
            f"with 'make book PROFILE={profile} STUDIES=yes'"
        )
    # Of these pages; others may have been executed there since.
    anew = {name: stamp["seconds"] for name, stamp in stamps.items() if stamp}
    results["build"] = describe_build(root, profile, notebooks, anew)
    written = sum(len(nbformat.writes(page).encode()) for page in pages.values())
    written += sum(len(json.dumps(content, indent=2)) for content in results.values())
    if written > TOTAL_LIMIT:
        raise UserError(
            f"the pages have {written:,} bytes; {TOTAL_LIMIT:,} are allowed"
        )
    for path in [*(root / "book").glob("*.ipynb"), *(root / "book/results").glob("*")]:
        if path.stem not in {*results, "report"}:
            path.unlink()
    for name, page in pages.items():
        with whole_file(root / f"book/{name}.ipynb") as temporary:
            nbformat.write(page, temporary)
    for name, content in results.items():
        write_json(root / f"book/results/{name}.json", content)
    return list(pages)


def _to_publish(
    root: Path, profile: str, notebook: Notebook, is_new: bool
) -> tuple[Path, Path]:
    """Page and results: new, or those in book/ if it was not executed here."""
    build, book = root / "_build" / profile, root / "book"
    here, published = (
        (pages / f"{notebook.name}.ipynb", results / f"{notebook.name}.json")
        for pages, results in (
            (build / "pages", build / "results"),
            (book, book / "results"),
        )
    )
    if is_new:
        return here
    if any(path.exists() for path in here):
        raise UserError(
            f"{here[0]}: is missing, or not of the execution that its results are of; "
            f"execute it again: 'notebooks --profile {profile} --only {notebook.name}'"
        )
    if not all(path.is_file() for path in published):
        raise UserError(
            f"{here[0]}: is missing, and nothing is published of it; execute it: "
            f"'notebooks --profile {profile} --only {notebook.name}'"
            + (f", with a set for {notebook.data}" if notebook.data else "")
        )
    return published


def with_current_prose(
    executed: nbformat.NotebookNode, source: Path
) -> nbformat.NotebookNode:
    """An executed notebook with the text, captions and tags that its source has now.

    Raises:
        UserError: if the source's code is not what was executed.
    """
    ran = [cell for cell in executed.cells if cell.cell_type == "code"]
    injected = [c for c in ran if "injected-parameters" in c.metadata.get("tags", [])]
    ran = [cell for cell in ran if cell not in injected]
    cells = jupytext.read(source).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    if [cell.source for cell in ran] != [cell.source for cell in code]:
        raise UserError(
            f"{source}: its code is not that of the executed page; execute it again"
        )
    pages, done = [], iter(ran)
    for cell in cells:
        if cell.cell_type == "code":
            old = next(done)
            is_parameters = "parameters" in cell.metadata.get("tags", [])
            metadata = old.metadata if is_parameters else cell.metadata
            cell = nbformat.from_dict({**old, "metadata": metadata})
            pages += [cell, *injected] if is_parameters else [cell]
        else:
            pages.append(cell)
    for number, cell in enumerate(pages):
        cell.id = f"cell-{number}"
    return nbformat.from_dict({**executed, "cells": pages})


def check_size(page: nbformat.NotebookNode, path: Path) -> None:
    """See that a page and its figures are not too large.

    Raises:
        UserError: if one is.
    """
    sizes = {"the notebook": (len(nbformat.writes(page).encode()), NOTEBOOK_LIMIT)}
    outputs = [out for cell in page.cells for out in cell.get("outputs", [])]
    for number, output in enumerate(outputs):
        for kind, content in output.get("data", {}).items():
            if kind in ("image/png", "image/jpeg"):
                size = len(base64.b64decode(content))
                sizes[f"the figure of output {number}"] = (size, FIGURE_LIMIT)
    for what, (size, limit) in sizes.items():
        if size > limit:
            raise UserError(f"{path}: {what} has {size:,} bytes; {limit:,} are allowed")


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
            folder / f"results/{notebook.name}.json"
            for folder in (root / "book", root / "_build" / profile)
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

"""Keep executed notebooks and their results in git."""

import base64
import json
from pathlib import Path

import jupytext
import nbformat

from unet_tutorial.book.notebooks import Notebook, find_notebooks, read_profile
from unet_tutorial.book.pages import describe_build
from unet_tutorial.book.stamps import Execution
from unet_tutorial.errors import UserError
from unet_tutorial.files import read_json, whole_file, write_json

# What a reader on a phone, and whoever clones the project, should not have to load.
NOTEBOOK_LIMIT, FIGURE_LIMIT, TOTAL_LIMIT = 1_500_000, 250_000, 12_000_000


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
    stamps = {
        notebook.name: Execution(build, notebook.name).read_stamp()
        for notebook in notebooks
    }
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
    left, book = Execution(root / "_build" / profile, notebook.name), root / "book"
    here = left.page, left.results
    published = (
        book / f"{notebook.name}.ipynb",
        book / "results" / f"{notebook.name}.json",
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

"""Execute the notebooks that are stale by papermill."""

import base64
import functools
import io
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import papermill
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError
from PIL import Image

from unet_tutorial.book.notebooks import (
    Notebook,
    find_notebooks,
    read_profile,
    read_profiles,
)
from unet_tutorial.book.pages import describe_build, lay_out_pages
from unet_tutorial.book.stamps import Execution, digest_of_set, fingerprints
from unet_tutorial.classes import LYFT
from unet_tutorial.data.description import read_description
from unet_tutorial.data.pairs import find_pairs
from unet_tutorial.errors import UserError
from unet_tutorial.files import read_json, whole_file, write_json
from unet_tutorial.source import source_state
from unet_tutorial.town.drive import is_town, make_town, renew_town

# What a page tells of its run, and only save_results knows.
ORIGIN = {"profile", "data", "date", "device", "versions"}
# Characters of a figure in PNG from which on it is kept as JPEG.
HEAVY = 150_000
# Folded on the page, under these titles.
PARAMETER_CELLS = {
    "parameters": "Parameters: what they mean, and their defaults",
    "injected-parameters": "Parameters of this run",
}


@dataclass(frozen=True)
class Outcome:
    """``seconds`` of a notebook's last execution; ``fresh`` if that was now.

    ``seconds`` is None if it was left out because its data set is not there.
    """

    name: str
    seconds: float | None
    fresh: bool


@dataclass(frozen=True)
class Progress:
    """Where the execution stands: the notebook, its cell, and the seconds left."""

    notebook: str
    position: int
    count: int
    cell: int
    cells: int
    seconds_left: float


def run_notebooks(
    root: Path,
    profile_name: str,
    data_dir: str | None = None,
    only: str | None = None,
    studies: bool = False,
    on_scene: Callable[[int, int], None] = lambda done, total: None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> list[Outcome]:
    """Execute what is stale, then lay out the pages under ``_build/PROFILE/site``.

    A notebook is stale if its source, its parameters, the library, the data, or
    a notebook that it needs has changed since it was last executed.

    Args:
        root: the checkout.
        profile_name: a file of ``notebooks/profiles``.
        data_dir: use this data set instead of the profile's.
        only: execute this notebook and those that it needs, and no others.
        studies: execute the studies, too, where the profile leaves them out. The pages
            show what was published of a study that is not executed.
        on_scene: called with the number of rendered scenes and their total, if the
            embedded data set has to be made.
        on_progress: called at the start of each cell.

    Raises:
        UserError: if a profile, a notebook or the data cannot be used, a cell fails, or
            the data set of the ``only`` notebook is not there.
    """
    notebooks = find_notebooks(root / "notebooks")
    profile = read_profile(
        root / "notebooks/profiles" / f"{profile_name}.yaml", notebooks
    )
    # A fault in another is better told now than when the pages are to show it.
    read_profiles(root, notebooks)
    studies = profile.pop("studies") or studies
    asked = _with_needs(notebooks, only, studies)
    if data_dir is not None:
        profile["data_dir"] = data_dir
        # One chapter may have been adapted to them; all of them are not.
        if only is None and read_description(root / data_dir).classes != LYFT:
            raise UserError(
                f"{data_dir}: has other classes than the 13 of the Lyft data, which "
                "the chapters are about; adapt a chapter and call it by --only"
            )
    data = {notebook.name: notebook.data_sets(root, profile) for notebook in notebooks}
    missing = {
        notebook.name: data[notebook.name][notebook.data]
        for notebook in notebooks
        if notebook.data and not data[notebook.name][notebook.data].exists()
    }
    if only in missing:
        raise UserError(
            f"{missing[only]}: is not there, and {only} needs that data set; put it, "
            "or a link to it, at that place"
        )
    if data_dir is None:
        _make_town(root, profile, on_scene)
    wanted = asked - set(missing)
    build = root / "_build" / profile_name
    command = f"make book PROFILE={profile_name}"
    command += f" DATA={data_dir}" if data_dir else ""
    digest_of = functools.cache(digest_of_set)
    find_pairs(root / profile["data_dir"])  # asked for, even if nothing reads it now

    left = {notebook.name: Execution(build, notebook.name) for notebook in notebooks}
    stamps = {name: execution.read_stamp() for name, execution in left.items()}
    # Nobody asks whether a page is stale that is neither wanted nor there.
    asked_about = {name for name in stamps if name in wanted or stamps[name]}
    current = fingerprints(
        notebooks,
        profile,
        {name: [*data[name].values()] for name in asked_about},
        digest_of,
    )
    stale = [
        notebook
        for notebook in notebooks
        if notebook.name in wanted
        and stamps[notebook.name].get("fingerprint") != current[notebook.name]
    ]
    clock = _Clock(stale, profile_name, stamps)
    for position, notebook in enumerate(stale, start=1):

        def on_cell(
            cell: int, cells: int, name: str = notebook.name, at: int = position
        ) -> None:
            on_progress(
                Progress(name, at, len(stale), cell, cells, clock.seconds_left())
            )

        clock.start(notebook)
        here = left[notebook.name]
        # If this fails, nothing of an earlier execution may pass for its outcome.
        for earlier in (here.stamp, here.results):
            earlier.unlink(missing_ok=True)
        state = source_state()  # the code may change while it is executed
        executed = _execute(root, build, notebook, profile, on_cell)
        seconds = round(clock.stop(), 1)
        read = data[notebook.name].get(notebook.data or "data_dir")
        origin = {
            **state,
            "data_digest": digest_of(read) if read else None,
            "command": command + (" STUDIES=yes" if notebook.study else ""),
        }
        _keep(here, notebook.path, executed, origin)
        # The stamp comes last: it says that page and results are whole.
        stamps[notebook.name] = {
            "fingerprint": current[notebook.name],
            "seconds": seconds,
            "parameters": notebook.chosen(profile),
            "needs": {name: current[name] for name in notebook.needs},
            "content": here.content(),
        }
        write_json(here.stamp, stamps[notebook.name])

    # What may be left out and is out of date is shown as it was published.
    shown = [
        notebook.name
        for notebook in notebooks
        if (stamps[notebook.name] and not notebook.may_be_left_out)
        or stamps[notebook.name].get("fingerprint") == current[notebook.name]
    ]
    anew = {name: stamps[name]["seconds"] for name in shown if stamps[name]}
    numbers = describe_build(root, profile_name, notebooks, anew)
    numbers["executed"] = list(anew)
    write_json(build / "results" / "build.json", numbers)
    lay_out_pages(root, build, shown)
    fresh = {notebook.name for notebook in stale}
    return [
        Outcome(
            name, stamps[name]["seconds"] if name in wanted else None, name in fresh
        )
        for name in (notebook.name for notebook in notebooks)
        if name in asked
    ]


def _with_needs(notebooks: list[Notebook], only: str | None, studies: bool) -> set[str]:
    if only is None:
        return {n.name for n in notebooks if studies or not n.study}
    names = [notebook.name for notebook in notebooks]
    if only not in names:
        raise UserError(
            f"notebook '{only}' does not exist: choose one of {', '.join(names)}"
        )
    wanted = {only}
    for notebook in reversed(notebooks):  # what one needs comes before it
        if notebook.name in wanted:
            wanted.update(notebook.needs)
    return wanted


def _make_town(
    root: Path, profile: dict[str, Any], on_scene: Callable[[int, int], None]
) -> None:
    """Make the embedded data set, unless the profile names a set of another kind.

    At the places that 'make clean' clears as well, another town is replaced. Elsewhere
    it is somebody's own, and :func:`make_town` refuses.
    """
    folder = root / profile["data_dir"]
    if folder.exists() and not is_town(folder):
        return
    count = profile["num_scenes"]
    is_ours = folder in (root / "data").glob("town-*")
    make = renew_town if is_ours else make_town
    make(
        folder,
        count,
        tuple(profile["scene_size"]),
        profile["scene_seed"],
        on_pair=lambda done: on_scene(done, count),
    )


def _execute(
    root: Path,
    build: Path,
    notebook: Notebook,
    profile: dict[str, Any],
    on_cell: Callable[[int, int], None],
) -> nbformat.NotebookNode:
    name, source = notebook.name, jupytext.reads(notebook.text, "py")
    cells = len(source.cells) + 1  # papermill adds the one with the parameters
    failed = build / "failed" / f"{name}.ipynb"
    failed.parent.mkdir(parents=True, exist_ok=True)
    # A library that wants to draw its progress by widgets warns on the page if it
    # cannot. Widgets load scripts from another host, so the book has none.
    os.environ.setdefault("PYTHONWARNINGS", "ignore:IProgress not found")
    # A kernel has a backend that puts figures on the page, unless it is told another.
    os.environ.pop("MPLBACKEND", None)
    try:
        executed = papermill.execute_notebook(
            source,
            str(failed),
            parameters=notebook.chosen(profile),
            kernel_name="python3",
            progress_bar=False,
            cwd=str(root),
            # Else each kernel warns that it talks to us in plain text, and some say
            # that they were interrupted, by which papermill ends them.
            extra_arguments=["--IPKernelApp.log_level=50"],
            # One box on the page for what a cell prints, not one for each line.
            coalesce_streams=True,
            on_cell_start=lambda cell, cell_index: on_cell(cell_index + 1, cells),
        )
    except PapermillExecutionError as error:
        raise UserError(
            f"{name}.py: cell {error.cell_index} failed with {error.ename}: "
            f"{error.evalue}; the notebook with the traceback is {failed}"
        ) from error
    except (DeadKernelError, CellTimeoutError) as error:
        raise UserError(
            f"{name}.py: its kernel died ({error}); is the memory enough? "
            f"What it had done is in {failed}"
        ) from error
    failed.unlink()
    return _clean(executed)


def _keep(
    left: Execution,
    source: Path,
    executed: nbformat.NotebookNode,
    origin: dict[str, Any],
) -> None:
    """Write the page, and into its results where they are from.

    Raises:
        UserError: if it left no results, or none that ``save_results`` wrote.
    """
    with whole_file(left.page) as temporary:
        nbformat.write(executed, temporary)
    if not left.results.is_file():
        raise UserError(
            f"{source}: wrote no {left.results}; let it call "
            f"save_results(out_dir, '{source.stem}', ...)"
        )
    written = read_json(left.results)
    told = written.get("provenance", {})
    if not told.keys() >= ORIGIN:
        raise UserError(
            f"{left.results}: does not say where its numbers are from; let the "
            "notebook write it by save_results"
        )
    write_json(left.results, written | {"provenance": told | origin})


def _clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop what differs between two equal executions: times, paths, random cell ids."""
    notebook.metadata = nbformat.NotebookNode(
        kernelspec=notebook.metadata.kernelspec, language_info={"name": "python"}
    )
    for index, cell in enumerate(notebook.cells):
        cell.id = f"cell-{index}"
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        tags = cell.metadata.get("tags", [])
        for tag, title in PARAMETER_CELLS.items():
            if tag in tags:
                cell.metadata.tags = [*tags, "hide-input"]
                cell.metadata.mystnb = {
                    "code_prompt_show": title,
                    "code_prompt_hide": title,
                }
        for output in cell.get("outputs", []):
            _lighten(output)
    return notebook


def _lighten(output: nbformat.NotebookNode) -> None:
    """Keep a figure full of pictures as JPEG, a third of the size of a PNG."""
    png = output.get("data", {}).get("image/png", "")
    if len(png) < HEAVY:
        return
    jpeg = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(png))) as image:
        # Without subsampling: masks have sharp edges between strong colours.
        image.convert("RGB").save(jpeg, "JPEG", quality=90, subsampling=0)
    del output.data["image/png"]
    output.data["image/jpeg"] = base64.b64encode(jpeg.getvalue()).decode()


class _Clock:
    """Tell how long is left, from how long each notebook took or is said to take."""

    def __init__(
        self, stale: list[Notebook], profile: str, stamps: dict[str, dict]
    ) -> None:
        self.expected = {
            notebook.name: stamps[notebook.name].get("seconds")
            or notebook.seconds.get(profile, notebook.seconds.get("laptop", 60))
            for notebook in stale
        }
        self.spent: dict[str, float] = {}

    def start(self, notebook: Notebook) -> None:
        self.current, self.began = notebook.name, time.monotonic()

    def stop(self) -> float:
        self.spent[self.current] = time.monotonic() - self.began
        return self.spent[self.current]

    def seconds_left(self) -> float:
        done = sum(self.expected[name] for name in self.spent)
        # This machine may be slower or faster than the one that was measured.
        pace = sum(self.spent.values()) / done if done else 1.0
        left = sum(self.expected.values()) - done
        return max(left * pace - (time.monotonic() - self.began), 0)

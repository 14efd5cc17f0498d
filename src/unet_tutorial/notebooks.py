"""Execute stale notebooks by papermill, and lay out the pages of the book."""

import ast
import base64
import functools
import hashlib
import io
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import papermill
import yaml
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError
from PIL import Image

from unet_tutorial.data.description import read_description
from unet_tutorial.data.pairs import digest_pair, find_pairs, join_digests
from unet_tutorial.errors import UserError
from unet_tutorial.files import digest_files, read_json, whole_file, write_json
from unet_tutorial.source import source_state
from unet_tutorial.town.drive import DESCRIPTION, is_town, make_town, renew_town

# What no notebook imports: a change there makes no result stale.
NOT_IN_RESULTS = {"cli.py", "__main__.py", "publishing.py", "bench.py", "export.py"}
# Parameters that are paths of data sets.
DATA_SETS = ("data_dir", "second_data", "real_dir")
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


def find_notebooks(folder: Path) -> list[Notebook]:
    """All text notebooks of a folder, in the order of their numbers.

    Raises:
        UserError: if there are none, or one needs a notebook that does not come
            before it, or that may be left out.
    """
    notebooks = [read_notebook(path) for path in sorted(folder.glob("[0-9]*.py"))]
    if not notebooks:
        raise UserError(
            f"{folder}: holds no notebooks; call this in the project's folder"
        )
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
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: cannot be read as YAML ({reason})") from error
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
    _read_profiles(root, notebooks)
    studies = profile.pop("studies") or studies
    asked = _with_needs(notebooks, only, studies)
    if data_dir is not None:
        profile["data_dir"] = data_dir
    else:
        _make_town(root, profile, on_scene)
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
    wanted = asked - set(missing)
    build = root / "_build" / profile_name
    command = f"make book PROFILE={profile_name}"
    command += f" DATA={data_dir}" if data_dir else ""
    digest_of = functools.cache(_digest_of_set)
    find_pairs(root / profile["data_dir"])  # asked for, even if nothing reads it now

    stamps = {notebook.name: read_stamp(build, notebook) for notebook in notebooks}
    # Nobody asks whether a page is stale that is neither wanted nor there.
    asked_about = {name for name in stamps if name in wanted or stamps[name]}
    fingerprints = _fingerprints(
        notebooks,
        profile,
        {name: [*data[name].values()] for name in asked_about},
        digest_of,
    )
    stale = [
        notebook
        for notebook in notebooks
        if notebook.name in wanted
        and stamps[notebook.name].get("fingerprint") != fingerprints[notebook.name]
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
        # If this fails, nothing of an earlier execution may pass for its outcome.
        stamp = _stamp_of(build, notebook)
        for earlier in (stamp, _results_of(build, notebook)):
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
        # The stamp comes last: it says that page and results are whole.
        stamps[notebook.name] = {
            "fingerprint": fingerprints[notebook.name],
            "seconds": seconds,
            "parameters": notebook.chosen(profile),
            "needs": {name: fingerprints[name] for name in notebook.needs},
            "content": _keep(build, notebook, executed, origin),
        }
        write_json(stamp, stamps[notebook.name])

    # What may be left out and is out of date is shown as it was published.
    shown = [
        notebook.name
        for notebook in notebooks
        if (stamps[notebook.name] and not notebook.may_be_left_out)
        or stamps[notebook.name].get("fingerprint") == fingerprints[notebook.name]
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


def _fingerprints(
    notebooks: list[Notebook],
    profile: dict[str, Any],
    data: dict[str, list[Path]],
    digest_of: Callable[[Path], str | None],
) -> dict[str, str]:
    """A name for all that decides the outcome of each notebook.

    Args:
        notebooks: all of them.
        profile: the parameters.
        data: by notebook, the data sets that it reads.
        digest_of: names what a data set holds.
    """
    library = digest_files(_library_files())
    described_by = functools.cache(_description_of_set)
    found: dict[str, str] = {}
    for notebook in notebooks:
        parts = [
            notebook.text,
            notebook.chosen(profile),
            library,
            *([digest_of(p), described_by(p)] for p in data.get(notebook.name, [])),
            *(found[name] for name in notebook.needs),
        ]
        digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
        found[notebook.name] = digest[:16]
    return found


def _keep(
    build: Path,
    notebook: Notebook,
    executed: nbformat.NotebookNode,
    origin: dict[str, Any],
) -> str:
    """Write the page, and into its results where they are from; name both by content.

    Raises:
        UserError: if it left no results, or none that ``save_results`` wrote.
    """
    page, results = _page_of(build, notebook), _results_of(build, notebook)
    with whole_file(page) as temporary:
        nbformat.write(executed, temporary)
    if not results.is_file():
        raise UserError(
            f"{notebook.path}: wrote no {results}; let it call save_results"
        )
    written = read_json(results)
    told = written.get("provenance", {})
    if not told.keys() >= ORIGIN:
        raise UserError(
            f"{results}: does not say where its numbers are from; let the notebook "
            "write it by save_results"
        )
    write_json(results, written | {"provenance": told | origin})
    return digest_files([page, results])


def describe_build(
    root: Path, profile_name: str, notebooks: list[Notebook], anew: dict[str, float]
) -> dict[str, Any]:
    """The profiles, and how long each notebook took, all but the studies, and these.

    Args:
        root: the checkout.
        profile_name: what was executed.
        notebooks: all of them.
        anew: seconds of those executed; of others they are those published.
    """
    published = root / "book/results/build.json"
    known = read_json(published)["seconds"] if published.is_file() else {}
    known |= anew
    return {
        "profile": profile_name,
        "seconds": {n.name: known[n.name] for n in notebooks if n.name in known},
        **{
            title: sum(known.get(n.name, 0) for n in notebooks if n.study is is_study)
            for title, is_study in (("total", False), ("studies", True))
        },
        "profiles": {
            name: _in_words(profile)
            for name, profile in _read_profiles(root, notebooks).items()
        },
    }


def _read_profiles(root: Path, notebooks: list[Notebook]) -> dict[str, dict[str, Any]]:
    paths = sorted((root / "notebooks/profiles").glob("*.yaml"))
    return {path.stem: read_profile(path, notebooks) for path in paths}


def lay_out_pages(root: Path, build: Path, names: list[str]) -> None:
    """Put sources and executed notebooks together as the book's tree, ``build/site``.

    Only what changed is copied, so that Sphinx rebuilds only what changed.

    Args:
        root: the checkout.
        build: the folder of the profile.
        names: the notebooks to be taken from ``build``. What others left there stays
            there, and their pages are those in ``book/``.
    """
    site = build / "site"
    origins = {name: root / name for name in ("_config.yml", "_toc.yml")}
    for path in (root / "book").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            origins[str(path.relative_to(root))] = path
    for name in names:
        if (build / "pages" / f"{name}.ipynb").is_file():
            origins[f"book/{name}.ipynb"] = build / "pages" / f"{name}.ipynb"
            origins[f"book/results/{name}.json"] = build / "results" / f"{name}.json"
    origins["book/results/build.json"] = build / "results" / "build.json"
    sources = {Path(place): path for place, path in origins.items() if path.is_file()}
    for place, origin in sources.items():
        target = site / place
        if not target.exists() or target.read_bytes() != origin.read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(origin, target)
    for path in site.rglob("*"):
        inside = path.relative_to(site)
        if path.is_file() and inside.parts[0] != "src" and inside not in sources:
            path.unlink()
    # The pages include the library's code from here.
    link = site / "src"
    if not link.exists():
        link.unlink(missing_ok=True)  # it may lead where the project was before
        # Either may be reached by a link to another disk.
        code = os.path.relpath((root / "src").resolve(), site.resolve())
        link.symlink_to(code, target_is_directory=True)


def _in_words(profile: dict[str, Any]) -> dict[str, Any]:
    """For the pages: a size of two numbers as ``96x128``, other lists as ``0, 1``."""
    return {
        name: ("x" if name.endswith("size") else ", ").join(map(str, value))
        if isinstance(value, list)
        else value
        for name, value in profile.items()
    }


def _with_needs(notebooks: list[Notebook], only: str | None, studies: bool) -> set[str]:
    by_name = {notebook.name: notebook for notebook in notebooks}
    if only is None:
        return {name for name, n in by_name.items() if studies or not n.study}
    if only not in by_name:
        raise UserError(
            f"notebook '{only}' does not exist: choose one of {', '.join(by_name)}"
        )
    wanted: set[str] = set()
    queue = [only]
    while queue:
        name = queue.pop()
        wanted.add(name)
        queue += by_name[name].needs
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


def _library_files() -> list[Path]:
    package = Path(__file__).parent
    sources = [*package.rglob("*.py"), *package.rglob("*.yaml")]
    return [path for path in sources if path.name not in NOT_IN_RESULTS]


def _digest_of_set(data: Path) -> str | None:
    """A name for the content of a data set; None where there is none.

    A whole town is named by its description: another processor may round a few pixels
    of its pictures another way, and its results are to be compared all the same.
    """
    if not data.exists():
        return None
    pairs, described = find_pairs(data), data / DESCRIPTION
    if is_town(data) and len(pairs) == read_json(described).get("count"):
        return digest_files([described])
    return join_digests(map(digest_pair, pairs))


def _description_of_set(data: Path) -> list[Any] | None:
    """What its pairs are taken for: the classes, and the part of each line's files."""
    if not data.exists():
        return None
    described = read_description(data)
    lines = [[folder.part, folder.names] for folder in described.folders]
    return [asdict(described.classes), lines]


def read_stamp(build: Path, notebook: Notebook) -> dict[str, Any]:
    """What the last execution left, or nothing if a part of it is gone or another's.

    By hand, too, notebooks may be executed that write to the same results.
    """
    stamp = _stamp_of(build, notebook)
    left = [_page_of(build, notebook), _results_of(build, notebook)]
    if not all(path.is_file() for path in (stamp, *left)):
        return {}
    told = read_json(stamp)
    return told if told.get("content") == digest_files(left) else {}


def _stamp_of(build: Path, notebook: Notebook) -> Path:
    return build / "stamps" / f"{notebook.name}.json"


def _page_of(build: Path, notebook: Notebook) -> Path:
    return build / "pages" / f"{notebook.name}.ipynb"


def _results_of(build: Path, notebook: Notebook) -> Path:
    return build / "results" / f"{notebook.name}.json"


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

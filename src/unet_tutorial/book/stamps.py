"""What an execution left, and whether that is still the outcome of its sources."""

import functools
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unet_tutorial.book.notebooks import Notebook
from unet_tutorial.data.description import read_description
from unet_tutorial.data.pairs import digest_pair, find_pairs, join_digests
from unet_tutorial.files import digest_files, read_json
from unet_tutorial.town.drive import DESCRIPTION, is_town

# What no notebook imports: a change there makes no result stale.
NOT_IN_RESULTS = {
    "__main__.py",
    "bench.py",
    "cli.py",
    "comparing.py",
    "download.py",
    "export.py",
    "pages.py",
    "publishing.py",
}


@dataclass(frozen=True)
class Execution:
    """Where the last execution of a notebook left what it made, in a profile's folder.

    The stamp says that page and results are whole, and of what sources they are.
    """

    build: Path
    name: str

    @property
    def page(self) -> Path:
        return self.build / "pages" / f"{self.name}.ipynb"

    @property
    def results(self) -> Path:
        return self.build / "results" / f"{self.name}.json"

    @property
    def stamp(self) -> Path:
        return self.build / "stamps" / f"{self.name}.json"

    def content(self) -> str:
        """A name for what is in page and results."""
        return digest_files([self.page, self.results])

    def read_stamp(self) -> dict[str, Any]:
        """What the stamp says, or nothing if a part is gone or another's.

        By hand, too, notebooks may be executed that write to the same results.
        """
        if not all(path.is_file() for path in (self.stamp, self.page, self.results)):
            return {}
        told = read_json(self.stamp)
        return told if told.get("content") == self.content() else {}


def fingerprints(
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


def _library_files() -> list[Path]:
    package = Path(__file__).parents[1]
    sources = [*package.rglob("*.py"), *package.rglob("*.yaml")]
    return [path for path in sources if path.name not in NOT_IN_RESULTS]


def digest_of_set(data: Path) -> str | None:
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

"""Sources and executed notebooks, put together as the book's tree."""

import os
import shutil
from pathlib import Path
from typing import Any

from unet_tutorial.book.notebooks import Notebook, read_profiles
from unet_tutorial.book.stamps import Execution
from unet_tutorial.files import read_json


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
            for name, profile in read_profiles(root, notebooks).items()
        },
    }


def _in_words(profile: dict[str, Any]) -> dict[str, Any]:
    """For the pages: a size of two numbers as ``96x128``, other lists as ``0, 1``."""
    return {
        name: ("x" if name.endswith("size") else ", ").join(map(str, value))
        if isinstance(value, list)
        else value
        for name, value in profile.items()
    }


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
        left = Execution(build, name)
        if left.page.is_file():
            origins[f"book/{name}.ipynb"] = left.page
            origins[f"book/results/{name}.json"] = left.results
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

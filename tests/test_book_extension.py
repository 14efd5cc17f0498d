"""Numbers by reference: right, formatted, and never silently missing."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location(
    "book_results", ROOT / "book/_ext/results.py"
)
assert spec is not None
assert spec.loader is not None
extension = importlib.util.module_from_spec(spec)
spec.loader.exec_module(extension)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    results = {"test": {"miou": 0.61349, "lyft": None}, "parameters": 1942781}
    (tmp_path / "book/results").mkdir(parents=True)
    (tmp_path / "book/results/07_scratch.json").write_text(json.dumps(results))
    return tmp_path


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        ("07_scratch.test.miou:.3f", "0.613"),
        ("07_scratch.test.miou:.1%", "61.3%"),
        ("07_scratch.parameters:,", "1,942,781"),
        ("07_scratch.test.lyft:.2f", "absent"),
    ],
)
def test_a_number_is_looked_up_and_formatted(
    reference: str, text: str, root: Path
) -> None:
    assert extension.look_up(root, reference) == text


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("08_other.miou:.3f", "there is no book/results/08_other.json"),
        ("07_scratch.test.mious:.3f", "has no 'mious'"),
        ("07_scratch.test:.3f", "no single value"),
        ("07_scratch.parameters:.3z", "does not format"),
    ],
)
def test_what_is_missing_is_named(reference: str, message: str, root: Path) -> None:
    with pytest.raises(KeyError, match=message):
        extension.look_up(root, reference)


# --- in a build ---------------------------------------------------------------------

CONF = f"""
import sys
sys.path.insert(0, {str(ROOT / "book/_ext")!r})
extensions = ["myst_parser", "results"]
"""
PROVENANCE = {
    "profile": "tiny",
    "data": "town-tiny",
    "device": "CPU",
    "versions": {"torch": "2"},
    "date": "2026-01-01",
    "commit": "abc",
    "dirty": False,
    "command": "make book PROFILE=tiny",
}


def build(
    folder: Path, page: str, name: str = "07_scratch", profile: str = "tiny"
) -> subprocess.CompletedProcess[str]:
    """Build a book of one page, as strictly as the real one."""
    results = folder / "book/results"
    results.mkdir(parents=True)
    (folder / "conf.py").write_text(CONF)
    (folder / "index.md").write_text(f"# Book\n\n```{{toctree}}\nbook/{name}\n```\n")
    (folder / f"book/{name}.md").write_text(f"# Page\n\n{page}\n")
    (folder / "book/picture.png").write_bytes(
        (ROOT / "book/_static/prediction.png").read_bytes()
    )
    numbers = {"miou": 0.5, "provenance": PROVENANCE | {"profile": profile}}
    (results / "07_scratch.json").write_text(json.dumps(numbers))
    command = [sys.executable, "-m", "sphinx", "-q", "-n", "-W", "--keep-going"]
    return subprocess.run(
        [*command, str(folder), str(folder / "html")], capture_output=True, text=True
    )


def test_a_page_shows_its_numbers_and_where_they_came_from(tmp_path: Path) -> None:
    done = build(
        tmp_path,
        "The mIoU is {result}`07_scratch.miou:.2f`.\n\n"
        "```{figure} picture.png\n:alt: Three streets.\n\nA caption.\n```",
    )
    assert done.returncode == 0, done.stderr
    page = BeautifulSoup(
        (tmp_path / "html/book/07_scratch.html").read_text(), "html.parser"
    )
    text = " ".join(page.get_text().split())
    assert "The mIoU is 0.50." in text
    assert "A caption. Run: profile tiny, see the foot of this page." in text
    assert "Results of 07_scratch: profile tiny, data town-tiny" in text
    assert "commit abc. Make them again with make book PROFILE=tiny" in text


def test_a_page_without_results_of_its_own_tells_of_those_it_quotes(
    tmp_path: Path,
) -> None:
    done = build(tmp_path, "The mIoU is {result}`07_scratch.miou`.", name="start")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "html/book/start.html").read_text()
    text = " ".join(BeautifulSoup(page, "html.parser").get_text().split())
    assert "Results of 07_scratch: profile tiny" in text


def test_trial_results_are_refused_but_by_their_own_build(tmp_path: Path) -> None:
    done = build(tmp_path / "published", "Text.", profile="ci")
    assert done.returncode != 0
    assert "07_scratch.json: its numbers are those of the profile ci" in done.stderr
    done = build(tmp_path / "ci/site", "Text.", profile="ci")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("{result}`07_scratch.miuo:.2f`", "has no 'miuo'"),
        ("{result}`08_none.miou:.2f`", "there is no book/results/08_none.json"),
        ("![](picture.png)", "image without alternative text"),
        ("![picture.png](picture.png)", "image without alternative text"),
    ],
)
def test_what_is_missing_fails_the_build(
    page: str, message: str, tmp_path: Path
) -> None:
    done = build(tmp_path, page)
    assert done.returncode != 0
    assert message in done.stderr

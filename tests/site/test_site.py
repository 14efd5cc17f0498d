"""Look at a built book: `make book`, then `pytest tests/site`."""

import re
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup

ROOT = Path(__file__).parents[2]
HTML = ROOT / "_build/html"

toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
PAGES = [toc["root"]] + [
    entry["file"] for part in toc["parts"] for entry in part["chapters"]
]
CHAPTERS = [
    f"book/{path.stem}" for path in sorted((ROOT / "notebooks").glob("[0-9]*.py"))
]


def read(page: str) -> BeautifulSoup:
    return BeautifulSoup((HTML / f"{page}.html").read_text(), "html.parser")


@pytest.mark.parametrize("page", PAGES)
def test_the_page_is_there_and_has_something_to_say(page: str) -> None:
    article = read(page).select_one("article")
    assert article is not None
    assert len(article.get_text().split()) > 60


def test_every_notebook_is_a_chapter_of_the_book() -> None:
    assert set(CHAPTERS) <= set(PAGES)


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_chapter_has_figures_with_captions_that_name_the_run(page: str) -> None:
    soup = read(page)
    figures = soup.select("article figure")
    assert figures
    for figure in figures:
        drawing = figure.img is not None and str(figure.img["src"]).endswith(".svg")
        assert ("Run: profile" in figure.get_text()) is not drawing
    origin = soup.select_one("article p.origin")
    assert origin is not None
    assert "commit" in origin.get_text()
    link = origin.select_one("a.download")
    assert link is not None
    assert (HTML / "book" / str(link["href"])).resolve().is_file()


@pytest.mark.parametrize("page", PAGES)
def test_images_exist_and_have_alternative_text(page: str) -> None:
    for image in read(page).select("article img"):
        source = str(image["src"])
        assert (HTML / "book" / source).resolve().is_file(), source
        alternative = str(image.get("alt", "")).strip()
        assert len(alternative) > 20, f"{source}: '{alternative}'"


@pytest.mark.parametrize("page", PAGES)
def test_no_traceback_warning_or_missing_number_is_shown(page: str) -> None:
    soup = read(page)
    assert not soup.select(".output.traceback")
    assert not soup.select(".output.stderr")
    assert "missing" not in [tag.get_text() for tag in soup.select(".result")]
    text = soup.get_text()
    for word in ("Traceback (most recent call last)", "Warning:", "{result}", "{doc}"):
        assert word not in text


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_loaded_from_another_host(page: str) -> None:
    soup = read(page)
    sources = [tag.get("src") for tag in soup.select("script, img, iframe, source")]
    sources += [tag.get("href") for tag in soup.select("link:not([rel=canonical])")]
    remote = [
        source
        for source in sources
        if source and re.match(r"(https?:)?//", str(source))
    ]
    assert remote == []
    assert "thebe" not in str(soup.select("script")).lower()


def test_math_is_typeset_by_files_of_the_book() -> None:
    script = read("book/05_dice_loss").select_one("script[src*=mathjax]")
    assert script is not None
    path = str(script["src"]).split("?")[0]
    assert (HTML / "book" / path).resolve().is_file()
    assert list(HTML.glob("_static/mathjax/output/chtml/fonts/woff-v2/*.woff"))


def test_the_root_leads_to_the_introduction() -> None:
    assert "book/00_introduction.html" in (HTML / "index.html").read_text()

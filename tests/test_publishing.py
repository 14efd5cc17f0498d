"""What git keeps of the results is what the sources say, small, and never a trial's."""

import json
import re
import shutil
from pathlib import Path

import jupytext
import nbformat
import pytest
import yaml
from typer.testing import CliRunner

from unet_tutorial.book.comparing import REFERENCE, compare, read_tolerances
from unet_tutorial.book.notebooks import find_notebooks
from unet_tutorial.book.publishing import (
    TOTAL_LIMIT,
    check_size,
    publish,
    with_current_prose,
)
from unet_tutorial.cli import app
from unet_tutorial.errors import UserError
from unet_tutorial.files import digest_files, read_json, write_json
from unet_tutorial.town.drive import DESCRIPTION, make_town

ROOT = Path(__file__).parents[1]

SOURCE = """# %% [markdown]
# What was {word}.

# %% tags=["parameters"]
profile = "laptop"  # its name
data_dir = "data/town"  # the data
out_dir = "_build/laptop"  # the results
num_scenes = 1  # pairs
scene_size = [32, 32]  # of each
scene_seed = 0  # of the first

# %%
print({number})
"""
PROFILE = """profile: {name}
data_dir: data/town
out_dir: _build/{name}
num_scenes: 1
scene_size: [32, 32]
scene_seed: 0
studies: false
"""
ORIGIN = {"profile": "laptop", "dirty": False, "commit": "abc", "data_digest": "d"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout with one notebook, executed with the profile laptop."""
    (tmp_path / "notebooks/profiles").mkdir(parents=True)
    for name in ("laptop", "full"):
        (tmp_path / f"notebooks/profiles/{name}.yaml").write_text(
            PROFILE.format(name=name)
        )
    (tmp_path / "book").mkdir()
    source = tmp_path / "notebooks/01_first.py"
    source.write_text(SOURCE.format(word="seen", number=1))
    page = jupytext.read(source)
    page.cells[2].outputs = [nbformat.v4.new_output("stream", text="1\n")]
    injected = nbformat.v4.new_code_cell("profile = 'laptop'")
    injected.metadata["tags"] = ["injected-parameters"]
    page.cells.insert(2, injected)
    build = tmp_path / "_build/laptop"
    (build / "pages").mkdir(parents=True)
    (build / "results").mkdir()
    (build / "stamps").mkdir()
    nbformat.write(page, build / "pages/01_first.ipynb")
    for name, content in (
        ("01_first", {"provenance": ORIGIN, "miou": 0.5}),
        ("build", {"executed": ["01_first"]}),
    ):
        (build / f"results/{name}.json").write_text(json.dumps(content))
    stamp(tmp_path)
    return tmp_path


def stamp(project: Path, **about: object) -> None:
    """Say that page and results are of one execution."""
    build = project / "_build/laptop"
    left = [build / "pages/01_first.ipynb", build / "results/01_first.json"]
    told = {"seconds": 1, "fingerprint": "f", "parameters": {}, "needs": {}}
    told |= {"content": digest_files(left)} | about
    (build / "stamps/01_first.json").write_text(json.dumps(told))


def change_results(project: Path, **origin: object) -> None:
    path = project / "_build/laptop/results/01_first.json"
    path.write_text(json.dumps({"provenance": ORIGIN | origin, "miou": 0.5}))
    stamp(project)


def test_a_page_is_published_with_its_outputs_and_the_prose_of_now(
    project: Path,
) -> None:
    source = project / "notebooks/01_first.py"
    source.write_text(SOURCE.format(word="corrected", number=1))
    assert publish(project, "laptop") == ["01_first"]
    page = nbformat.read(project / "book/01_first.ipynb", as_version=4)
    assert page.cells[0].source == "What was corrected."
    assert page.cells[2].metadata.tags == ["injected-parameters"]
    assert page.cells[3].outputs[0].text == "1\n"
    assert [cell.id for cell in page.cells] == [f"cell-{i}" for i in range(4)]
    assert (
        json.loads((project / "book/results/01_first.json").read_text())["miou"] == 0.5
    )
    numbers = json.loads((project / "book/results/build.json").read_text())
    assert (numbers["profile"], numbers["seconds"]) == ("laptop", {"01_first": 1})
    assert (numbers["total"], numbers["studies"]) == (1, 0)


def test_what_must_not_be_published_is_refused_and_nothing_is_written(
    project: Path,
) -> None:
    with pytest.raises(UserError, match=r"profile 'ci' .* never published"):
        publish(project, "ci")
    for origin in ({"profile": "ci"}, {"dirty": True}, {"dirty": None}):
        change_results(project, **origin)
        with pytest.raises(UserError, match=r"01_first\.json: was not made with"):
            publish(project, "laptop")
    change_results(project)
    source = project / "notebooks/01_first.py"
    source.write_text(SOURCE.format(word="seen", number=2))
    with pytest.raises(UserError, match="is not that of the executed page"):
        publish(project, "laptop")
    page = project / "_build/laptop/pages/01_first.ipynb"
    page.unlink()
    with pytest.raises(UserError, match=r"not of the execution .* --only 01_first"):
        publish(project, "laptop")
    (project / "_build/laptop/results/01_first.json").unlink()
    with pytest.raises(UserError, match="nothing is published of it"):
        publish(project, "laptop")
    assert not list((project / "book").iterdir())


def test_a_page_that_was_not_executed_here_stays_as_published(project: Path) -> None:
    publish(project, "laptop")
    shutil.rmtree(project / "_build/laptop")
    source = project / "notebooks/01_first.py"
    source.write_text(SOURCE.format(word="corrected", number=1))
    assert publish(project, "laptop") == ["01_first"]
    page = nbformat.read(project / "book/01_first.ipynb", as_version=4)
    assert page.cells[0].source == "What was corrected."
    assert page.cells[3].outputs[0].text == "1\n"
    # Numbers of two profiles cannot be compared on one page.
    with pytest.raises(
        UserError, match=r"is of the profile laptop, .* --only 01_first"
    ):
        publish(project, "full")
    source.write_text(SOURCE.format(word="seen", number=2))
    with pytest.raises(UserError, match="is not that of the executed page"):
        publish(project, "laptop")


def test_a_page_is_not_kept_beside_another_run_of_what_it_needs(project: Path) -> None:
    about = "# ---\n# jupyter:\n#   unet_tutorial: {needs: [01_first]}\n# ---\n\n"
    (project / "notebooks/02_second.py").write_text(
        about + SOURCE.format(word="compared", number=2)
    )
    page = jupytext.read(project / "notebooks/02_second.py")
    (project / "book/results").mkdir()
    nbformat.write(page, project / "book/02_second.ipynb")
    kept = project / "book/results/02_second.json"
    kept.write_text(json.dumps({"provenance": ORIGIN}))
    with pytest.raises(UserError, match=r"anew; .* --only 02_second"):
        publish(project, "laptop")


def test_a_page_whose_parameters_or_results_have_changed_is_not_published(
    project: Path,
) -> None:
    stamp(project, parameters={"profile": "laptop", "num_scenes": 2})
    with pytest.raises(UserError, match="was executed with other parameters"):
        publish(project, "laptop")
    stamp(project, parameters={"profile": "laptop", "data_dir": "mine"})
    publish(project, "laptop")
    # As a notebook does that is executed by hand.
    results = project / "_build/laptop/results/01_first.json"
    results.write_text(results.read_text().replace("0.5", "0.9"))
    with pytest.raises(UserError, match="not of the execution that its results are"):
        publish(project, "laptop")


def test_large_pages_and_figures_are_refused(tmp_path: Path) -> None:
    page = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell()])
    for content, message in (
        ({"image/png": "A" * 400_000}, "the figure of output 0 has 300,000 bytes"),
        ({"text/plain": "A" * 1_600_000}, "the notebook has 1,6"),
    ):
        page.cells[0].outputs = [nbformat.v4.new_output("display_data", content)]
        with pytest.raises(UserError, match=message):
            check_size(page, tmp_path / "page.ipynb")


def test_new_numbers_are_held_against_the_published_ones(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    publish(project, "laptop")
    spreads = {"scratch": 0.01, "resnet34": 0.02}
    seeds = {model: {"miou": {"spread": value}} for model, value in spreads.items()}
    (project / "book/results/11_seeds.json").write_text(json.dumps(seeds))
    (project / "book/tolerances.yaml").write_text('"*": 0\n"01_*": 2 spreads\n')
    text = "{result}`01_first.miou:.3f` {result}`report.first`"
    (project / "book/page.md").write_text(text)
    new = project / "_build/laptop/results/01_first.json"
    for miou, is_within in ((0.5, True), (0.539, True), (0.541, False), (None, False)):
        new.write_text(json.dumps({"miou": miou, "provenance": ORIGIN}))
        (row,), _ = compare(project, "laptop")
        assert (row.name, row.published, row.now) == ("01_first.miou", 0.5, miou)
        assert row.tolerance == pytest.approx(0.04)
        assert row.is_within is is_within
        told = CliRunner().invoke(app, ["compare"])
        assert told.exit_code == (0 if is_within else 1)
        assert ("apart: 01_first.miou" in told.stdout) is not is_within
    # An encoder that started from other weights is another experiment.
    published = project / "book/results/01_first.json"
    for path, weights in ((published, "random"), (new, "imagenet")):
        numbers = {"miou": 0.1, "weights": weights, "provenance": ORIGIN}
        path.write_text(json.dumps(numbers))
    assert [row.tolerance for row in compare(project, "laptop")[0]] == [None]
    new.write_text(json.dumps({"provenance": ORIGIN}))
    with pytest.raises(UserError, match="has no 'miou'"):
        compare(project, "laptop")
    new.write_text(json.dumps({"provenance": ORIGIN | {"data_digest": "e"}}))
    with pytest.raises(UserError, match="data_digest d, and the new one has e"):
        compare(project, "laptop")
    # Of an earlier build, whatever lies there.
    (new.parent / "build.json").write_text(json.dumps({"executed": []}))
    with pytest.raises(UserError, match=r"or not of the last build; 'make reproduce'"):
        compare(project, "laptop")
    source = project / "notebooks/01_first.py"
    study = "# ---\n# jupyter:\n#   unet_tutorial: {study: true}\n# ---\n\n"
    source.write_text(study + source.read_text())
    assert compare(project, "laptop") == ([], {"01_first": "was not executed"})
    (project / "book/results/01_first.json").unlink()
    with pytest.raises(UserError, match="call 'make publish' first"):
        compare(project, "laptop")


def test_a_page_whose_data_set_was_not_there_stays_as_published(project: Path) -> None:
    publish(project, "laptop")
    source = project / "notebooks/01_first.py"
    header = SOURCE.replace(
        "scene_seed = 0  # of the first",
        'scene_seed = 0  # of the first\nsecond_data = "data/photos"  # a set',
    )
    build = project / "_build/laptop"
    # Published from another profile, say, and not executed with this one.
    kept = project / "book/results/01_first.json"
    kept.write_text(json.dumps({"provenance": ORIGIN | {"profile": "full"}, "a": 1}))
    shutil.rmtree(build)
    with pytest.raises(UserError, match="is of the profile full"):
        publish(project, "laptop")
    about = "# ---\n# jupyter:\n#   unet_tutorial: {data: second_data}\n# ---\n\n"
    source.write_text(about + header.format(word="corrected", number=1))
    page = nbformat.read(project / "book/01_first.ipynb", as_version=4)
    page.cells[1].source += '\nsecond_data = "data/photos"  # a set'
    nbformat.write(page, project / "book/01_first.ipynb")

    assert publish(project, "laptop") == ["01_first"]
    page = nbformat.read(project / "book/01_first.ipynb", as_version=4)
    assert page.cells[0].source == "What was corrected."
    assert json.loads(kept.read_text())["a"] == 1

    seeds = {model: {"miou": {"spread": 0.01}} for model in ("scratch", "resnet34")}
    (project / "book/results/11_seeds.json").write_text(json.dumps(seeds))
    (project / "book/tolerances.yaml").write_text('"*": 0')
    (project / "book/page.md").write_text("{result}`01_first.a`")
    for origin in ({"profile": "full"}, {"data_digest": "e"}):
        new = {"provenance": ORIGIN | {"profile": "full"} | origin, "a": 2}
        (build / "results").mkdir(parents=True, exist_ok=True)
        (build / "results/01_first.json").write_text(json.dumps(new))
        told = json.dumps({"executed": ["01_first"]})
        (build / "results/build.json").write_text(told)
        numbers, left_out = compare(project, "laptop")
        assert len(numbers) == ("profile" in origin) == 1 - len(left_out)
    (build / "results/build.json").unlink()
    assert compare(project, "laptop") == ([], {"01_first": "was not executed"})


# --- the book's own results ---------------------------------------------------------

NOTEBOOKS = find_notebooks(ROOT / "notebooks")
BOOK = ROOT / "book"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.name)
def test_the_published_page_is_that_of_the_source(notebook) -> None:
    page = nbformat.read(BOOK / f"{notebook.name}.ipynb", as_version=4)
    check_size(page, notebook.path)
    assert with_current_prose(page, notebook.path) == page, "make publish"
    origin = json.loads((BOOK / f"results/{notebook.name}.json").read_text())[
        "provenance"
    ]
    assert origin["profile"] in ("laptop", "full")
    assert origin["dirty"] is False
    assert bool(origin["data_digest"]) is ("data_dir" in notebook.parameters)
    for known in ("data", "device", "date", "commit", "command"):
        assert origin[known]


def test_what_is_published_is_of_the_town_as_it_is_rendered_now(tmp_path: Path) -> None:
    """After a change of its generator all pages are to be executed anew."""
    origin = read_json(BOOK / "results/07_scratch.json")["provenance"]
    profile = yaml.safe_load(
        (ROOT / f"notebooks/profiles/{origin['profile']}.yaml").read_text()
    )
    if origin["data"] != Path(profile["data_dir"]).name:
        pytest.skip("it is of another data set")
    make_town(tmp_path, 1, (16, 16), profile["scene_seed"])
    height, width = profile["scene_size"]
    changed = {"count": profile["num_scenes"], "height": height, "width": width}
    write_json(tmp_path / DESCRIPTION, read_json(tmp_path / DESCRIPTION) | changed)
    assert digest_files([tmp_path / DESCRIPTION]) == origin["data_digest"]


def test_what_is_published_is_small() -> None:
    kept = [*BOOK.glob("*.ipynb"), *BOOK.glob("results/*.json")]
    assert len(kept) > 2 * len(NOTEBOOKS)
    assert sum(path.stat().st_size for path in kept) < TOTAL_LIMIT


def without_code(text: str) -> str:
    """What is not fenced, or fenced by a directive that holds prose."""
    kept: list[str] = []
    inside: list[bool] = []
    for line in text.splitlines():
        if line.startswith("```"):
            name = line.strip("`{ ").partition("}")[0]
            if inside and not name:
                inside.pop()
            else:
                inside.append(
                    name in ("exercise", "solution", "admonition", "important")
                )
        elif all(inside):
            kept.append(line)
    return "\n".join(kept)


def prose() -> dict[str, str]:
    """The text of every page, without code, mathematics and references."""
    texts = {path.name: path.read_text() for path in BOOK.glob("*.md")}
    texts["README.md"] = (ROOT / "README.md").read_text()
    for notebook in NOTEBOOKS:
        cells = jupytext.read(notebook.path).cells
        told = [cell.source for cell in cells if cell.cell_type == "markdown"]
        told += [
            cell.metadata.get("mystnb", {}).get("figure", {}).get("caption", "")
            for cell in cells
        ]
        texts[notebook.path.name] = "\n\n".join(told)
    texts = {name: without_code(text) for name, text in texts.items()}
    for pattern in (r"\$\$.*?\$\$", r"\{\w+\}`[^`]*`", r"`[^`]*`", r"\$[^$]*\$"):
        texts = {
            name: re.sub(pattern, " ", text, flags=re.DOTALL)
            for name, text in texts.items()
        }
    return texts


# Settings, which no run computes.
GIVEN = {
    "0.0005",  # learning rates: the report's,
    "0.002",  # that of few epochs,
    "0.005",  # and that of an exercise
    "0.74",  # the loss of the report that a chapter is named after
    "0.98",  # the IoU that an exercise asks for
    "0.4 %",  # of a picture that a thing must cover to be shown
}
METRIC = re.compile(r"(?<![\w.])(?:0\.\d{2,}|\d+(?:\.\d+)? ?%)")


def test_no_metric_is_typed_by_hand() -> None:
    typed = [
        f"{name}: {number}"
        for name, text in prose().items()
        for number in METRIC.findall(text)
        if number not in GIVEN
    ]
    assert not typed


def test_the_check_of_typed_metrics_can_fail() -> None:
    assert METRIC.findall("an mIoU of 0.613 and 93.1 % or 12% of 0.5 m") == [
        "0.613",
        "93.1 %",
        "12%",
    ]


def test_every_tolerance_is_of_a_number_that_a_page_quotes() -> None:
    quoted = {
        reference
        for path in [*BOOK.glob("*.md"), *(n.path for n in NOTEBOOKS)]
        for reference in REFERENCE.findall(path.read_text())
    }
    assert all(value is None or value >= 0 for value in read_tolerances(ROOT).values())
    for pattern in yaml.safe_load((BOOK / "tolerances.yaml").read_text()):
        fits = re.compile(pattern.replace(".", r"\.").replace("*", ".*"))
        assert any(map(fits.fullmatch, quoted)), pattern

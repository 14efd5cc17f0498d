"""The runner executes what is stale, and says what went wrong."""

import json
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest
import yaml
from PIL import Image

from unet_tutorial.book import runner
from unet_tutorial.book.notebooks import (
    Notebook,
    find_notebooks,
    read_notebook,
    read_profile,
)
from unet_tutorial.book.runner import Progress, run_notebooks
from unet_tutorial.errors import UserError
from unet_tutorial.files import digest_files
from unet_tutorial.town.drive import make_town

ROOT = Path(__file__).parents[1]

HEADER = """# ---
# jupyter:
#   kernelspec: {{display_name: Python 3, language: python, name: python3}}
#   unet_tutorial:
#     needs: [{needs}]
#     study: {study}
#     seconds: {{tiny: 600}}
# ---

# %% tags=["parameters"]
profile = "tiny"  # its name
data_dir = "data/town-tiny"  # the data
out_dir = "_build/tiny"  # the results
{parameters}

# %%
{code}

# %%
import json
from pathlib import Path

origin = dict.fromkeys(["profile", "data", "date", "device", "versions"])
Path(out_dir, "results").mkdir(parents=True, exist_ok=True)
Path(out_dir, "results/{name}.json").write_text(json.dumps({{"provenance": origin}}))
"""


def write(
    root: Path,
    name: str,
    code: str,
    needs: str = "",
    parameters: str = "",
    study: str = "false",
) -> None:
    text = HEADER.format(
        name=name, code=code, needs=needs, parameters=parameters, study=study
    )
    (root / "notebooks" / f"{name}.py").write_text(text)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout with three notebooks that run in a moment."""
    for folder in ("notebooks/profiles", "book/_static", "src"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("_config.yml", "_toc.yml", "book/intro.md", "book/_static/book.css"):
        (tmp_path / name).write_text(name)
    profile = {
        "profile": "tiny",
        "data_dir": "data/town-tiny",
        "out_dir": "_build/tiny",
        "num_scenes": 3,
        "scene_size": [32, 32],
        "scene_seed": 0,
        "studies": False,
        "depth": 1,
    }
    (tmp_path / "notebooks/profiles/tiny.yaml").write_text(yaml.safe_dump(profile))
    town = "num_scenes = 1\nscene_size = [32, 32]\nscene_seed = 0"
    write(tmp_path, "01_first", "print('first')", parameters=town)
    write(tmp_path, "02_second", "print('depth', depth)", parameters="depth = 5")
    write(tmp_path, "03_third", "print('third')", needs="02_second")
    return tmp_path


def fresh(project: Path, only: str | None = None) -> list[str]:
    """Run, and name what was executed."""
    return [o.name for o in run_notebooks(project, "tiny", only=only) if o.fresh]


@pytest.fixture
def quick(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Notebooks are executed here, not by kernels, each of which takes a second."""

    def execute(
        root: Path, build: Path, notebook: Notebook, profile: dict[str, Any], *_: Any
    ) -> nbformat.NotebookNode:
        page, names = jupytext.reads(notebook.text, "py"), dict[str, Any]()
        for cell in page.cells:
            exec(cell.source, names)
            if "parameters" in cell.metadata.get("tags", []):
                names |= notebook.chosen(profile)
        return page

    monkeypatch.chdir(project)
    monkeypatch.setattr(runner, "_execute", execute)


@pytest.mark.usefixtures("quick")
def test_only_what_is_stale_is_executed_again(project: Path) -> None:
    everything = ["01_first", "02_second", "03_third"]
    assert fresh(project) == everything
    assert fresh(project) == []

    # A source: itself, and what needs it.
    write(project, "02_second", "print('changed')", parameters="depth = 5")
    assert fresh(project) == ["02_second", "03_third"]

    # A parameter: those that declare it, and what needs them.
    profile = project / "notebooks/profiles/tiny.yaml"
    profile.write_text(profile.read_text().replace("depth: 1", "depth: 2"))
    assert fresh(project) == ["02_second", "03_third"]

    # The data: all.
    profile.write_text(profile.read_text().replace("scene_seed: 0", "scene_seed: 1"))
    assert fresh(project) == everything

    # A pixel of a rendered picture, as other processors round it: none. But all, if it
    # is not known that the pictures were rendered.
    picture = next((project / "data/town-tiny").rglob("CameraRGB/*.png"))
    Image.open(picture).point(lambda value: min(value + 1, 255)).save(picture)
    assert fresh(project) == []
    (project / "data/town-tiny/town.json").rename(project / "kept.json")
    assert fresh(project) == everything
    (project / "kept.json").rename(project / "data/town-tiny/town.json")
    assert fresh(project) == everything

    # A page or a results file that was removed.
    (project / "_build/tiny/pages/03_third.ipynb").unlink()
    assert fresh(project) == ["03_third"]
    (project / "_build/tiny/results/01_first.json").unlink()
    assert fresh(project) == ["01_first"]


@pytest.mark.usefixtures("quick")
def test_results_that_somebody_else_wrote_are_made_again(project: Path) -> None:
    fresh(project)
    (project / "_build/tiny/results/02_second.json").write_text("{}")
    assert fresh(project) == ["02_second"]


@pytest.mark.parametrize("place", ["data/mine", "elsewhere/data/town-mine"])
def test_a_town_of_somebodys_own_is_not_replaced(project: Path, place: str) -> None:
    make_town(project / place, 4, (32, 32), seed=7)
    (project / place / "notes.txt").write_text("precious")
    profile = project / "notebooks/profiles/tiny.yaml"
    profile.write_text(profile.read_text().replace("data/town-tiny", place))
    with pytest.raises(UserError, match=f"{place}: already holds something else"):
        run_notebooks(project, "tiny")
    assert (project / place / "notes.txt").read_text() == "precious"


@pytest.mark.usefixtures("quick")
def test_a_part_of_a_town_does_not_pass_for_all_of_it(project: Path) -> None:
    make_town(project / "mine", 3, (32, 32), 0)

    def digest() -> str:
        run_notebooks(project, "tiny", data_dir="mine")
        results = json.loads(
            (project / "_build/tiny/results/01_first.json").read_text()
        )
        return results["provenance"]["data_digest"]

    whole = digest()
    for kind in ("CameraRGB", "CameraSeg"):
        next((project / "mine").rglob(f"{kind}/*.png")).unlink()
    assert digest() != whole
    make_town(project / "mine", 3, (32, 32), 0)
    assert digest() == whole


@pytest.mark.usefixtures("quick")
def test_what_ids_and_names_mean_makes_everything_stale(project: Path) -> None:
    make_town(project / "mine", 3, (32, 32), 0)
    (project / "mine/town.json").unlink()
    images = next((project / "mine").rglob("CameraRGB")).parent
    text = f"folders:\n- {{images: {images}/CameraRGB, masks: {images}/CameraSeg}}\n"
    text += "classes:\n" + "".join(f'  C{i}: "#0000{i:02}"\n' for i in range(13))

    def executed() -> int:
        outcomes = run_notebooks(project, "tiny", data_dir="mine", only="03_third")
        return sum(outcome.fresh for outcome in outcomes)

    (project / "mine/dataset.yaml").write_text(text)
    with pytest.raises(UserError, match="mine: has other classes than the 13"):
        run_notebooks(project, "tiny", data_dir="mine")
    assert executed() == 2
    assert executed() == 0
    (project / "mine/dataset.yaml").write_text(text + "ignore: 13\n")
    assert executed() == 2
    named = text.replace("CameraSeg}", "CameraSeg, names: '*.png'}")
    (project / "mine/dataset.yaml").write_text(named + "ignore: 13\n")
    assert executed() == 2


@pytest.mark.usefixtures("quick")
def test_the_library_makes_everything_stale(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(fresh(project)) == 3
    changed = project / "changed.py"
    changed.write_text("x = 1")
    monkeypatch.setattr("unet_tutorial.book.stamps._library_files", lambda: [changed])
    assert len(fresh(project)) == 3
    assert fresh(project) == []


def test_code_that_moves_to_the_next_file_is_seen(tmp_path: Path) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    digests = set()
    for texts in (("x\ny\n", "z\n"), ("x\n", "y\nz\n")):
        for path, text in zip(paths, texts):
            path.write_text(text)
        digests.add(digest_files(paths))
    assert len(digests) == 2


@pytest.mark.usefixtures("quick")
def test_one_notebook_is_executed_with_those_it_needs(project: Path) -> None:
    with pytest.raises(UserError, match="notebook '9' does not exist"):
        run_notebooks(project, "tiny", only="9")
    assert not (project / "data/town-tiny").exists()  # told before any work
    assert fresh(project, only="03_third") == ["02_second", "03_third"]


def test_the_profile_reaches_the_notebook_and_pages_are_clean(project: Path) -> None:
    run_notebooks(project, "tiny")
    page = nbformat.read(
        project / "_build/tiny/site/book/02_second.ipynb", as_version=4
    )
    assert page.cells[-2].outputs[0].text == "depth 1\n"
    assert [cell.id for cell in page.cells] == [
        f"cell-{i}" for i in range(len(page.cells))
    ]
    assert "papermill" not in json.dumps(page)
    assert str(project) not in json.dumps(page)


@pytest.mark.usefixtures("quick")
def test_a_study_is_executed_when_asked_and_else_shown_as_published(
    project: Path,
) -> None:
    write(project, "04_study", "print('long')", study="true")
    published = {"seconds": {"04_study": 900.0}, "total": 0, "profiles": {}}
    (project / "book/results").mkdir()
    (project / "book/results/build.json").write_text(json.dumps(published))
    (project / "book/04_study.ipynb").write_text("as published")
    site = project / "_build/tiny/site/book"

    assert "04_study" not in fresh(project)
    assert (site / "04_study.ipynb").read_text() == "as published"
    numbers = json.loads((site / "results/build.json").read_text())
    assert numbers["seconds"]["04_study"] == numbers["studies"] == 900

    outcomes = run_notebooks(project, "tiny", studies=True)
    assert [o.name for o in outcomes if o.fresh] == ["04_study"]
    assert "long" in (site / "04_study.ipynb").read_text()
    origin = json.loads((site / "results/04_study.json").read_text())["provenance"]
    assert origin["command"] == "make book PROFILE=tiny STUDIES=yes"
    assert len(origin["data_digest"]) == 16

    # A study that was executed is shown while nothing has changed, and no longer.
    assert fresh(project) == []
    assert "long" in (site / "04_study.ipynb").read_text()
    write(project, "04_study", "print('changed')", study="true")
    assert fresh(project) == []
    assert (site / "04_study.ipynb").read_text() == "as published"


@pytest.mark.usefixtures("quick")
def test_a_notebook_whose_data_are_not_there_is_left_out(project: Path) -> None:
    parameter = 'second_data = "data/photos"'
    write(project, "04_photos", "print(second_data)", parameters=parameter)
    source = project / "notebooks/04_photos.py"
    header = "data: second_data\n#     study: true"
    source.write_text(source.read_text().replace("study: false", header))
    write(project, "05_either", "print(second_data)", parameters=parameter)
    (project / "book/04_photos.ipynb").write_text("as published")
    shown = project / "_build/tiny/site/book/04_photos.ipynb"

    outcomes = run_notebooks(project, "tiny", studies=True)
    assert [o.name for o in outcomes if o.seconds is None] == ["04_photos"]
    assert [o.name for o in outcomes if o.fresh] == [
        "01_first",
        "02_second",
        "03_third",
        "05_either",
    ]
    assert shown.read_text() == "as published"
    with pytest.raises(UserError, match="data/photos: is not there, and 04_photos"):
        run_notebooks(project, "tiny", only="04_photos")

    # The set is there now: for the one that is about it, and for one that may read it.
    (project / "data/photos").symlink_to("town-tiny")
    outcomes = run_notebooks(project, "tiny", studies=True)
    assert [o.name for o in outcomes if o.fresh] == ["04_photos", "05_either"]
    assert "data/photos" in shown.read_text()
    # It stays while nothing has changed, though it is not asked for.
    assert fresh(project) == []
    assert "data/photos" in shown.read_text()
    # Other pictures at the same place.
    (project / "data/photos").unlink()
    make_town(project / "data/photos", 2, (32, 32), seed=1)
    assert fresh(project) == ["05_either"]
    assert shown.read_text() == "as published"


@pytest.mark.parametrize("data", ["second_data", "photos"])
def test_a_notebook_is_about_a_data_set_that_it_has_a_parameter_for(
    data: str, project: Path
) -> None:
    write(project, "04_photos", "1", parameters="photos = 1")
    source = project / "notebooks/04_photos.py"
    source.write_text(source.read_text().replace("study: false", f"data: {data}"))
    with pytest.raises(UserError, match=f"says 'data: {data}', which must be one of"):
        find_notebooks(project / "notebooks")


def test_a_notebook_does_not_need_what_may_be_left_out(project: Path) -> None:
    write(project, "02_second", "1", study="true", parameters="depth = 1")
    with pytest.raises(UserError, match="needs '02_second', which may be left out"):
        find_notebooks(project / "notebooks")


def test_progress_names_notebook_cell_and_time_left(project: Path) -> None:
    seen: list[Progress] = []
    run_notebooks(project, "tiny", on_progress=seen.append)
    assert [progress.notebook for progress in seen if progress.cell == 1] == [
        "01_first",
        "02_second",
        "03_third",
    ]
    assert {progress.count for progress in seen} == {3}
    assert all(progress.cell <= progress.cells for progress in seen)
    assert seen[0].seconds_left > seen[-1].seconds_left >= 0


def test_a_backend_of_the_environment_does_not_cost_the_figures(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPLBACKEND", "Agg")
    code = "import os\nprint(depth, os.environ['MPLBACKEND'])"
    write(project, "02_second", code, parameters="depth = 5")
    run_notebooks(project, "tiny", only="03_third")
    page = nbformat.read(project / "_build/tiny/pages/02_second.ipynb", as_version=4)
    assert "inline" in page.cells[-2].outputs[0].text


def test_a_failing_cell_is_named_and_its_notebook_kept(project: Path) -> None:
    write(project, "02_second", "raise ValueError('no depth')", parameters="depth = 5")
    with pytest.raises(
        UserError, match=r"02_second\.py: cell \d failed with ValueError: no depth"
    ):
        run_notebooks(project, "tiny")
    assert "no depth" in (project / "_build/tiny/failed/02_second.ipynb").read_text()
    # What was executed before it is not lost.
    write(project, "02_second", "print(depth)", parameters="depth = 5")
    assert fresh(project) == ["02_second", "03_third"]


def test_data_that_was_asked_for_is_not_made_up(project: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        run_notebooks(project, "tiny", data_dir="data/lyft")
    assert not (project / "data/lyft").exists()


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("depth: int = 5  # levels", "5"),
        ("depth, other = 1, 2", None),
        ("depth = 2 * 3", None),
        ("import os", None),
    ],
)
def test_parameters_are_names_and_plain_values(
    line: str, value: str | None, project: Path
) -> None:
    write(project, "02_second", "print('depth', depth)", parameters=line)
    if value is None:
        with pytest.raises(UserError, match="more than names and plain values"):
            find_notebooks(project / "notebooks")
    else:
        assert (
            read_notebook(project / "notebooks/02_second.py").parameters["depth"] == 5
        )


@pytest.mark.parametrize("value", ["'2'", "2.5", "[2]", "", "true"])
def test_a_parameter_of_another_kind_is_told_before_any_work(
    value: str, project: Path
) -> None:
    profile = project / "notebooks/profiles/tiny.yaml"
    profile.write_text(profile.read_text().replace("depth: 1", f"depth: {value}"))
    with pytest.raises(UserError, match=r"of another kind .* as 'depth: 5'"):
        run_notebooks(project, "tiny")
    assert not (project / "data/town-tiny").exists()


def test_an_unknown_parameter_is_an_error(project: Path) -> None:
    profile = project / "notebooks/profiles/tiny.yaml"
    profile.write_text(profile.read_text() + "no_such_name: 3\n")
    with pytest.raises(UserError, match="no notebook has a parameter no_such_name"):
        run_notebooks(project, "tiny")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no 'name: value' lines"),
        ("- a\n- b", "holds no 'name: value' lines"),
        ("a: [1", "cannot be read as YAML"),
        ("profile: other", "does not say data_dir, num_scenes"),
        (
            "data_dir: data/town\nnum_scenes: 3\nscene_size: 32\nscene_seed: 0\n"
            "studies: true",
            "'scene_size: 32' is of the wrong kind",
        ),
        (
            "data_dir: data/town\nnum_scenes: 3\nscene_size: [32]\nscene_seed: 0\n"
            "studies: true",
            r"'scene_size: \[32\]' is of the wrong kind",
        ),
        (
            "data_dir: data/town\nnum_scenes: 3\nscene_size: [32, 32]\n"
            "scene_seed: -1\nstudies: true",
            "'scene_seed: -1' is of the wrong kind",
        ),
    ],
)
def test_a_broken_profile_is_named(content: str, message: str, project: Path) -> None:
    (project / "notebooks/profiles/other.yaml").write_text(content)
    with pytest.raises(UserError, match=rf"other\.yaml: {message}"):
        run_notebooks(project, "other")


def test_a_profile_is_named_as_its_file(project: Path) -> None:
    profiles = project / "notebooks/profiles"
    (profiles / "mine.yaml").write_text((profiles / "tiny.yaml").read_text())
    with pytest.raises(UserError, match="must say 'profile: mine'"):
        run_notebooks(project, "mine")


def test_a_notebook_needs_only_what_comes_before_it(project: Path) -> None:
    write(project, "02_second", "1", needs="03_third")
    with pytest.raises(
        UserError, match="needs '03_third', which is no notebook before"
    ):
        find_notebooks(project / "notebooks")


@pytest.mark.usefixtures("quick")
def test_a_notebook_that_saves_no_results_is_named(project: Path) -> None:
    run_notebooks(project, "tiny")  # whose results must not pass for those of the next
    text = (project / "notebooks/01_first.py").read_text()
    (project / "notebooks/01_first.py").write_text(text.split("from pathlib")[0])
    with pytest.raises(UserError, match=r"01_first\.py: wrote no .*01_first\.json"):
        run_notebooks(project, "tiny")
    own = "Path(out_dir, 'results/01_first.json').write_text('{}')\n"
    (project / "notebooks/01_first.py").write_text(text + own)
    with pytest.raises(UserError, match=r"01_first\.json: does not say where"):
        run_notebooks(project, "tiny")


def test_a_notebook_has_exactly_one_parameters_cell(project: Path) -> None:
    (project / "notebooks/04_none.py").write_text("# %%\n1\n")
    with pytest.raises(UserError, match="has 0 cells tagged 'parameters'"):
        find_notebooks(project / "notebooks")


@pytest.mark.usefixtures("quick")
def test_a_page_that_is_gone_from_the_sources_is_gone_from_the_site(
    project: Path,
) -> None:
    build = project / "_build/tiny"
    run_notebooks(project, "tiny")
    assert (build / "site/book/intro.md").exists()
    assert (build / "site/book/03_third.ipynb").exists()
    (project / "book/intro.md").unlink()
    (project / "notebooks/03_third.py").unlink()
    run_notebooks(project, "tiny")
    assert not (build / "site/book/intro.md").exists()
    assert not (build / "site/book/03_third.ipynb").exists()
    assert (build / "site/src").resolve() == project / "src"


@pytest.mark.usefixtures("quick")
def test_what_is_built_may_lie_on_another_disk(project: Path) -> None:
    disk = project.parent / "disk/deep/below"
    disk.mkdir(parents=True)
    (project / "_build").symlink_to(disk)
    for _ in range(2):
        run_notebooks(project, "tiny")
        assert (disk / "tiny/site/src").resolve() == project / "src"


# --- the book's own notebooks -------------------------------------------------------

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.py"))
PROFILES = sorted((ROOT / "notebooks/profiles").glob("*.yaml"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_parameter_has_a_default_with_a_comment(path: Path) -> None:
    text = path.read_text()
    cell = text.split('tags=["parameters"]\n')[1].split("\n\n")[0]
    for line in cell.splitlines():
        assert "  # " in line, line
    assert read_notebook(path).parameters.keys() >= {"profile", "out_dir"}


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_every_profile_fits_the_notebooks(path: Path) -> None:
    notebooks = find_notebooks(ROOT / "notebooks")
    profile = read_profile(path, notebooks)
    assert profile["profile"] == path.stem
    assert profile["out_dir"] == f"_build/{path.stem}"


def test_the_full_profile_is_the_experiment_of_the_report() -> None:
    profile = yaml.safe_load((ROOT / "notebooks/profiles/full.yaml").read_text())
    assert profile["epochs"] == 100
    assert profile["learning_rate"] == 0.0005


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_chapters_have_goals_a_summary_and_solved_exercises(path: Path) -> None:
    text = path.read_text()
    assert "# After this chapter you can" in text
    assert "# ## Summary" in text
    exercises = text.count("```{exercise}")
    assert 2 <= exercises <= 3
    assert (
        text.count("```{solution-start}")
        == text.count("```{solution-end}")
        == exercises
    )

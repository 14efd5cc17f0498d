"""Numbers by reference: right, formatted, and never silently missing."""

import importlib.util
import json
from pathlib import Path

import pytest

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

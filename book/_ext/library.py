"""Sphinx: read the library's docstrings where what it imports is not installed.

The published pages are built without torch. Where a dependency of the library is
missing, autodoc puts a stand-in in its place; this tells it which, and mends what they
spoil.
"""

from importlib.util import find_spec
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.ext.autodoc.mock import _MockObject
from sphinx.util import inspect
from sphinx.util.typing import ExtensionMetadata

LIBRARY_NEEDS = (
    "filelock",
    "huggingface_hub",
    "kagglehub",
    "kagglesdk",
    "lightning_fabric",
    "matplotlib",
    "numpy",
    "pandas",
    "PIL",
    "platformdirs",
    "requests",
    "safetensors",
    "seaborn",
    "segmentation_models_pytorch",
    "torch",
    "torchvision",
)


def stand_in_for_what_is_missing(app: Sphinx, config: Config) -> None:
    """Let autodoc read the library where torch and the like are not installed."""
    missing = [name for name in LIBRARY_NEEDS if find_spec(name) is None]
    config.autodoc_mock_imports = missing
    for operator in ("__or__", "__ror__"):  # as in the annotation ``Tensor | None``
        setattr(_MockObject, operator, lambda self, other: self)


def show_own_signature(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str, *_: Any
) -> tuple[str, None] | None:
    """Undo what a stand-in as its base does to a class."""
    if (
        what != "class"
        or signature != "(*args, **kwargs)"
        or "__init__" not in vars(obj)
    ):
        return None
    own = inspect.signature(obj.__init__, bound_method=True)
    return inspect.stringify_signature(own, show_annotation=False), None


def setup(app: Sphinx) -> ExtensionMetadata:
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("config-inited", stand_in_for_what_is_missing)
    app.connect("autodoc-process-signature", show_own_signature)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

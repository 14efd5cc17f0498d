"""Sphinx: numbers by reference, and the origin of every page that shows results.

- The role ``{result}`` puts a number of ``results/FILE.json`` into the text:
  ``{result}`07_scratch.test.miou:.3f``` reads ``test.miou`` of
  ``results/07_scratch.json`` and formats it as Python does. A missing file or
  key is a warning, which fails the build.
- A page says at its foot where its results came from: those of the file of its own
  name, else those that it quotes. Each figure names the run under its caption.
- An image without alternative text is a warning.
- Results of the profile ``ci`` mean nothing: every build but its own refuses them.
"""

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.transforms import SphinxTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole
from sphinx.util.typing import ExtensionMetadata

RESULTS = Path("book/results")
logger = logging.getLogger(__name__)


def look_up(root: Path, reference: str) -> str:
    """The formatted value that ``FILE.KEY.KEY:FORMAT`` points to.

    Raises:
        KeyError: with a sentence, if there is no such file, key or format.
    """
    path, _, form = reference.partition(":")
    name, *keys = path.split(".")
    file = root / RESULTS / f"{name}.json"
    if not file.is_file():
        raise KeyError(f"there is no {RESULTS / file.name}")
    value: Any = json.loads(file.read_text())
    for key in keys:
        if not isinstance(value, dict) or key not in value:
            raise KeyError(f"{RESULTS / file.name} has no '{key}' ({path})")
        value = value[key]
    if value is None:
        return "absent"
    if isinstance(value, dict | list):
        raise KeyError(f"'{path}' is no single value")
    try:
        return format(value, form)
    except ValueError as error:
        raise KeyError(f"'{form}' does not format {value!r}: {error}") from error


class ResultRole(SphinxRole):
    """``{result}`FILE.KEY:FORMAT```."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        root = Path(self.env.srcdir)
        name = self.text.partition(".")[0]
        self.env.note_dependency(str(root / RESULTS / f"{name}.json"))
        try:
            text = look_up(root, self.text)
        except KeyError as error:
            logger.warning("result: %s", error.args[0], location=self.get_location())
            text = "missing"
        return [nodes.inline(text, text, classes=["result"], results=name)], []


class ResultsOrigin(SphinxTransform):
    """Say under each figure and at the foot of a page which run made its results."""

    # Before Sphinx collects the files to be offered for download.
    default_priority = 400

    def apply(self, **kwargs: Any) -> None:
        own = Path(self.env.docname).name
        quoted = {
            node["results"]
            for node in self.document.findall(nodes.inline)
            if "results" in node
        }
        origins = {name: self.read_origin(name) for name in {own, *quoted}}
        computing = [name for name in sorted(origins) if origins[name]]
        if origins[own]:
            self.name_the_run(origins[own])
            computing = [own]
        for name in computing:
            self.document.children[-1].append(self.tell(name, origins[name]))

    def read_origin(self, name: str) -> dict[str, Any]:
        """Where results come from; nothing if they were computed by no run."""
        file = Path(self.env.srcdir) / RESULTS / f"{name}.json"
        if not file.is_file():
            return {}
        self.env.note_dependency(str(file))
        return json.loads(file.read_text()).get("provenance", {})

    def name_the_run(self, origin: dict[str, Any]) -> None:
        """Add the run to the caption of each figure that it drew."""
        short = f"Run: profile {origin['profile']}, see the foot of this page."
        for figure in self.document.findall(nodes.figure):
            image, caption = (
                figure.next_node(nodes.image),
                figure.next_node(nodes.caption),
            )
            drawn_by_hand = image is not None and "_static/" in image["uri"]
            if caption is not None and not drawn_by_hand:
                caption += nodes.inline("", f" {short}", classes=["origin"])

    def tell(self, name: str, origin: dict[str, Any]) -> nodes.paragraph:
        """The line at the foot: what made the results, and how to make them again."""
        state = " with local changes" if origin["dirty"] else ""
        long = (
            f"Results of {name}: profile {origin['profile']}, "
            f"data {origin['data']}, {origin['device']}, "
            f"torch {origin['versions']['torch']}, {origin['date']}, "
            f"commit {origin['commit'] or 'unknown'}{state}. Make them again with "
        )
        paragraph = nodes.paragraph("", long, classes=["origin"])
        command = origin.get("command", "make book")
        paragraph += nodes.literal(command, command)
        paragraph += nodes.Text("; every number is in ")
        link = addnodes.download_reference(
            "",
            "",
            nodes.literal("", f"{name}.json"),
            reftarget=f"/{RESULTS / name}.json",
            refdoc=self.env.docname,
        )
        paragraph += [link, nodes.Text(".")]
        return paragraph


def refuse_trial_results(app: Sphinx) -> None:
    """Stop if a page would show what the profile ``ci`` computed.

    Raises:
        ExtensionError: if so, unless the tree is that of the profile itself.
    """
    if Path(app.srcdir).parent.name == "ci":
        return
    for path in sorted((Path(app.srcdir) / RESULTS).glob("*.json")):
        origin = json.loads(path.read_text()).get("provenance", {})
        if origin.get("profile") == "ci":
            raise ExtensionError(
                f"{path}: its numbers are those of the profile ci, which mean nothing; "
                "execute the page with another profile"
            )


def check_alternative_text(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Warn of each image that says nothing to a reader who cannot see it."""
    for image in doctree.findall(nodes.image):
        alt = image.get("alt", "").strip()
        if not alt or alt in image["uri"]:
            logger.warning(
                "image without alternative text: %s", image["uri"], location=docname
            )


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_role("result", ResultRole())
    app.add_transform(ResultsOrigin)
    app.connect("builder-inited", refuse_trial_results)
    app.connect("doctree-resolved", check_alternative_text)
    # The theme's "live code" button loads a script from another host.
    app.connect("builder-inited", drop_live_code, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def drop_live_code(app: Sphinx) -> None:
    """Unhook sphinx-thebe: Jupyter Book always loads it, and it fails on every page."""
    for listeners in app.events.listeners.values():
        for listener in list(listeners):
            if listener.handler.__module__.startswith("sphinx_thebe"):
                listeners.remove(listener)

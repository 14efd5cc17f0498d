"""Which state of the source tree is at work."""

import subprocess
from pathlib import Path


def source_state() -> dict[str, str | bool | None]:
    """The ``commit``, and whether code or notebooks are ``dirty``, changed since.

    Both are None outside of a checkout.
    """
    # What else has changed, or lies around, has no say in a result.
    root = Path(__file__).parents[2]
    places = (str(root / folder) for folder in ("src", "notebooks"))
    changes = _git("status", "--porcelain", "--", *places)
    return {
        "commit": _git("rev-parse", "--short=12", "HEAD"),
        "dirty": None if changes is None else bool(changes),
    }


def _git(*arguments: str) -> str | None:
    """One line from git about this source tree; None outside of one."""
    git = ["git", "-C", str(Path(__file__).parent)]
    command = [*git, *arguments]
    try:
        # An installed copy may lie in the tree of another project.
        known = [*git, "ls-files", "--error-unmatch", Path(__file__).name]
        subprocess.run(known, capture_output=True, check=True)
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()

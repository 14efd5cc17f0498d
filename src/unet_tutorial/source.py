"""Which state of the source tree is at work."""

import subprocess
from pathlib import Path


def source_state() -> dict[str, str | bool | None]:
    """The ``commit``, and whether code or notebooks are ``dirty``, changed since.

    Both are None outside of a checkout.
    """
    here = Path(__file__)
    # What else has changed, or lies around, has no say in a result.
    places = (str(here.parents[2] / folder) for folder in ("src", "notebooks"))
    try:
        # An installed copy may lie in the tree of another project.
        _git("ls-files", "--error-unmatch", here.name)
        return {
            "commit": _git("rev-parse", "--short=12", "HEAD"),
            "dirty": bool(_git("status", "--porcelain", "--", *places)),
        }
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}


def _git(*arguments: str) -> str:
    """What git answers about this source tree."""
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()

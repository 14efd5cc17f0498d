"""Write files and folders that are whole or not there at all."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from unet_tutorial.errors import UserError

# Of what cannot be kept in the user's cache folder.
CACHE_REMEDY = "set XDG_CACHE_HOME to a folder that can be written"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``, renamed to it when the block ends well.

    Raises:
        UserError: if the folder cannot be written or the disk is full.
    """
    # No ending that any reader looks for: what a killed process leaves is never read.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}); "
            "choose another place"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(
    path: Path, replace: bool = True, remedy: str = "choose another place"
) -> Iterator[Path]:
    """Give a temporary folder beside ``path``, renamed to it when the block ends well.

    What stood at ``path`` before is replaced, or must be empty. Two processes that may
    meet take turns: ``with locked(path), whole_folder(path) as temporary``. What a
    killed process has left behind is removed by the next.

    Raises:
        UserError: if the folder cannot be written or the disk is full; ends with
            ``remedy``.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        if replace:
            shutil.rmtree(path, ignore_errors=True)
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}); {remedy}"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def locked(
    path: Path,
    wait: bool = True,
    remedy: str = "make it writable or choose another place",
) -> Iterator[None]:
    """Wait until no other process is at work on ``path``, then keep others waiting.

    Raises:
        UserError: if the folder that ``path`` is in cannot be written, which ends with
            ``remedy``, or another process is at work on it and this one is not to
            ``wait``.
    """
    path = path.resolve()  # one lock, by whatever way the folder was reached
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f".{path.name}.lock"))
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        raise UserError(
            f"{path}: another process is at work on it; wait for that, or choose "
            "another place"
        ) from None
    except OSError as error:
        raise UserError(
            f"{path.parent}: cannot be written ({error.strerror or error}); {remedy}"
        ) from error
    try:
        yield
    finally:
        lock.release()


def digest_files(paths: Iterable[Path]) -> str:
    """A name for the content of some files, whatever their order."""
    # Between two a byte that no text holds: a line may move from one to the other.
    content = b"\0".join(path.read_bytes() for path in sorted(paths))
    return hashlib.sha256(content).hexdigest()[:16]


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write an indented JSON file."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        UserError: if the file is missing or is no such file.
    """
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: no such file; check the path, and from which folder you call"
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"{path}: cannot be read as JSON ({reason}); delete it and make it again"
        ) from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds no JSON object; delete it and make it again")
    return content

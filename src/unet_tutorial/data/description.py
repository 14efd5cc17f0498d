"""What a data set is: where its pictures lie, and what its ids mean."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from unet_tutorial.classes import LYFT, Classes
from unet_tutorial.errors import UserError, reason_of

FILE_NAME = "dataset.yaml"
IMAGES, MASKS = "CameraRGB", "CameraSeg"
PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Folder:
    """Images and their masks; ``part`` if the data set says which part they are.

    ``names`` is the pattern that a file's name must match: ``*`` stands for anything,
    ``?`` for one character, ``[0-4]`` for one of these, ``[!0-4]`` for none of them.
    """

    images: Path
    masks: Path
    part: str | None = None
    names: str = "*"


@dataclass(frozen=True)
class Description:
    """A data set."""

    name: str
    classes: Classes
    folders: tuple[Folder, ...]


def read_description(path: Path) -> Description:
    """Find out what a data set is.

    Args:
        path: a description (a YAML file), a folder with a ``dataset.yaml``, or a
            folder in the Lyft layout: ``CameraRGB`` beside ``CameraSeg``, bare, in
            ``dataA`` to ``dataE``, or in folders within these.

    A description looks like this. Folders are relative to ``root``, and that to the
    file; without ``root`` they are relative to the file. Without ``part`` the pairs
    are split by their names. A line with ``names``, as ``names: "0016E5_*"``, takes
    the files that match: the drives of one folder can be given to several parts::

        name: CamVid
        root: ../camvid
        folders:
          - {images: train, masks: trainannot, part: train}
          - {images: val, masks: valannot, part: val}
        classes:                # in the order of their ids
          Sky: "#d9caff"
          Building: "#64460d"
        ignore: 11              # pixels with this id do not count

    Raises:
        UserError: if there is no such folder or file, it cannot be read, or the
            description is wrong.
    """
    try:
        if path.is_file():
            return _parse(path)
        if not path.is_dir():
            raise UserError(
                f"{path}: no such folder or file; check the path, or make a data set "
                "with 'data make --out FOLDER'"
            )
        if (path / FILE_NAME).is_file():
            return _parse(path / FILE_NAME)
        images = sorted(place for place in _walk(path) if place.name == IMAGES)
    except OSError as error:
        raise UserError(
            f"{error.filename or path}: cannot be read ({error.strerror})"
        ) from error
    folders = tuple(Folder(folder, folder.parent / MASKS) for folder in images)
    if not folders:
        raise UserError(
            f"{path}: no pairs; expected {IMAGES}/NAME.png beside {MASKS}/NAME.png, or "
            f"a {FILE_NAME} that says where they are"
        )
    return Description(path.resolve().name, LYFT, folders)


def _walk(top: Path) -> Iterator[Path]:
    """All folders in a folder, each of them once, however many links lead to it."""

    def stop(error: OSError) -> None:
        raise error

    known = set()
    for place, folders, _ in os.walk(top, followlinks=True, onerror=stop):
        real = os.path.realpath(place)
        if real in known:
            folders.clear()
            continue
        known.add(real)
        # The folder itself before a link to it, so that it is the one that is named.
        folders.sort(key=lambda name: (os.path.islink(os.path.join(place, name)), name))
        yield Path(place)


class _OnlyOnce(yaml.SafeLoader):
    """YAML without repeated names: of two classes of one name, one would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        names = [key.value for key, _ in node.value]
        for name in names:
            if names.count(name) > 1:
                raise yaml.YAMLError(f"'{name}' stands there twice")
        return super().construct_mapping(node, deep)


def _parse(path: Path) -> Description:
    try:
        content = yaml.load(path.read_text(), _OnlyOnce)
    except (ValueError, yaml.YAMLError) as error:
        reason, remedy = reason_of(error), "correct it"
        if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
            reason = f"line {error.problem_mark.line + 1}: {error.problem}"
            remedy = (
                "look for a bracket or quote that is missing, a tab, or a * or # "
                "without quotes"
            )
        elif isinstance(error, UnicodeDecodeError):
            remedy = "save it as text in UTF-8"
        raise UserError(
            f"{path}: cannot be read as YAML ({reason}); {remedy}"
        ) from error
    needed, known = (
        {"folders", "classes"},
        {"name", "root", "folders", "classes", "ignore"},
    )
    if not isinstance(content, dict) or not needed <= content.keys() <= known:
        there = content.keys() if isinstance(content, dict) else set()
        wrong = [f"'{name}' is missing" for name in sorted(needed - there)]
        wrong += [f"'{name}' is not known" for name in sorted(map(str, there - known))]
        raise UserError(
            f"{path}: {', '.join(wrong)}; it must hold 'folders' and 'classes', may "
            "hold 'name', 'root' and 'ignore', and nothing else"
        )
    # Of a line that says nothing, YAML makes None.
    root = path.parent / str(content.get("root") or ".")
    return Description(
        str(content.get("name") or path.resolve().parent.name),
        _parse_classes(path, content["classes"], content.get("ignore")),
        tuple(_parse_folders(path, root, content["folders"])),
    )


def _parse_classes(path: Path, names: Any, ignore: Any) -> Classes:
    if not isinstance(names, dict) or not names or len(names) > 255:
        raise UserError(
            f"{path}: 'classes' must hold 1 to 255 lines 'Name: \"#rrggbb\"'"
        )
    if all(type(name) is int for name in names):
        raise UserError(
            f"{path}: 'classes' holds names and colours in the order of their ids, and "
            "no ids"
        )
    for name, colour in names.items():
        if not isinstance(name, str):  # YAML takes No, On and 1 for something else
            raise UserError(f'{path}: write the class {name} in quotes, as "No"')
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", str(colour)):
            raise UserError(
                f"{path}: the colour of '{name}' must be as \"#1a2b3c\", "
                "with the quotes"
            )
    if ignore is not None and not (type(ignore) is int and len(names) <= ignore <= 255):
        raise UserError(
            f"{path}: 'ignore' must be a number from {len(names)} to 255, beyond the "
            "ids of the classes and without quotes"
        )
    return Classes(tuple(names), tuple(names.values()), ignore)


def _parse_folders(path: Path, root: Path, entries: Any) -> list[Folder]:
    folders = []
    for entry in entries if isinstance(entries, list) else [None]:
        if not isinstance(entry, dict) or not (
            {"images", "masks"} <= entry.keys() <= {"images", "masks", "part", "names"}
        ):
            raise UserError(
                f"{path}: 'folders' must hold lines '- {{images: A, masks: B}}', each "
                "with or without 'part: ...' and 'names: ...'"
            )
        names = entry.get("names") or "*"
        for key, text in (entry | {"names": names}).items():
            if key != "part" and not isinstance(text, str):
                raise UserError(
                    f"{path}: '{key}' is {text}; it must be one text in quotes"
                )
        if "[^" in names:  # which some shells take for [!, and others not
            raise UserError(f"{path}: names {names!r}: write [! for none of these")
        folder = Folder(
            root / entry["images"], root / entry["masks"], entry.get("part"), names
        )
        if folder.part not in (None, *PARTS):
            raise UserError(
                f"{path}: part '{folder.part}' must be one of {', '.join(PARTS)}"
            )
        for place in (folder.images, folder.masks):
            if not place.is_dir():
                raise UserError(f"{path}: there is no folder {place}")
        folders.append(folder)
    places = [folder.images.resolve() for folder in folders]
    for folder, place in zip(folders, places):
        if places.count(place) > 1 and folder.names == "*":
            raise UserError(
                f"{path}: names {folder.images} more than once; a picture belongs to "
                "one part: say in 'names' which of them a line is for"
            )
    if len({folder.part is None for folder in folders}) > 1:
        raise UserError(f"{path}: give every folder a 'part', or none of them")
    return folders

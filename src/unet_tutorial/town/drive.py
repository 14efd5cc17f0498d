"""Write the town to disk in the layout of the Lyft/Udacity data."""

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unet_tutorial.data.description import IMAGES, MASKS
from unet_tutorial.data.pairs import write_mask, write_picture
from unet_tutorial.errors import UserError
from unet_tutorial.files import read_json, write_json
from unet_tutorial.town.render import render, view_along
from unet_tutorial.town.scene import VIEW_DISTANCE, WEATHERS, make_street

DESCRIPTION = "town.json"
STEP = 3.0  # metres from one frame of a drive to the next


def make_town(
    out: Path,
    count: int,
    size: tuple[int, int],
    seed: int,
    frames: int = 1,
    flat: bool = False,
    instances: bool = False,
    weathers: Sequence[str] = WEATHERS,
    on_pair: Callable[[int], None] = lambda done: None,
) -> None:
    """Render pairs of picture and mask, on all cores.

    Writes ``dataA/CameraRGB/NAME.png`` (RGB) and ``dataA/CameraSeg/NAME.png``
    (class id in the red channel) and so on to ``dataE``. Names are those of the real
    data: ``002_00_012`` is frame 12 of drive 2. A call that was interrupted goes on
    where it stopped.

    With one frame a drive, each pair shows another street. With more, the five folders
    hold the same drives, each a little further along the street, as in the real data.

    Args:
        out: the folder, new or begun by the same call.
        count: number of pairs.
        size: height and width in pixels.
        seed: the same seed gives the same pairs, whatever the count.
        frames: frames of each drive in each folder.
        flat: one ``CameraRGB`` and ``CameraSeg`` instead of five; single frames only.
        instances: also write ``CameraInstance/NAME.png``, 16 bits: 0 for ground and
            sky, else the number of a thing.
        weathers: those that the streets have, of ``WEATHERS``; by default all.
        on_pair: called with the number of pairs that stand, after each.

    Raises:
        UserError: if ``out`` holds something else, or cannot be written.
    """
    if count < 1 or min(size) < 16 or frames < 1:
        raise UserError(
            f"{count} pairs of {size[0]}x{size[1]}, {frames} frames a drive: at least "
            "1 pair of 16x16 and 1 frame are needed"
        )
    if flat and frames > 1:
        raise UserError("drives have five folders; leave out 'flat' or 'frames'")
    unknown = sorted(set(weathers) - set(WEATHERS))
    if unknown or not weathers:
        raise UserError(
            f"weather '{', '.join(unknown)}' is not known: choose of "
            f"{', '.join(WEATHERS)}"
        )
    wanted = _describe(count, size, seed, frames, flat, instances, weathers)
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; choose another folder")
    if out.is_dir() and any(out.iterdir()) and _description_in(out) != wanted:
        raise UserError(
            f"{out}: already holds something else; choose another folder or delete it"
        )
    write_json(out / DESCRIPTION, wanted)
    shots = [_Shot.of(index, seed, frames, flat) for index in range(count)]
    missing = [shot for shot in shots if not shot.path(out, MASKS).exists()]
    on_pair(count - len(missing))
    with ProcessPoolExecutor(
        max_workers=min(os.cpu_count() or 1, max(len(missing), 1))
    ) as pool:
        jobs = [
            pool.submit(_write_pair, out, shot, size, instances, weathers)
            for shot in missing
        ]
        try:
            for done, job in enumerate(
                as_completed(jobs), start=count - len(missing) + 1
            ):
                job.result()
                on_pair(done)
        except BrokenProcessPool as error:
            raise UserError(
                f"{out}: a process that renders was ended, as when memory runs out; "
                "call again to go on, or choose a smaller size"
            ) from error
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def renew_town(
    out: Path,
    count: int,
    size: tuple[int, int],
    seed: int,
    frames: int = 1,
    weathers: Sequence[str] = WEATHERS,
    on_pair: Callable[[int], None] = lambda done: None,
) -> None:
    """:func:`make_town`, but what another call or version made is replaced."""
    wanted = _describe(count, size, seed, frames, False, False, weathers)
    if _description_in(out) not in (None, wanted):
        # The description goes last: without it, a rest would pass for somebody's own.
        for path in out.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != DESCRIPTION:
                path.unlink()
        (out / DESCRIPTION).unlink()
    make_town(out, count, size, seed, frames, weathers=weathers, on_pair=on_pair)


def is_town(folder: Path) -> bool:
    """Whether the folder was made by :func:`make_town`."""
    return (folder / DESCRIPTION).is_file()


def _describe(
    count: int,
    size: tuple[int, int],
    seed: int,
    frames: int,
    flat: bool,
    instances: bool,
    weathers: Sequence[str],
) -> dict[str, Any]:
    source = hashlib.sha256()
    for name in ("palette.yaml", "scene.py", "texture.py", "render.py"):
        source.update((Path(__file__).parent / name).read_bytes())
    return {
        "what": "rendered road scenes, made by unet_tutorial",
        "count": count,
        "height": size[0],
        "width": size[1],
        "seed": seed,
        "frames": frames,
        "flat": flat,
        "instances": instances,
        "weathers": list(weathers),
        "generator": source.hexdigest()[:12],
    }


def _description_in(folder: Path) -> dict[str, Any] | None:
    return read_json(folder / DESCRIPTION) if is_town(folder) else None


@dataclass(frozen=True)
class _Shot:
    """A pair to be made: its street, how far along, and where it goes."""

    seed: tuple[int, int]
    length: float
    z: float
    folder: str
    name: str

    @staticmethod
    def of(index: int, seed: int, frames: int, flat: bool) -> "_Shot":
        if frames == 1:
            drive, frame, part, way = index, 0, index % 5, 0.0
        else:
            drive, rest = divmod(index, 5 * frames)
            frame, part = divmod(rest, 5)
            way = STEP * frames
        return _Shot(
            (seed, drive),
            VIEW_DISTANCE + way,
            STEP * (frame + part / 5) if way else 0.0,
            "" if flat else f"data{'ABCDE'[part]}",
            f"{drive:03d}_00_{frame:03d}.png",
        )

    def path(self, out: Path, kind: str) -> Path:
        return out / self.folder / kind / self.name


def _write_pair(
    out: Path,
    shot: _Shot,
    size: tuple[int, int],
    instances: bool,
    weathers: Sequence[str],
) -> None:
    street = make_street(shot.seed, shot.length, weathers)
    rendering = render(street, *size, view_along(street, shot.z))
    # The mask comes last: where it stands, the pair is whole.
    write_picture(shot.path(out, IMAGES), rendering.image)
    if instances:
        ids = rendering.instances.astype(np.uint16)
        write_picture(shot.path(out, "CameraInstance"), ids)
    write_mask(shot.path(out, MASKS), rendering.mask)

"""Write the town to disk in the layout of the Lyft/Udacity data."""

import hashlib
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from unet_tutorial.data.pairs import write_mask, write_picture
from unet_tutorial.errors import UserError
from unet_tutorial.files import read_json, write_json
from unet_tutorial.town.render import render
from unet_tutorial.town.scene import make_scene

DESCRIPTION = "town.json"


def make_town(
    out: Path,
    count: int,
    size: tuple[int, int],
    seed: int,
    flat: bool = False,
    on_pair: Callable[[int], None] = lambda done: None,
) -> None:
    """Render scenes and their masks, on all cores.

    Writes ``dataA/CameraRGB/NAME.png`` (RGB) and ``dataA/CameraSeg/NAME.png``
    (class id in the red channel) and so on to ``dataE``; with ``flat``, one
    ``CameraRGB`` and ``CameraSeg``. A call that was interrupted goes on where
    it stopped.

    Args:
        out: the folder, new or begun by the same call.
        count: number of pairs.
        size: height and width in pixels.
        seed: the same seed gives the same pairs, whatever the count.
        on_pair: called with the number of pairs that stand, after each.

    Raises:
        UserError: if ``out`` holds something else, or cannot be written.
    """
    if count < 1 or min(size) < 16:
        raise UserError(
            f"{count} pairs of {size[0]}x{size[1]}: at least 1 pair of 16x16 is needed"
        )
    wanted = _describe(count, size, seed, flat)
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; choose another folder")
    if out.is_dir() and any(out.iterdir()) and _description_in(out) != wanted:
        raise UserError(
            f"{out}: already holds something else; choose another folder or delete it"
        )
    write_json(out / DESCRIPTION, wanted)
    places = [_place(out, index, flat) for index in range(count)]
    missing = [index for index, (_, mask) in enumerate(places) if not mask.exists()]
    on_pair(count - len(missing))
    with ProcessPoolExecutor(
        max_workers=min(os.cpu_count() or 1, max(len(missing), 1))
    ) as pool:
        jobs = [
            pool.submit(_write_pair, *places[index], size, (seed, index))
            for index in missing
        ]
        try:
            for done, job in enumerate(
                as_completed(jobs), start=count - len(missing) + 1
            ):
                job.result()
                on_pair(done)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def renew_town(
    out: Path, count: int, size: tuple[int, int], seed: int, **options: Any
) -> None:
    """:func:`make_town`, but what another call or version made is replaced."""
    if _description_in(out) not in (None, _describe(count, size, seed, flat=False)):
        shutil.rmtree(out)
    make_town(out, count, size, seed, **options)


def is_town(folder: Path) -> bool:
    """Whether the folder was made by :func:`make_town`."""
    return (folder / DESCRIPTION).is_file()


def _describe(
    count: int, size: tuple[int, int], seed: int, flat: bool
) -> dict[str, Any]:
    source = hashlib.sha256()
    for name in ("scene.py", "render.py"):
        source.update((Path(__file__).parent / name).read_bytes())
    return {
        "what": "rendered road scenes, made by unet_tutorial",
        "count": count,
        "height": size[0],
        "width": size[1],
        "seed": seed,
        "flat": flat,
        "generator": source.hexdigest()[:12],
    }


def _description_in(folder: Path) -> dict[str, Any] | None:
    return read_json(folder / DESCRIPTION) if is_town(folder) else None


def _place(out: Path, index: int, flat: bool) -> tuple[Path, Path]:
    folder = out if flat else out / f"data{'ABCDE'[index % 5]}"
    name = f"{index:05d}.png"
    return folder / "CameraRGB" / name, folder / "CameraSeg" / name


def _write_pair(
    image: Path, mask: Path, size: tuple[int, int], seed: tuple[int, int]
) -> None:
    rendering = render(make_scene(seed), *size, seed)
    # The mask comes last: where it stands, the pair is whole.
    write_picture(image, rendering.image)
    write_mask(mask, rendering.mask)

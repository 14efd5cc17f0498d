"""The command line: parse, call one function, print."""

# Modules that need torch are imported inside the commands, so that --help and
# faulty calls answer at once.
import functools
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from unet_tutorial.config import Config
from unet_tutorial.errors import UserError

# In a log, where no line can be redrawn, a line of progress at most this often.
LOG_EVERY_S = 10.0
# Of several processes that share a run, as torchrun starts them, the first one talks;
# of an error the first one of each machine, which may be the only one that has it.
SHARED = "TORCHELASTIC_RUN_ID" in os.environ
SILENT = SHARED and os.environ.get("RANK", "0") != "0"
MUTE = SHARED and os.environ.get("LOCAL_RANK", "0") != "0"
# What torch says if it is so, of GPUs and of processors: it has no one class for both.
OUT_OF_MEMORY = ("out of memory", "allocate memory", "not enough memory")
# Without markup: a path may hold what looks like it.
console = Console(markup=False, highlight=False, soft_wrap=True, quiet=SILENT)
errors = Console(stderr=True, markup=False, highlight=False, soft_wrap=True, quiet=MUTE)


def _screen() -> Console:
    """Where a bar is drawn, and lines above it: by another one they would collide."""
    return console if console.is_terminal else errors


class _Group(typer.core.TyperGroup):
    """Commands whose errors for people are printed as one line."""

    def invoke(self, ctx: Any) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # names of files may be of any bytes
                stream.reconfigure(errors="backslashreplace")
        try:
            return super().invoke(ctx)
        except UserError as error:
            errors.print(f"error: {error}", style="red")
            raise typer.Exit(1) from error
        except (MemoryError, RuntimeError) as error:
            told = any(words in str(error) for words in OUT_OF_MEMORY)
            if not (told or isinstance(error, MemoryError)):
                raise
            what = "not enough memory; make the batch or the pictures smaller"
            errors.print(f"error: {what}", style="red")
            raise typer.Exit(1) from error
        except KeyboardInterrupt:
            errors.print("stopped", style="red")
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=_Group,
    help="U-Nets for road scenes: data, training, prediction and the book's notebooks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
data_app = typer.Typer(help="Make, fetch or check a data set.", no_args_is_help=True)
app.add_typer(data_app, name="data")
bench_app = typer.Typer(help="Measure speed on this machine.", no_args_is_help=True)
app.add_typer(bench_app, name="bench")


def _parse_size(text: str, option: str = "--size") -> tuple[int, int]:
    """Height and width, from ``96x128``."""
    try:
        height, width = map(int, text.lower().split("x"))
    except ValueError:
        raise typer.BadParameter(
            f"'{text}' is no size; write HEIGHTxWIDTH, as 96x128", param_hint=option
        ) from None
    return height, width


Size = Annotated[str, typer.Option(metavar="HxW", help="Height x width in pixels.")]
Data = Annotated[
    Path,
    typer.Option(
        "--data", help="A dataset.yaml, its folder, or one in the Lyft layout."
    ),
]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out faulty pairs, and say which.")
]
# Not a folder: better told before the work than after it.
NumbersFile = Annotated[
    Path, typer.Option(help="Write the numbers to this JSON file.", dir_okay=False)
]
RunFolder = Annotated[
    Path, typer.Option("--run", help="Folder of a finished run, or weights in it.")
]


@contextmanager
def _progress(title: str, total: int) -> Iterator[Callable[..., None]]:
    """A bar on the terminal; yields a function that takes the number done.

    That function takes another total and title, too, for work with several parts.
    """
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    screen = _screen()
    bar = Progress(
        *columns, console=screen, transient=True, disable=not screen.is_terminal
    )
    task = bar.add_task(title, total=total)

    def advance(done: float, total: float = total, title: str = title) -> None:
        bar.start()  # not before: what is downloaded first has a bar of its own
        bar.update(task, completed=done, total=total, description=title)

    try:
        yield advance
    finally:
        bar.stop()


@data_app.command("make")
def data_make(
    out: Annotated[Path, typer.Option(help="New folder.")],
    count: Annotated[int, typer.Option(help="Number of pairs.")] = 400,
    size: Size = "240x320",
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same pairs.")] = 0,
    flat: Annotated[
        bool, typer.Option("--flat", help="One folder instead of dataA to dataE.")
    ] = False,
    frames: Annotated[
        int,
        typer.Option(help="Frames of each drive; with 1, each pair is another street."),
    ] = 1,
    instances: Annotated[
        bool,
        typer.Option("--instances", help="Also write masks of the instances."),
    ] = False,
) -> None:
    """Render the embedded data set: road scenes with masks in the Lyft layout."""
    from unet_tutorial.town.drive import make_town

    height_width = _parse_size(size)
    with _progress("rendering", count) as advance:
        make_town(
            out, count, height_width, seed, frames, flat, instances, on_pair=advance
        )
    console.print(f"pairs in {out}: {count}")


@data_app.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(help="lyft: the Lyft/Udacity data, 5 GB.")],
    out: Annotated[Path, typer.Option(help="New folder.")],
    archive: Annotated[
        Path | None,
        typer.Option(help="A zip or tar file of the data, instead of Kaggle's."),
    ] = None,
) -> None:
    """Download a data set from Kaggle, or unpack an archive of it."""
    from unet_tutorial.data.download import fetch_lyft

    if name != "lyft":
        raise UserError(f"data set '{name}' is not known: there is 'lyft'")
    with _progress("starting", 1) as advance:
        used = fetch_lyft(out, archive, watch=advance)
    console.print(f"the data are in {out}; {used} is no longer needed")


@data_app.command("check")
def data_check(
    folder: Annotated[
        Path, typer.Argument(help="A dataset.yaml, or a folder of data.")
    ],
) -> None:
    """Decode every pair once: a table if all is well, else a line for each fault."""
    from unet_tutorial.data.description import read_description
    from unet_tutorial.data.pairs import check_pairs
    from unet_tutorial.data.split import drive_and_frame, split_pairs

    with _progress("checking", 1) as advance:
        report = check_pairs(folder, on_pair=advance)
    if report.faults:
        for fault in report.faults:
            print(fault)
        errors.print(f"faults in {folder}: {len(report.faults)}", style="red")
        raise typer.Exit(1)
    sizes = ", ".join(f"{h}x{w} ({n})" for (h, w), n in report.sizes.most_common())
    console.print(f"{folder}: {len(report.pairs)} pairs, {sizes}")
    table = Table()
    for column in ("id", "class"):
        table.add_column(column)
    table.add_column("share of pixels", justify="right")
    classes = read_description(folder).classes
    ids = dict(enumerate(classes.names))
    if classes.ignore_index is not None:
        ids[classes.ignore_index] = "(ignored)"
    for class_id, name in ids.items():
        share = report.pixels[class_id] / report.pixels.sum()
        table.add_row(str(class_id), name, f"{100 * share:.3f} %")
    console.print(table, soft_wrap=False)
    absent = [name for i, name in enumerate(classes.names) if not report.pixels[i]]
    if absent:
        console.print(f"no mask holds {', '.join(absent)}", style="yellow")
    if report.unnamed:
        told = f"pictures left out, as no 'names' fit them: {report.unnamed}"
        console.print(told, style="yellow")
    try:
        parts = split_pairs(report.pairs)
    except UserError as error:  # too few to train on, but nothing is wrong with them
        console.print(f"{error}")
        return
    counts = [f"{name} {len(part)}" for name, part in parts.items()]
    left_out = len(report.pairs) - sum(map(len, parts.values()))
    console.print(f"{', '.join(counts)} pairs, {left_out} between them left out")
    for name in ("train", "val"):
        if not parts[name]:
            console.print(f"no pair for '{name}', which 'train' needs", style="yellow")
    if not report.pairs[0].part:
        stem = report.pairs[0].stem
        drive, frame = drive_and_frame(stem)
        drives = len({drive_and_frame(pair.stem)[0] for pair in report.pairs})
        told = "stands alone" if frame is None else f"is frame {frame} of '{drive}'"
        console.print(f"by their names: {drives} drives; '{stem}' {told}")


@app.command()
def train(
    data: Data,
    model: Annotated[str, typer.Option(help="scratch or resnet34.")],
    out: Annotated[Path, typer.Option(help="New folder for the run.")],
    epochs: Annotated[
        int, typer.Option(help="Times through the data.")
    ] = Config.epochs,
    size: Size = "96x128",
    seed: Annotated[
        int,
        typer.Option(
            min=0, max=2**63 - 1, help="Decides weights, order, augmentation."
        ),
    ] = Config.seed,
    encoder_weights: Annotated[
        str | None,
        typer.Option(
            help="For resnet34: imagenet, none or a file; imagenet where it can be had."
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(help="lyft: learn road and vehicle only, as the challenge asked."),
    ] = Config.target,
    augment: Annotated[
        str, typer.Option(help="none, mirror or full.")
    ] = Config.augment,
    crop: Annotated[
        str | None, typer.Option(help="Learn from parts of this HEIGHTxWIDTH.")
    ] = None,
    skip_bad: SkipBad = False,
    batch_size: Annotated[
        int, typer.Option(help="Pictures per batch.")
    ] = Config.batch_size,
    base_channels: Annotated[
        int, typer.Option(help="Width of the first block of scratch.")
    ] = Config.base_channels,
    learning_rate: Annotated[
        float, typer.Option(help="Of Adam.")
    ] = Config.learning_rate,
    loss: Annotated[
        str, typer.Option(help="dice, cross-entropy or both.")
    ] = Config.loss,
    class_weights: Annotated[
        str | None, typer.Option(help="median: lift rare classes in cross-entropy.")
    ] = Config.class_weights,
    label_smoothing: Annotated[
        float, typer.Option(min=0, max=1, help="For cross-entropy, 0 to 1.")
    ] = Config.label_smoothing,
    schedule: Annotated[
        str | None, typer.Option(help="cosine: let the learning rate fall to 0.")
    ] = Config.schedule,
    clip: Annotated[
        float | None, typer.Option(help="The largest norm of the gradient.")
    ] = Config.clip,
    accumulate: Annotated[
        int, typer.Option(help="Batches per step.")
    ] = Config.accumulate,
    precision: Annotated[
        str, typer.Option(help="auto, 32-true or bf16-mixed.")
    ] = Config.precision,
    keep_every: Annotated[
        int | None,
        typer.Option(help="Also keep the weights of every so many epochs, for --run."),
    ] = Config.keep_every,
    tensorboard: Annotated[
        Path | None,
        typer.Option(
            help="Write the curves for TensorBoard to this folder, too.",
            file_okay=False,
            writable=True,
        ),
    ] = None,
) -> None:
    """Train on the train split; a call that was stopped goes on when repeated."""
    from unet_tutorial.models.resnet_unet import available_encoder_weights
    from unet_tutorial.runs import begun_setup, check_run_folder
    from unet_tutorial.training import epoch_line, fit

    if encoder_weights is None:
        check_run_folder(out, overwrite=False)  # before the hub is asked
        begun = begun_setup(out).get("config", {})
        encoder_weights = "none"
        if begun.get("model") == model:
            encoder_weights = begun.get("encoder_weights", "none")
        elif model == "resnet34" and not begun:
            encoder_weights = available_encoder_weights(
                "imagenet",
                lambda why: console.print(
                    f"{why}; going on from random weights", style="yellow"
                ),
            )
    config = Config(
        model,
        _parse_size(size),
        epochs,
        seed=seed,
        encoder_weights=encoder_weights,
        target=target,
        augment=augment,
        crop=None if crop is None else _parse_size(crop, "--crop"),
        batch_size=batch_size,
        base_channels=base_channels,
        learning_rate=learning_rate,
        loss=loss,
        class_weights=class_weights,
        label_smoothing=label_smoothing,
        schedule=schedule,
        clip=clip,
        accumulate=accumulate,
        precision=precision,
        keep_every=keep_every,
    )
    show_curves = _tensorboard(tensorboard, out)
    if model == "resnet34":
        start = "random weights" if encoder_weights == "none" else encoder_weights
        console.print(f"the encoder is to start from {start}")

    seen, began, first = "training", time.monotonic(), 0

    with _progress("reading", 1) as advance, _ctrl_c_ends_the_step() as end_step:

        def on_pair(done: int, total: int) -> None:
            end_step()
            advance(done, total)

        def on_batch(done: int, total: int) -> None:
            nonlocal began, first
            end_step()
            if not first:  # the clock starts where a run that was stopped goes on
                began, first = time.monotonic(), done
                return
            speed = (done - first) * batch_size / (time.monotonic() - began)
            advance(done, total, f"{seen}  {speed:.0f} images/s")

        def on_epoch(row: dict[str, float]) -> None:
            nonlocal seen
            seen = f"loss {row['train_loss']:.3f}  mIoU {row['val_miou']:.3f}"
            console.print(epoch_line(row))
            if first:  # else the run had finished before, and its curves are there
                show_curves(row)

        try:
            run = fit(
                config,
                data,
                out,
                skip_bad=skip_bad,
                on_pair=on_pair,
                on_batch=on_batch,
                on_epoch=on_epoch,
            )
        except KeyboardInterrupt:
            errors.print("the same call again goes on after the last whole epoch")
            raise
    for fault in run.manifest["skipped"]:
        console.print(f"left out: {fault}", style="yellow")
    if not first:
        console.print("the run had finished before, and nothing was trained")
    console.print(f"run in {out}, best epoch {run.manifest['best_epoch']}")


@contextmanager
def _ctrl_c_ends_the_step() -> Iterator[Callable[[], None]]:
    """Yields what is to be called after each step, and raises there if asked to stop.

    Who presses a second time does not want to wait for the step.
    """
    asked = False

    def ask(*_: Any) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, before)
        _screen().print("stopping after this step; again to stop at once")

    def end_step() -> None:
        if asked:
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # in the background it is ignored
        signal.signal(signal.SIGINT, ask)
    try:
        yield end_step
    finally:
        signal.signal(signal.SIGINT, before)


def _tensorboard(folder: Path | None, run: Path) -> Callable[[dict[str, float]], None]:
    """What writes a row of the history for TensorBoard, if that is wanted."""
    if folder is None or SILENT:
        return lambda row: None
    if folder.resolve().is_relative_to(run.resolve()):
        raise UserError(
            f"{folder}: lies in the run's folder, which holds a run alone; choose "
            "another for --tensorboard"
        )
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UserError(
            "TensorBoard is not installed; 'pip install tensorboard', or leave out "
            "--tensorboard"
        ) from error
    # A call that is refused, or finds the run finished, leaves nothing behind.
    writer = functools.cache(lambda: SummaryWriter(str(folder)))

    def write(row: dict[str, float]) -> None:
        for name in row.keys() - {"epoch"}:
            writer().add_scalar(name, row[name], int(row["epoch"]))
        writer().flush()

    return write


@app.command()
def evaluate(
    run: RunFolder,
    data: Data,
    split: Annotated[str, typer.Option(help="train, val, test or all.")] = "test",
    out: Annotated[
        Path | None,
        typer.Option(help="Write the scores to this JSON file.", dir_okay=False),
    ] = None,
    skip_bad: SkipBad = False,
) -> None:
    """Score a run on a part of the data, at the masks' own size."""
    from unet_tutorial.data.description import read_description
    from unet_tutorial.data.pairs import match_pairs, refuse
    from unet_tutorial.data.split import split_pairs
    from unet_tutorial.files import write_json
    from unet_tutorial.prediction import Predictor, refuse_known, score
    from unet_tutorial.runs import load_run

    pairs, alone = match_pairs(data)
    if not skip_bad:
        refuse(alone)
    if split != "all":
        parts = split_pairs(pairs)
        if split not in parts:
            raise UserError(
                f"split '{split}' is not known: choose one of {', '.join(parts)}, all"
            )
        pairs = parts[split]
    if not pairs:
        raise UserError(f"{data}: has no pair for '{split}'; choose another --split")
    trained = load_run(run)
    if split in ("val", "test"):
        refuse_known(trained, pairs)
    predictor = Predictor(trained)
    known, given = predictor.target.source, read_description(data).classes
    if (known.names, known.ignore_index) != (given.names, given.ignore_index):
        raise UserError(
            f"{run}: was trained for other classes than those of {data}; give it data "
            "with the same names, in the same order, and the same ignored id"
        )
    with _progress("scoring", len(pairs)) as advance:
        scores, _ = score(predictor, pairs, skip_bad, on_pair=advance)
    count = len(pairs) - len(scores["skipped"])
    scores["skipped"] += alone
    scores |= {"split": split, "pairs": count, "data": str(data), "run": str(run)}
    if out is not None:
        write_json(out, scores)
    console.print(f"{run} on {data} ({split}, {count} pairs)")
    table = Table()
    for column in ("class", "IoU", "Dice"):
        table.add_column(column, justify="left" if column == "class" else "right")
    for name, values in scores["per_class"].items():
        table.add_row(name, *(_number(values[key]) for key in ("iou", "dice")))
    table.add_section()
    table.add_row("mean", _number(scores["miou"]), _number(scores["dice"]))
    console.print(table, soft_wrap=False)
    for fault in scores["skipped"]:
        console.print(f"left out: {fault}", style="yellow")
    console.print(f"pixel accuracy {_number(scores['pixel_accuracy'])}")
    if scores["lyft_score"] is not None:
        score_text = f"{scores['lyft_score']:.2f}"
        console.print(f"Lyft score (local, not comparable with the board) {score_text}")


def _number(value: float | None) -> str:
    return "absent" if value is None else f"{value:.4f}"


@app.command()
def export(
    run: RunFolder,
    out: Annotated[
        Path, typer.Option(help="File to write, .onnx or .pt2.", dir_okay=False)
    ],
) -> None:
    """Write a run's network to one file that needs none of this code."""
    from unet_tutorial.export import export_run
    from unet_tutorial.runs import load_run

    difference = export_run(load_run(run), out)
    size = out.stat().st_size / 1e6
    console.print(
        f"{out}, {size:.1f} MB, answers as the network does in 32 bits "
        f"(within {difference:.1g})"
    )


@app.command()
def predict(
    run: Annotated[
        Path,
        typer.Option(
            help="Folder of a finished run, weights in it, or what 'export' wrote. "
            "A .pt2 file can hold code: take none from strangers."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for masks and overlays.")],
    images: Annotated[
        list[Path], typer.Argument(help="Pictures of any size, one by one.")
    ],
) -> None:
    """Write NAME.png, ids in its red channel, and NAME_overlay.png for each image."""
    from unet_tutorial.export import load_predictor
    from unet_tutorial.prediction import predict_files

    predictor, count = load_predictor(run), len(set(images))
    with _progress("predicting", count) as advance:
        predict_files(predictor, images, out, on_image=advance)
    console.print(f"masks and overlays in {out}: {count}")


@bench_app.command("data")
def bench_data_command(out: NumbersFile) -> None:
    """Feed 256x320 batches from 600x800 pairs, decoded each time or cached."""
    from unet_tutorial.bench import bench_data

    numbers = _measured(bench_data, out)
    table = Table(title="images a second at 256x320", title_justify="left")
    table.add_column("")
    table.add_column("images/s", justify="right")
    for title, name in (
        ("Pillow in a DataLoader, 2 workers", "plain"),
        ("from the cache", "cached"),
        ("from the cache, augmented", "augmented"),
        (f"consumed by '{numbers['fastest']}' in training", "consumed"),
    ):
        table.add_row(title, f"{numbers[name]:.1f}")
    console.print(table, soft_wrap=False)
    console.print(f"cached / plain = {numbers['ratio']:.1f}; numbers in {out}")


@bench_app.command("train")
def bench_train_command(out: NumbersFile) -> None:
    """Train each network the plain way, our way, and without waiting for data."""
    from unet_tutorial.bench import bench_train

    numbers = _measured(bench_train, out)
    for row in numbers["rows"]:
        row["ours / plain"] = row["ours"] / row["plain"]
    title = f"images a second in training, ours in {numbers['precision']}"
    _print_rows(title, numbers["rows"], "plain", "ours", "ceiling", "ours / plain")


@bench_app.command("predict")
def bench_predict_command(out: NumbersFile) -> None:
    """Answer for frames of 600x800, from files to files and from memory."""
    from unet_tutorial.bench import bench_predict

    rows = _measured(bench_predict, out)["rows"]
    title = "600x800 frames a second from files, and milliseconds for one in memory"
    _print_rows(title, rows, "files", "latency_ms")


def _measured(bench: Callable[..., dict[str, Any]], out: Path) -> dict[str, Any]:
    """What a bench has measured, once it is written down."""
    from unet_tutorial.files import write_json

    with _progress("rendering", 1) as advance:
        numbers = bench(watch=advance)
    write_json(out, numbers)
    return numbers


def _print_rows(title: str, rows: list[dict[str, Any]], *measured: str) -> None:
    """A line for each network."""
    table = Table(title=title, title_justify="left")
    table.add_column("model")
    for column in ("width", "size", *measured):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            row["model"],
            str(row["base_channels"]),
            "x".join(map(str, row["size"])),
            *(f"{row[name]:.1f}" for name in measured),
        )
    console.print(table, soft_wrap=False)


class _Countdown:
    """A line with the time that is left, which is counted down where it is redrawn."""

    def __init__(self, text: str, seconds: float) -> None:
        self.text, self.end = text, time.monotonic() + seconds

    def __rich__(self) -> Text:
        left = max(self.end - time.monotonic(), 0)
        return Text(f"{self.text}, about {left / 60:.1f} min left")


@contextmanager
def _told_if_missing() -> Iterator[None]:
    """For what only those have who build the book."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(
            f"{error.name} is not installed, which the book is built with; call 'make "
            "book', or 'pip install --editable .[book]'"
        ) from error


@app.command()
def notebooks(
    profile: Annotated[
        str, typer.Option(help="A file of notebooks/profiles.")
    ] = "laptop",
    data: Annotated[
        str | None,
        typer.Option(help="Data set with the 13 Lyft classes, not the profile's."),
    ] = None,
    only: Annotated[
        str | None, typer.Option(help="One notebook and those it needs.")
    ] = None,
    studies: Annotated[
        bool, typer.Option("--studies", help="Also the studies, which take long.")
    ] = False,
) -> None:
    """Execute the stale notebooks with papermill and lay out the book's pages."""
    from unet_tutorial.files import locked

    with _told_if_missing():
        from unet_tutorial.book import runner
        from unet_tutorial.book.notebooks import find_paths

    find_paths(Path("notebooks"))  # before anything is made in another's folder
    table = Table(title=f"notebooks, profile {profile}", title_justify="left")
    table.add_column("notebook")
    table.add_column("seconds", justify="right")
    table.add_column("")
    with console.status("looking at data and notebooks ...") as status:
        printed = 0.0

        def tell(line: Any, is_new: bool) -> None:
            nonlocal printed
            if console.is_terminal:
                status.update(line)
            elif is_new or time.monotonic() - printed > LOG_EVERY_S:
                console.print(line)
                printed = time.monotonic()

        def show(progress: runner.Progress) -> None:
            line = _Countdown(
                f"notebook {progress.position}/{progress.count} {progress.notebook}, "
                f"cell {progress.cell}/{progress.cells}",
                progress.seconds_left,
            )
            tell(line, is_new=progress.cell == 1)

        def show_scene(done: int, total: int) -> None:
            tell(f"rendering the embedded data set, scene {done}/{total}", done == 1)

        with ExitStack() as stack:
            build = Path("_build", profile)
            try:
                stack.enter_context(locked(build, wait=False))
            except UserError as busy:
                console.print(f"waiting: {busy}")
                stack.enter_context(locked(build))
            outcomes = runner.run_notebooks(
                Path.cwd(), profile, data, only, studies, show_scene, show
            )
    executed = 0.0
    for outcome in outcomes:
        if outcome.seconds is None:
            table.add_row(outcome.name, "-", "left out: its data set is not there")
            continue
        executed += outcome.seconds if outcome.fresh else 0
        told = "executed" if outcome.fresh else "unchanged"
        table.add_row(outcome.name, f"{outcome.seconds:.1f}", told)
    table.add_section()
    table.add_row("executed now", f"{executed:.1f}", "")
    console.print(table, soft_wrap=False)


@app.command()
def publish(
    profile: Annotated[str, typer.Option(help="Whose pages and results.")] = "laptop",
) -> None:
    """Copy executed pages and results to book/, where git keeps them."""
    with _told_if_missing():
        from unet_tutorial.book.publishing import publish as copy

    pages = copy(Path.cwd(), profile)
    console.print(f"{len(pages)} pages and their results in book/")


@app.command("compare")
def compare_command(
    profile: Annotated[str, typer.Option(help="Whose results.")] = "laptop",
) -> None:
    """Hold new results against the published ones, number by number."""
    with _told_if_missing():
        from unet_tutorial.book.comparing import compare

    compared, left_out = compare(Path.cwd(), profile)
    table = Table(
        title=f"published numbers and profile {profile}", title_justify="left"
    )
    table.add_column("number", overflow="fold")  # never shortened: it is to be found
    for column in ("published", "now", "tolerance", ""):
        table.add_column(column, justify="right")
    for row in compared:
        told = "-" if row.tolerance is None else f"{row.tolerance:.3g}"
        verdict = "within" if row.is_within else "APART"
        table.add_row(
            row.name,
            _short(row.published),
            _short(row.now),
            told,
            "not asked" if row.tolerance is None else verdict,
        )
    console.print(table, soft_wrap=False)
    for page, reason in left_out.items():
        console.print(f"left out: {page}, {reason}", style="yellow")
    apart = [row.name for row in compared if not row.is_within]
    asked = sum(row.tolerance is not None for row in compared)
    console.print(f"{asked - len(apart)} of {asked} numbers within their tolerance")
    if apart:
        console.print(f"apart: {', '.join(apart)}", style="red")
        raise typer.Exit(1)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

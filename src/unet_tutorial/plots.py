"""Every figure of the book; each function returns a figure and shows nothing."""

import math
from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from unet_tutorial.classes import LYFT, Classes

# Okabe and Ito's colours, told apart by colour-blind readers; line styles or
# markers say the same to readers without any colour. More curves start again, so that
# none is left out.
CURVES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#767676")
MARKERS = ("o", "s", "^", "D", "v", "P")
STYLES = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (9, 3)))
MODEL_TITLES = {"scratch": "U-Net from scratch", "resnet34": "ResNet34 U-Net"}

# Inches, and dots in each: they fill the text column of a page. A narrow figure with
# many dots has large letters, which can still be read at half the size, on a phone.
WIDTH, DPI = 5.6, 125

sns.set_theme(style="whitegrid", context="notebook", font_scale=0.9)
plt.rcParams.update({"figure.dpi": DPI, "figure.constrained_layout.use": True})


def plot_grid(
    rows: Sequence[Sequence[np.ndarray]],
    titles: Sequence[str],
    classes: Classes | None = LYFT,
) -> Figure:
    """Pictures in rows, with titles over them and a legend of the classes below.

    Args:
        rows: RGB pictures [H, W, 3] uint8, or class ids [H, W], which are coloured.
        titles: one per column, or one per picture.
        classes: what the ids mean; None if there are none, for no legend.
    """
    columns = len(rows[0])
    height, width = rows[0][0].shape[:2]
    cell = WIDTH / max(columns, 2)
    # The titles, and a line for every four classes.
    legend = 0.35 + (0.21 * math.ceil(len(classes) / 4) if classes is not None else 0)
    figure, axes = plt.subplots(
        len(rows),
        columns,
        figsize=(cell * columns, cell * height / width * len(rows) + legend),
        squeeze=False,
    )
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            axis = axes[i, j]
            if picture.ndim == 2 and classes is not None:
                picture = classes.colour(picture)
            axis.imshow(picture)
            axis.set_axis_off()
            if i * columns + j < len(titles):
                axis.set_title(titles[i * columns + j])
    if classes is not None:
        _class_legend(figure, classes)
    return figure


def plot_heat(
    pictures: Sequence[np.ndarray], titles: Sequence[str], label: str
) -> Figure:
    """Maps [H, W] of values from 0 to 1 side by side, on one scale."""
    figure, axes = plt.subplots(1, len(pictures), figsize=(WIDTH, 2), squeeze=False)
    for axis, picture, title in zip(axes[0], pictures, titles):
        drawn = axis.imshow(picture, cmap="viridis", vmin=0, vmax=1)
        axis.set_axis_off()
        axis.set_title(title)
    figure.colorbar(drawn, ax=axes, label=label, shrink=0.85)
    return figure


def _class_legend(figure: Figure, classes: Classes) -> None:
    patches = [
        Patch(facecolor=colour, edgecolor="black", linewidth=0.4, label=name)
        for name, colour in zip(classes.names, classes.colours)
    ]
    figure.legend(
        handles=patches, loc="outside lower center", ncols=4, fontsize=9, frameon=False
    )


def colour_instances(
    instances: np.ndarray, mask: np.ndarray | None = None
) -> np.ndarray:
    """Give each instance a colour of its own: [H, W] to [H, W, 3] uint8.

    The largest things get the colours that lie farthest apart.

    Args:
        instances: 0 for what is no thing, else the number of a thing.
        mask: class ids. With them a thing takes a shade of its class's colour and
            the rest its class's colour; without them the rest is black.
    """
    numbers, first, sizes = np.unique(instances, return_index=True, return_counts=True)
    largest_first = np.argsort(-sizes)
    by_size = numbers[largest_first]
    if mask is None:
        # Hues a golden angle apart, dark and bright in turn.
        rank = np.arange(len(by_size))
        colours = np.zeros((instances.max() + 1, 3))
        colours[by_size] = plt.get_cmap("hsv")((rank * 0.618) % 1)[:, :3]
        colours[by_size[rank % 4 > 1]] *= 0.6
        colours[0] = 0
        return (colours[instances] * 255).astype(np.uint8)
    class_of = mask.ravel()[first[largest_first]]
    shades = np.ones(instances.max() + 1)
    for class_id in range(len(LYFT)):
        things = by_size[(class_of == class_id) & (by_size > 0)]
        shades[things] = np.resize([1, 0.5, 1.5, 0.75], len(things))
    return np.clip(LYFT.colour(mask) * shades[instances][..., None], 0, 255).astype(
        np.uint8
    )


def plot_class_shares(shares: pd.Series) -> Figure:
    """Each class's share of the pixels, on a logarithmic axis.

    Args:
        shares: 0 to 1, by class name.
    """
    figure, axis = plt.subplots(figsize=(WIDTH, 4))
    axis.plot(shares, shares.index, "o", color=CURVES[0])
    axis.set(xscale="log", xlabel="share of all pixels, logarithmic", ylabel="")
    axis.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    axis.invert_yaxis()
    return figure


def plot_losses(
    histories: Mapping[str, pd.DataFrame],
    marks: Sequence[tuple[float, float]] = (),
    ylabel: str = "Dice loss",
) -> Figure:
    """Loss of training (dashed) and validation (solid) by epoch, and validation mIoU.

    Args:
        histories: a run's history for each label in the legend.
        marks: crosses among the losses, epoch and loss of each.
        ylabel: what the loss is called.
    """
    figure, (loss_axis, miou_axis) = plt.subplots(2, 1, figsize=(WIDTH, 5.4))
    # A marker at each of many epochs would hide which line is dashed.
    every = math.ceil(max(map(len, histories.values())) / 12)
    for (label, history), colour, marker in zip(
        histories.items(), cycle(CURVES), cycle(MARKERS)
    ):
        look = {
            "color": colour,
            "marker": marker,
            "markersize": 4,
            "markevery": every,
        }
        for part, style, name in (
            ("train", "--", "training"),
            ("val", "-", "validation"),
        ):
            loss = history[f"{part}_loss"]
            loss_axis.plot(
                history["epoch"], loss, style, label=f"{label}, {name}", **look
            )
        miou_axis.plot(history["epoch"], history["val_miou"], **look)
    for at, value in marks:
        loss_axis.plot(at, value, "x", color="black", markersize=9, zorder=3)
    _label_by_epoch(loss_axis, miou_axis, ylabel)
    _legend_above(figure)
    return figure


def _label_by_epoch(loss_axis: Axes, miou_axis: Axes, ylabel: str) -> None:
    loss_axis.set(xlabel="epoch", ylabel=ylabel)
    miou_axis.set(xlabel="epoch", ylabel="validation mIoU", ylim=(0, None))
    for axis in (loss_axis, miou_axis):
        axis.locator_params(axis="x", integer=True)


def _legend_above(figure: Figure) -> None:
    """Inside the plots it would cover a curve sooner or later."""
    entries = sum(len(axis.get_legend_handles_labels()[0]) for axis in figure.axes)
    figure.legend(
        loc="outside upper center",
        ncols=3 if entries == 3 else 2,
        fontsize=9,
        frameon=False,
    )


def plot_per_class(scores: pd.DataFrame) -> Figure:
    """Horizontal bars of each class's IoU for each model.

    Args:
        scores: columns ``class``, ``model`` and ``iou`` (0 to 1). Of several rows for
            a bar it shows the mean, and their standard deviation as a line.
    """
    figure, axis = plt.subplots(figsize=(WIDTH, 4.6))
    # Tables put one below the other repeat their row numbers, which seaborn does not
    # take where a class has no IoU.
    scores = scores.reset_index(drop=True)
    sns.barplot(
        scores,
        y="class",
        x="iou",
        hue="model",
        palette=CURVES,
        errorbar="sd",
        err_kws={"linewidth": 1.5},
        ax=axis,
    )
    axis.set(xlim=(0, 1), xlabel="IoU", ylabel="")
    axis.legend().remove()
    _legend_above(figure)
    return figure


def plot_confusion(counts: np.ndarray, title: str, classes: Classes = LYFT) -> Figure:
    """Which class is taken for which, in percent of each row.

    Args:
        counts: [C, C], pixels by true class (rows) and predicted class (columns).
        title: of the figure.
        classes: what the ids mean.
    """
    figure, axis = plt.subplots(figsize=(WIDTH, 5.2))
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    table = pd.DataFrame(shares, classes.names, classes.names)
    # Without the many zeros the others can be larger.
    numbers = np.where(shares < 0.5, "", np.char.mod("%.0f", shares))
    look = {"cmap": "cividis", "vmin": 0, "vmax": 100, "annot_kws": {"size": 8}}
    sns.heatmap(table, annot=numbers, fmt="", ax=axis, **look)
    axis.set(
        xlabel="predicted",
        ylabel="true",
        title=f"{title}, in percent of the true class",
    )
    return figure


def plot_curve(
    x: Sequence[float], curves: Mapping[str, Sequence[float]], xlabel: str, ylabel: str
) -> Figure:
    """Lines over one axis, each with its own colour and style."""
    figure, axis = plt.subplots(figsize=(WIDTH, 3.2))
    for (label, y), colour, style in zip(curves.items(), cycle(CURVES), cycle(STYLES)):
        axis.plot(x, y, linestyle=style, color=colour, label=label)
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.legend(fontsize=9)
    return figure


def plot_spread(histories: pd.DataFrame) -> Figure:
    """Loss curves and validation mIoU of several seeds: mean, and all values as a band.

    Args:
        histories: rows of the histories, with a column ``model``.
    """
    figure, (loss_axis, miou_axis) = plt.subplots(2, 1, figsize=(WIDTH, 5.4))
    for (model, rows), colour in zip(
        histories.groupby("model", sort=False), cycle(CURVES)
    ):
        for axis, column, style, part in (
            (loss_axis, "train_loss", "--", "training"),
            (loss_axis, "val_loss", "-", "validation"),
            (miou_axis, "val_miou", "-", None),
        ):
            band = rows.groupby("epoch")[column].agg(["mean", "min", "max"])
            label = part and f"{model}, {part}"
            axis.plot(band.index, band["mean"], style, color=colour, label=label)
            axis.fill_between(
                band.index, band["min"], band["max"], color=colour, alpha=0.2
            )
    _label_by_epoch(loss_axis, miou_axis, "loss")
    _legend_above(figure)
    return figure


def plot_choices(
    rows: pd.DataFrame, x: str, xlabel: str, hue: str | None = None
) -> Figure:
    """Test mIoU for each choice: a dot for each seed, and their mean.

    A line joins the means of choices that are numbers; others have no order.

    Args:
        rows: columns ``miou`` (0 to 1), the one named by ``x``, and perhaps ``hue``.
        x: what was chosen.
        xlabel: what it is called.
        hue: a second choice of two, told apart by colour and line.
    """
    figure, axis = plt.subplots(figsize=(WIDTH, 3))
    ordered = pd.api.types.is_numeric_dtype(rows[x])
    look = {"palette": CURVES[:2]} if hue else {"color": CURVES[0]}
    sns.pointplot(
        rows,
        x=x,
        y="miou",
        hue=hue,
        markers="" if ordered else "_",  # a dot at the mean would cover the seeds
        markersize=18,
        linewidth=1.5,
        linestyles=("-" if hue is None else ["-", "--"]) if ordered else "none",
        errorbar=None,
        ax=axis,
        **look,
    )
    sns.stripplot(
        rows, x=x, y="miou", hue=hue, jitter=False, legend=False, ax=axis, **look
    )
    # Above the highest there must be room for its marker.
    axis.set(xlabel=xlabel, ylabel="test mIoU", ylim=(0, 1.08 * rows["miou"].max()))
    if hue:
        axis.legend().remove()
        _legend_above(figure)
    return figure


def plot_calibration(curves: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """How often an answer is right that was given with some probability.

    Args:
        curves: for each model the mean probability and the share of right pixels, of
            each of some bins, both 0 to 1.
    """
    figure, axis = plt.subplots(figsize=(WIDTH, 3.6))
    axis.plot([0, 1], [0, 1], ":", color="grey", label="as sure as it is right")
    for (label, (sure, right)), colour, marker in zip(
        curves.items(), cycle(CURVES), cycle(MARKERS)
    ):
        axis.plot(sure, right, color=colour, marker=marker, label=label)
    axis.set(
        xlabel="probability of the answer", ylabel="share of right pixels", ylim=(0, 1)
    )
    axis.legend(fontsize=9)
    return figure


def plot_intervals(
    intervals: Mapping[str, tuple[float, float]],
    marks: Mapping[str, Sequence[float]],
    xlabel: str,
) -> Figure:
    """Horizontal bars from one value to another, and vertical lines.

    Args:
        intervals: lower and upper end for each label.
        marks: where lines stand, for each label in the legend.
        xlabel: what the values are.
    """
    figure, axis = plt.subplots(figsize=(WIDTH, 0.33 * len(intervals) + 1.2))
    for row, (low, high) in enumerate(intervals.values()):
        axis.barh(row, max(high - low, 0.002), left=low, color=CURVES[0], height=0.6)
    for (label, places), style in zip(marks.items(), cycle(STYLES)):
        for number, place in enumerate(places):
            axis.axvline(
                place,
                linestyle=style,
                color=CURVES[1],
                linewidth=1,
                label=label if number == 0 else None,
            )
    axis.set_yticks(range(len(intervals)), list(intervals))
    axis.invert_yaxis()
    axis.set(xlim=(0, 1), xlabel=xlabel)
    _legend_above(figure)
    return figure

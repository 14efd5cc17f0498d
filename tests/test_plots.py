"""Figures are drawn of what small sets give, too."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.patches import Rectangle

from unet_tutorial.plots import plot_choices, plot_curve, plot_losses, plot_per_class


def test_a_class_without_an_iou_has_no_bar() -> None:
    one = pd.DataFrame({"class": ["road", "sign"], "iou": [0.5, np.nan]})
    # As pandas.concat leaves them, with their row numbers twice.
    scores = pd.concat([one.assign(model="a"), one.assign(model="b")])
    figure = plot_per_class(scores)
    bars = [bar for bar in figure.axes[0].patches if isinstance(bar, Rectangle)]
    widths = [bar.get_width() for bar in bars]
    assert [width for width in widths if width > 0] == [0.5, 0.5]
    plt.close(figure)


def test_no_curve_is_left_out() -> None:
    names = list("abcdefg")
    figure = plot_curve([1, 2], {name: [0, 1] for name in names}, "x", "y")
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}
    assert [line.get_label() for line in figure.axes[0].lines] == names
    assert len(looks) == 6  # more than six cannot be told apart, but are there
    plt.close(figure)
    row = {"epoch": [1], "train_loss": [1], "val_loss": [1], "val_miou": [0]}
    figure = plot_losses({name: pd.DataFrame(row) for name in names})
    assert len(figure.axes[1].lines) == len(names)
    plt.close(figure)


def test_the_marker_of_the_best_choice_is_not_cut_off() -> None:
    figure = plot_choices(
        pd.DataFrame({"loss": ["a", "b"], "miou": [0.4, 0.41]}), "loss", "loss"
    )
    figure.canvas.draw()
    axis = figure.axes[0]
    top = axis.transData.transform((0, 0.41))[1] + 5 * figure.dpi / 72  # its radius
    assert top < axis.get_window_extent().y1
    plt.close(figure)


def test_a_line_joins_choices_that_have_an_order() -> None:
    joined = {}
    for x in ([8, 16], ["a", "b"]):
        figure = plot_choices(pd.DataFrame({"x": x, "miou": [0.4, 0.5]}), "x", "x")
        styles = {line.get_linestyle() for line in figure.axes[0].lines}
        joined[str(x)] = styles & {"-"}
        plt.close(figure)
    assert joined == {"[8, 16]": {"-"}, "['a', 'b']": set()}

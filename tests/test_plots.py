"""Figures are drawn of what small sets give, too."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from unet_tutorial.plots import plot_per_class


def test_a_class_without_an_iou_has_no_bar() -> None:
    one = pd.DataFrame({"class": ["road", "sign"], "iou": [0.5, np.nan]})
    # As pandas.concat leaves them, with their row numbers twice.
    scores = pd.concat([one.assign(model="a"), one.assign(model="b")])
    figure = plot_per_class(scores)
    drawn = [bar.get_width() for bar in figure.axes[0].patches if bar.get_width() > 0]
    assert drawn == [0.5, 0.5]
    plt.close(figure)

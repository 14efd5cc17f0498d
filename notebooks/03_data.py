# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
#   unet_tutorial:
#     needs: []
#     seconds: {ci: 8, laptop: 12, full: 60}
# ---

# %% [markdown]
# # The data
#
# After this chapter you can say what a mask is, read one, count its classes, and
# explain why the data is split into blocks and not shuffled.
#
# *You need:* {doc}`02_road_scenes`.

# %% tags=["parameters"]
profile = "laptop"  # the profile's name, shown under results
data_dir = "data/town-laptop"  # folder with pairs of image and mask
out_dir = "_build/laptop"  # folder for results
num_scenes = 400  # pairs of the embedded data set
scene_size = [240, 320]  # their height and width, in pixels
scene_seed = 0  # decides which scenes are made

# %% [markdown]
# ## Two data sets, one layout
#
# The report uses the data of the **Lyft Perception Challenge** (Lyft and
# Udacity, 2018 {cite}`manickavelu2018`), recorded in the driving simulator CARLA
# {cite}`dosovitskiy2017`. It has
# five folders, `dataA` to `dataE`, of 1000 pairs each, 600 pixels high and 800
# wide, and takes 5 GB.
#
# So that this book can be built without that download, it brings **a town of its
# own**: a generator that renders road scenes in exactly the same layout, with the
# same 13 classes. Everything in the library reads both in the same way, and every
# figure says which of them it shows. If `data_dir` does not exist yet, this makes
# it:

# %%
from pathlib import Path

from unet_tutorial.town.drive import make_town

if not Path(data_dir).exists():
    make_town(Path(data_dir), num_scenes, tuple(scene_size), scene_seed)
sorted(path.name for path in Path(data_dir).iterdir())

# %% [markdown]
# A pair is two files of the same name, the picture in `CameraRGB` and its mask in
# `CameraSeg`. Both are PNG files: JPEG would blur the class ids.

# %%
from unet_tutorial.data.pairs import check_pairs, find_pairs, read_pair

pairs = find_pairs(Path(data_dir))
len(pairs), pairs[0].image.parts[-3:], pairs[0].mask.parts[-3:]

# %% [markdown]
# ## What a mask is
#
# A mask looks like a nearly black picture, for the class id, 0 to 12, stands in
# its red channel and the other two are empty. `read_mask` takes the red channel
# and refuses ids that do not exist.

# %%
import numpy as np

image, mask = read_pair(pairs[0])
print("picture", image.shape, image.dtype)
print("mask   ", mask.shape, mask.dtype)
print("a piece of it, where the road meets the pavement on the right:")
row = int(0.7 * mask.shape[0])
edge = np.flatnonzero(np.diff(mask[row].astype(int)))[-1]
print(mask[row, edge - 10 : edge + 12])

# %% [markdown]
# The numbers are names of classes, not amounts: 8 (Sidewalks) is not more than
# 7 (Roads). This is why a mask is never resized with averaging. Between an 8 and
# a 12 there is no 10.

# %% [markdown]
# ## Samples
#
# Look for the small classes: poles, fences, signs.

# %% mystnb={"image": {"alt": "Four rendered street scenes under different light and weather, each beside its mask in the colours of the 13 classes."}, "figure": {"caption": "Samples of the data: pictures and their masks.", "name": "fig-samples"}}
from unet_tutorial import plots

step = max(len(pairs) // 4, 1)
a, b, c, d = (read_pair(pair) for pair in pairs[: 4 * step : step])
figure = plots.plot_grid([[*a, *b], [*c, *d]], ["picture", "mask"] * 2)

# %% [markdown]
# The black shape at the bottom is the hood of the camera's own car. It belongs to
# *Vehicles*, in the real data as well. What has no class, such as the sky and
# bare ground, is *None*.

# %% [markdown]
# ## Balance of the classes
#
# `check_pairs` decodes every file once, looks for faults, and counts pixels. In
# the figure, mind the axis: it is logarithmic.

# %% mystnb={"image": {"alt": "Bars of the share of pixels of each of the 13 classes, on a logarithmic axis: None and Roads are the highest, Pedestrians and TrafficSigns the lowest, hundreds of times below them."}, "figure": {"caption": "Share of each class in all pixels.", "name": "fig-shares"}}
import pandas as pd

from unet_tutorial.classes import LYFT

report = check_pairs(Path(data_dir))
print(f"{len(report.faults)} faults in {len(report.pairs)} pairs")
shares = report.pixels[: len(LYFT)] / report.pixels.sum()
figure = plots.plot_class_shares(pd.Series(shares, LYFT.names))

# %% tags=["remove-cell"]
from unet_tutorial.runs import save_results

save_results(
    out_dir,
    "03_data",
    profile,
    data_dir,
    pairs=len(pairs),
    share=dict(zip(LYFT.names, shares.tolist())),
)

# %% [markdown]
# In these {result}`03_data.pairs` pairs, *None* fills
# {result}`03_data.share.None:.1%` of the pixels and *TrafficSigns*
# {result}`03_data.share.TrafficSigns:.3%`. A loss that counts pixels would hardly
# notice if every sign were lost. The chapter on the {doc}`Dice loss
# <05_dice_loss>` takes that up.

# %% [markdown]
# ## The split
#
# In the Lyft data, frames of a drive follow each other within fractions of a second,
# and the five folders are reported to be the same drives, slightly offset. If frames
# were shuffled, nearly every test frame would have a near-copy in training, and the
# score would say how well the network remembers. The names are therefore sorted and
# cut into three blocks, the same in every folder. The scenes of the embedded set are
# drawn independently of each other, so for them any split would do; they are split
# in the same way.
#
# ```{literalinclude} ../src/unet_tutorial/data/split.py
# :pyobject: split_pairs
# ```

# %%
from unet_tutorial.data.split import split_pairs

parts = split_pairs(pairs)
pd.DataFrame(
    {
        name: {
            "pairs": len(part),
            "first": min(pair.stem for pair in part),
            "last": max(pair.stem for pair in part),
        }
        for name, part in parts.items()
    }
).T

# %% [markdown]
# Training learns from `train`; the best epoch is chosen on `val`; the scores in
# this book are measured on `test`, once.
#
# ## Summary
#
# - A pair is a picture and a mask of the same size; a mask holds class ids.
# - Masks are resized to the nearest pixel, never averaged.
# - The classes are far from balanced.
# - The split keeps neighbours together.
#
# ## Exercises

# %% [markdown]
# ```{exercise}
# :label: ex-data-1
# Resize a mask to half its size, once with averaging and once to the nearest
# pixel. In how many pixels do they differ, and what does averaging answer there?
# ```
#
# ```{solution-start} ex-data-1
# :class: dropdown
# ```

# %%
from PIL import Image

half = (mask.shape[1] // 2, mask.shape[0] // 2)
small = Image.fromarray(mask)
nearest = np.asarray(small.resize(half, Image.Resampling.NEAREST))
averaged = np.asarray(small.resize(half, Image.Resampling.BILINEAR))
differ = averaged != nearest
print(f"they differ in {differ.mean():.1%} of the pixels; averaging answers there:")
print(
    pd.Series(averaged[differ]).map(lambda c: LYFT.names[c]).value_counts().to_string()
)

# %% [markdown]
# They differ along the edges. A mean of two ids is a third: between *None* (0) and
# *Vehicles* (10), say, averaging answers *Pedestrians* (4) or *Poles* (5), and where
# road meets pavement it makes no sense either. The nearest pixel only ever answers
# what is there.
#
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-data-2
# In how many of the masks does each class occur at all? Which class would you
# miss most often if you trained on two pairs?
# ```
#
# ```{solution-start} ex-data-2
# :class: dropdown
# ```

# %%
occurs = np.mean(
    [[(m == c).any() for c in range(13)] for _, m in map(read_pair, pairs)], axis=0
)
rarest = int(occurs.argmin())
print(pd.Series(occurs, LYFT.names).round(3).to_string())
chance = (1 - occurs[rarest]) ** 2
print(f"\ntwo pairs miss {LYFT.names[rarest]} with a chance of {chance:.2%}")

# %% [markdown]
# A class may be rare in two ways: in few pictures, or in few pixels of each. The
# figure above shows the second, this table the first.
#
# ```{solution-end}
# ```

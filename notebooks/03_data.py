# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
#   unet_tutorial:
#     needs: []
#     seconds: {ci: 14, laptop: 210, full: 200}
# ---

# %% [markdown]
# # The data
#
# After this chapter you can say what a mask is, read one, count its classes, and
# show by how much a shuffled split flatters a network.
#
# *You need:* {doc}`02_road_scenes`.

# %% tags=["parameters"]
profile = "laptop"  # the profile's name, shown under results
data_dir = "data/town-laptop"  # folder with pairs of image and mask
out_dir = "_build/laptop"  # folder for results
num_scenes = 400  # pairs of the embedded data set
scene_size = [240, 320]  # their height and width, in pixels
scene_seed = 0  # decides which scenes are made
drive_frames = 50  # frames of each of the two drives that the split is tried on
size = [96, 128]  # height and width at which the network sees the pictures
short_epochs = 6  # half of the epochs of the two runs of this chapter
batch_size = 8  # pictures per step
base_channels = 16  # width of the network's first block
seed = 0  # decides weights, order, and the shuffle

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
# same 13 classes, seen by a camera at the same height with the same angle of view.
# Everything in the library reads both in the same way, and every page says which of
# them it was run on. If `data_dir` does not exist yet, this makes it:

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
print("a piece of it, at the last edge of a row:")
row = int(0.7 * mask.shape[0])
edge = np.flatnonzero(np.diff(mask[row].astype(int)))[-1]
print(mask[row, edge - 10 : edge + 12])

# %% [markdown]
# The numbers are names of classes, not amounts: 8 (*Sidewalks*) is not twice as much
# as 4 (*Pedestrians*). This is why a mask is never resized with averaging. The mean of an 8 and
# a 12 would be 10, and that is *Vehicles*.

# %% [markdown]
# ## Samples
#
# Look for the small classes. Poles are easy to find; signs and pedestrians are a few pixels far
# away, if they can be seen at all.

# %% mystnb={"image": {"alt": "Three rendered street scenes in rows, each beside its mask in the colours of the 13 classes."}, "figure": {"caption": "Samples of the data: pictures and their masks.", "name": "fig-samples"}}
from unet_tutorial import plots

step = max(len(pairs) // 3, 1)
rows = [read_pair(pair) for pair in pairs[: 3 * step : step]]
figure = plots.plot_grid(rows, ["picture", "mask"])

# %% [markdown]
# Small classes cover few pixels, and some pictures lack one or the other. The black shape at the
# bottom is the hood of the camera's own car. It belongs to *Vehicles*, in the real data as well.
# What has no class, such as the sky and bare ground, is *None*.

# %% [markdown]
# ## Balance of the classes
#
# `check_pairs` decodes every file once, looks for faults, and counts pixels. In
# the figure, mind the axis: it is logarithmic.

# %% mystnb={"image": {"alt": "A dot for the share of pixels of each of the 13 classes, sorted, on a logarithmic axis: None and Roads have the most, Pedestrians and TrafficSigns the least, hundreds of times less."}, "figure": {"caption": "Share of each class in all pixels.", "name": "fig-shares"}}
import pandas as pd

from unet_tutorial.classes import LYFT

report = check_pairs(Path(data_dir))
print(f"{len(report.faults)} faults in {len(report.pairs)} pairs")
shares = report.pixels[: len(LYFT)] / report.pixels.sum()
by_class = pd.Series(shares, LYFT.names).sort_values(ascending=False)
figure = plots.plot_class_shares(by_class)

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
# are shuffled, nearly every test frame has a near-copy in training, and the score says
# how well the network remembers.
#
# So the library cuts each drive into blocks of ten frames, the same in every folder,
# and leaves out training frames at the edge of a block. Which block a frame belongs to
# follows from its name alone, so that adding files moves none (sets too small for that
# are cut in three by their sorted names):
#
# ```{literalinclude} ../src/unet_tutorial/data/split.py
# :start-at: BLOCK = 10
# :end-at: GUARD = 3
# ```

# %%
from unet_tutorial.data.split import split_pairs

parts = split_pairs(pairs)
pd.DataFrame(
    {
        name: {"pairs": len(part), "for example": part[0].stem}
        for name, part in parts.items()
    }
).T

# %% [markdown]
# In the embedded set each pair shows a street of its own: its drives have one frame
# each, and the name of the drive decides. Training learns from `train`; the best epoch
# (an epoch is once through the training pictures) is chosen on `val`; the scores in this
# book are measured on `test`, from which nothing is learnt or chosen. Only photographs without
# such a part are scored on `val`, and {doc}`13_pretraining` and {doc}`15_photographs` say so.
#
# ## What a shuffle hides
#
# How much does it matter? The generator can also drive: here it renders two streets as the real set
# was recorded, frame after frame, with five folders a little offset. Look at a test frame and at
# the training frame that is most like it, for a shuffle and for the library's split, *in blocks*.

# %% mystnb={"image": {"alt": "Three pictures of rendered streets. The first two are nearly the same, cars, houses and trees in the same places; the third shows a street from another place, with other things in view."}, "figure": {"caption": "A test frame of two drives that were rendered for this page; the training frame most like it if frames are shuffled; and if neighbours stay in one part (*in blocks*, the library's split).", "name": "fig-neighbours"}}
import random

from unet_tutorial.town.drive import renew_town

drives = Path(out_dir, "drives")
renew_town(drives, 10 * drive_frames, tuple(size), scene_seed + 1, frames=drive_frames)
blocks = split_pairs(find_pairs(drives))

mixed = [pair for part in blocks.values() for pair in part]
random.Random(seed).shuffle(mixed)
shuffled = {name: [mixed.pop() for _ in part] for name, part in blocks.items()}


def most_alike(image, candidates):
    """The picture whose pixels differ least."""
    others = [read_pair(pair)[0] for pair in candidates]
    return min(others, key=lambda other: np.abs(image - other.astype(float)).mean())


frame = blocks["test"][len(blocks["test"]) // 2]
image, _ = read_pair(frame)
others = [pair for pair in shuffled["train"] if pair != frame]
figure = plots.plot_grid(
    [[image, most_alike(image, others), most_alike(image, blocks["train"])]],
    ["test frame", "shuffled", "in blocks"],
    classes=None,
)

# %% [markdown]
# With the shuffle the network has all but seen the test frame. Now the U-Net of {doc}`04_unet` is
# trained twice, once for each split, on equally many pairs, and judged on the test part of that
# split and on streets that neither has seen. {doc}`06_training` explains `fit`; `describe` only
# lays links to the pairs of a split into a folder. How far apart do the two columns lie?

# %%
import shutil

import yaml

from unet_tutorial.prediction import Predictor, score
from unet_tutorial.runs import Config
from unet_tutorial.training import fit

config = Config(
    "scratch",
    tuple(size),
    epochs=2 * short_epochs,
    batch_size=batch_size,
    seed=seed,
    base_channels=base_channels,
)
new_streets = Path(out_dir, "new_streets")
renew_town(new_streets, drive_frames, tuple(size), scene_seed + 2)


def describe(name, parts):
    """A data set of links to the pairs, whose description names the parts."""
    folder = Path(out_dir, "splits", name)
    shutil.rmtree(folder, ignore_errors=True)
    for part, part_pairs in parts.items():
        for pair in part_pairs:
            for path in (pair.image, pair.mask):
                link = folder / part / path.parts[-2] / f"{path.parts[-3]}-{path.name}"
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path.resolve())
    description = {
        "folders": [
            {"images": f"{part}/CameraRGB", "masks": f"{part}/CameraSeg", "part": part}
            for part in parts
        ],
        "classes": dict(zip(LYFT.names, LYFT.colours)),
    }
    (folder / "dataset.yaml").write_text(yaml.safe_dump(description, sort_keys=False))
    return folder


flattery = {}
for name, chosen in (("shuffled", shuffled), ("blocks", blocks)):
    run = fit(
        config,
        describe(name, chosen),
        Path(out_dir, "runs", f"split-{name}"),
        overwrite=True,
    )
    predictor = Predictor(run)
    flattery[name] = {
        "own": score(predictor, chosen["test"])[0]["miou"],
        "new": score(predictor, find_pairs(new_streets))[0]["miou"],
    }
pd.DataFrame(flattery).T.set_axis(["own test part", "new streets"], axis=1).round(3)

# %% tags=["remove-cell"]
from unet_tutorial.runs import save_results

save_results(
    out_dir,
    "03_data",
    profile,
    data_dir,
    pairs=len(pairs),
    share=dict(zip(LYFT.names, shares.tolist())),
    split={name: len(part) for name, part in blocks.items()},
    flattery=flattery,
)

# %% [markdown]
# The shuffled split promises an mIoU of {result}`03_data.flattery.shuffled.own:.3f`; on new streets
# the same network has {result}`03_data.flattery.shuffled.new:.3f`. The split that keeps neighbours
# in one part promises {result}`03_data.flattery.blocks.own:.3f`, with
# {result}`03_data.flattery.blocks.new:.3f` on new streets.
#
# A split alone cannot make a test honest: where a set holds few streets, as here two, the test frames show a street that training has seen,
# in the same light.
#
# What the shuffle adds to that is the difference between the two scores on the
# splits' own test parts. One run of each, on two different test parts, measures it roughly. An
# honest test has streets of its own.
#
# ## Summary
#
# - A pair is a picture and a mask of the same size; a mask holds class ids.
# - Masks are resized to the nearest pixel, never averaged. ({doc}`14_resolution` shows a trap that
#   remains: a mask may come out shifted against its picture.)
# - The classes are far from balanced.
# - The split keeps neighbours in one part. A shuffle of frames flatters, and so does a test
#   on streets that training has seen.
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
# They differ along the edges. A mean of two ids may be a third: between *None* (0) and *Sidewalks*
# (8), say, averaging answers *Buildings* (1), *Pedestrians* (4) or *Roads* (7), as an eighth, a
# half or seven eighths of the weight falls on pavement (near pixels weigh more than far ones). Only
# where the two ids follow each other, as *Roads* (7) and *Sidewalks* (8) do, is it always one of
# the two, since no id lies between. The nearest pixel only ever answers what is there.
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
# A class may be rare in two ways: in few pictures, or in few pixels of each. This table
# shows the first; the figure above shows both together, as a share of all pixels.
#
# ```{solution-end}
# ```

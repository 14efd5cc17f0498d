# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
#   unet_tutorial:
#     needs: []
#     study: true
#     seconds: {ci: 15, laptop: 900, full: 3600}
# ---

# %% [markdown]
# # What a smaller picture costs
#
# After this chapter you can tell what a perfect answer would score at the size at which your
# network works, before you train it, and choose between smaller pictures and parts of pictures.
#
# *You need:* {doc}`07_scratch` and {doc}`11_seeds`.

# %% tags=["parameters"]
profile = "laptop"  # the profile's name, shown under results
data_dir = "data/town-laptop"  # folder with pairs of image and mask
out_dir = "_build/laptop"  # folder for runs and results
size = [96, 128]  # height and width of the pictures in the other chapters
part_size = [120, 160]  # height and width of smaller pictures, and of parts
part_epochs = 15  # times through the training pictures
part_batch = 2  # pictures or parts per step
base_channels = 16  # width of the first block of the network from scratch
learning_rate = 0.0005  # of Adam, as in the report; at its highest twice as much here
seed = 0  # decides weights and order

# %% [markdown]
# To save time the networks of this book look at pictures smaller than the camera's. A pole
# that is three pixels wide is then one or two wide, and one of a single pixel is often gone.
# {doc}`10_plateau` taught to look at what a perfect answer scores before one trusts a loss. The
# same holds for a size.
#
# ## A perfect answer at a smaller size
#
# The masks of the test pictures have {result}`14_resolution.own` pixels, and networks are
# scored at that size. Let oracles stand in for the network: they answer at a smaller size
# without a mistake, and their answers are enlarged as a network's are.
#
# The first two know a reduced mask, in which each small pixel has the class of a single one of
# those that it stands for. *corner* takes the upper left of these, as torch does where it says
# *nearest*. *middle* takes the one in the middle, as this library does: that is where the small
# pixel of the reduced picture lies. The third knows which share of each small pixel every class
# has.
#
# Compare the three at one size, and each of them over the sizes:

# %%
from pathlib import Path

import pandas as pd
import torch
from torch.nn import functional

from unet_tutorial import plots
from unet_tutorial.classes import LYFT
from unet_tutorial.data.pairs import find_pairs, read_pair
from unet_tutorial.data.split import split_pairs
from unet_tutorial.metrics import ConfusionMatrix

test = split_pairs(find_pairs(Path(data_dir)))["test"]
masks = [torch.tensor(read_pair(pair)[1]) for pair in test]
own_size = tuple(masks[0].shape)


def answer_of_oracle(mask, size, way):
    """The true mask, reduced to a size and enlarged again as answers are."""
    layers = functional.one_hot(mask.long(), len(LYFT)).permute(2, 0, 1)[None]
    small = functional.interpolate(layers.float(), size, mode=way)
    return functional.interpolate(small, mask.shape, mode="bilinear")[0].argmax(dim=0)


def score_oracle(size, way):
    confusion = ConfusionMatrix(len(LYFT))
    for mask in masks:
        confusion.update(answer_of_oracle(mask, size, way), mask)
    return confusion


WAYS = {"corner": "nearest", "middle": "nearest-exact", "shares": "area"}
larger = tuple(side * 4 // 5 for side in own_size)
ROADS = LYFT.names.index("Roads")
oracles = pd.DataFrame(
    {
        "size": f"{asked[0]} x {asked[1]}",
        "oracle": name,
        "mIoU": confusion.miou(),
        "road IoU": confusion.iou()[ROADS].item(),
    }
    for asked in (tuple(size), tuple(part_size), larger)
    for name, way in WAYS.items()
    for confusion in [score_oracle(asked, way)]
)
oracles.round(3)

# %% [markdown]
# At {result}`14_resolution.usual`, the size of most chapters, the corner scores an mIoU of
# {result}`14_resolution.oracle.usual corner:.3f`, the middle
# {result}`14_resolution.oracle.usual middle:.3f` and the shares
# {result}`14_resolution.oracle.usual shares:.3f`. At {result}`14_resolution.larger` it is
# {result}`14_resolution.oracle.larger corner:.3f`,
# {result}`14_resolution.oracle.larger middle:.3f` and
# {result}`14_resolution.oracle.larger shares:.3f`. Roads, which are large, lose less than the
# mean.
#
# What lies between corner and middle is no loss of detail but a mistake: the whole mask lies
# beside its picture. A network would learn that, too. (At half of a size there is nothing between
# the two: no pixel stands in the middle of four, and either lies half a pixel beside it.) When
# you reduce masks of your own, see that they are reduced around the same points as the pictures.
#
# The other two are marks, not limits. A network that has learned the reduced masks by heart
# scores as the middle. One that is sure in the middle of things and doubts at their edges can
# do better: its logits are enlarged before the largest is chosen, so that an edge may fall
# inside a small pixel. A network near these marks is held back by the size of its answer. One
# far below them loses more elsewhere, and that may still be the size: the oracle knows the
# mask, where a network must recognise things in a reduced picture.
#
# Where do the masks lose? Look at poles, lines and edges in the centre of three of them:

# %% mystnb={"image": {"alt": "The central part of three test pictures and of their masks, and the masks enlarged again from smaller sizes: thin poles, signs and lines break up, vanish or grow wider, edges of roads and walls become stairs."}, "figure": {"caption": "The central part of three test pictures and their masks, and the masks after they were reduced by their middle pixels and enlarged again.", "name": "fig-resolution-oracle"}}
view = tuple(slice(side // 4, side * 3 // 4) for side in own_size)
rows = []
for pair in test[:: max(len(test) // 3, 1)][:3]:
    image, mask = read_pair(pair)
    answers = [
        answer_of_oracle(torch.tensor(mask), asked, "nearest-exact").numpy()
        for asked in (larger, tuple(size))
    ]
    rows.append([shown[view] for shown in (image, mask, *answers)])
figure = plots.plot_grid(
    rows,
    ["picture", "mask", *(f"from {h} x {w}" for h, w in (larger, size))],
)

# %% [markdown]
# Areas lose a seam along their edges; poles, signs and lines are little else than edges.
#
# ## Smaller pictures, or parts of them?
#
# A network that is made of convolutions takes pictures of any size. So it can learn from parts
# of pictures at their own size, from another place each time, and answer for whole ones:
# `Config(..., crop=...)`, or `--crop` on the command line. A training step on parts takes as
# long as one on smaller pictures of as many pixels. A part shows each pole as wide as it is, and
# less of the street around it.
#
# The network from scratch is trained three times for {result}`14_resolution.epochs` epochs,
# with batches of {result}`14_resolution.batch` and a learning rate that falls along a cosine:
#
# - *smaller*: on whole pictures of {result}`14_resolution.part`,
# - *parts*: on parts of {result}`14_resolution.part` at their own size,
# - *own size*: on whole pictures of {result}`14_resolution.own`.
#
# All three make the same number of steps; the third sees more pixels in each. Where the first
# has other proportions than the pictures, these are squeezed as well.

# %%
from dataclasses import replace

from unet_tutorial.prediction import Predictor, score
from unet_tutorial.runs import Config
from unet_tutorial.training import fit

smaller = Config(
    "scratch",
    tuple(part_size),
    part_epochs,
    2 * learning_rate,
    part_batch,
    seed,
    base_channels,
    schedule="cosine",
)
whole = replace(smaller, size=own_size)
configs = {
    "smaller": smaller,
    "parts": replace(whole, crop=tuple(part_size)),
    "own size": whole,
}


def train_and_score(config, name):
    folder = Path(out_dir, f"runs/resolution-{name}")
    run = fit(config, Path(data_dir), folder, overwrite=True)
    return run, score(Predictor(run), test)[0]


outcomes = {
    name: train_and_score(config, name.replace(" ", "-"))
    for name, config in configs.items()
}

# %% [markdown]
# What does each reach, and in what time?


# %%
def row_of(run, scores):
    iou = {name: values["iou"] for name, values in scores["per_class"].items()}
    return {
        "mIoU": scores["miou"],
        "accuracy": scores["pixel_accuracy"],
        "road F0.5": scores["road_f05"],
        "vehicle F2": scores["vehicle_f2"],
        "road IoU": iou["Roads"],
        "vehicle IoU": iou["Vehicles"],
        "line IoU": iou["RoadLines"],
        "sidewalk IoU": iou["Sidewalks"],
        "minutes": run.manifest["seconds"] / 60,
    }


table = pd.DataFrame({name: row_of(*outcome) for name, outcome in outcomes.items()})
table.round(3)

# %% [markdown]
# On smaller pictures the mIoU is {result}`14_resolution.scores.smaller.mIoU:.3f`, where the
# middle has {result}`14_resolution.oracle.part middle:.3f` and the shares
# {result}`14_resolution.oracle.part shares:.3f`. At half of the size the middle lies beside its
# picture, as said above, and lacks more than the size costs; the shares do not. What the network
# lacks to them is in the published run by far the larger loss. Is that due to the size as well?
#
# On parts the mIoU is {result}`14_resolution.scores.parts.mIoU:.3f`, and at the pictures' own
# size, where an oracle scores 1, {result}`14_resolution.scores.own size.mIoU:.3f`. In the published
# runs that network lacks as much to its oracle as the first to the shares: little of what is missing
# is due to the size. One run each;
# by {doc}`11_seeds`, what lies close together may come out the other way with another seed.
#
# Vehicle IoU counts the hood of the camera's own car, and vehicle F2 does not. In the published
# runs parts have a higher F2 than smaller pictures and a lower IoU: more of the other cars is
# found, and a part of the hood is lost.
#
# The minutes include the validation after each epoch, which for parts is on whole pictures.
#
# Does any class gain from the parts? And which lose most?

# %% mystnb={"image": {"alt": "Horizontal bars of the IoU of each class for the network from scratch, trained on smaller pictures, on parts, and on whole pictures at their own size."}, "figure": {"caption": "IoU of each class on the test pictures: the U-Net from scratch, trained on smaller pictures, on parts of the same number of pixels, and on whole pictures at their own size.", "name": "fig-resolution-classes"}}
per_class = pd.DataFrame(
    {"class": name, "model": label, "iou": values["iou"]}
    for label, (_, scores) in outcomes.items()
    for name, values in scores["per_class"].items()
)
figure = plots.plot_per_class(per_class)

# %% [markdown]
# Lines on the road have an IoU of {result}`14_resolution.scores.smaller.line IoU:.3f` on smaller
# pictures, {result}`14_resolution.scores.parts.line IoU:.3f` on parts and
# {result}`14_resolution.scores.own size.line IoU:.3f` at their own size. Sidewalks have
# {result}`14_resolution.scores.smaller.sidewalk IoU:.3f`,
# {result}`14_resolution.scores.parts.sidewalk IoU:.3f` and
# {result}`14_resolution.scores.own size.sidewalk IoU:.3f`. In the published runs lines are the only
# class that gains from parts. Walls and sidewalks lose most, and signs are no longer found, though
# parts show them at their own size.
#
# A class that gains both from parts and from own size, as lines do, would gain from the size of
# things. One that gains from own size alone, as poles and signs do, needs more than that. One that
# gains from neither is not held back by the size.
#
# Parts lack the whole picture: what surrounds a thing, where in the picture it stands (many parts
# show no hood), and pixels in each step. And in the published runs a part has fewer rows than the
# field of the network ({doc}`04_unet`): in training every logit sees padding beside the part, on
# whole pictures those in the middle do not. Both parts of a step, moreover, were cut at the same
# place there; a run that is made now draws a place for each. These runs cannot tell the five apart.
#
# A larger picture has its price for the network, too. The field that a logit depends on
# ({doc}`04_unet`) stays as it is, and covers less of the street the more pixels that has. One
# more halving widens it: the ResNet34 has it, and `UNet(depth=5)` would. Whether it helps is not
# measured here.

# %% tags=["remove-cell"]
from unet_tutorial.runs import save_results

kinds = [f"{name} {oracle}" for name in ("usual", "part", "larger") for oracle in WAYS]
save_results(
    out_dir,
    "14_resolution",
    profile,
    data_dir,
    epochs=part_epochs,
    batch=part_batch,
    **{
        name: f"{height} x {width}"
        for name, (height, width) in (
            ("usual", size),
            ("part", part_size),
            ("larger", larger),
            ("own", own_size),
        )
    },
    oracle=dict(zip(kinds, oracles["mIoU"])),
    scores=table.to_dict(),
)

# %% [markdown]
# ## Summary
#
# - Ask what a perfect answer would score at a size before you judge a network that works at it.
# - Reduce pictures and masks around the same points.
# - Where whole pictures take too long, there are smaller ones and parts. Parts keep thin things
#   as wide as they are, and take the whole picture away. Try both, and compare class by class.
#
# ## Exercises

# %% [markdown]
# ```{exercise}
# :label: ex-resolution-1
# Suppose a network answers each test picture with its reduced mask. At what size would roads
# have an IoU of 0.98?
# ```
#
# ```{solution-start} ex-resolution-1
# :class: dropdown
# ```

# %%
for tenths in range(4, 11):
    asked = tuple(side * tenths // 10 for side in own_size)
    iou = score_oracle(asked, "nearest-exact").iou()[ROADS].item()
    print(f"{asked[0]} x {asked[1]}: road IoU {iou:.3f}")

# %% [markdown]
# Take the smallest size from which on every number is at least that. The numbers need not rise
# from size to size, since where the middle pixels fall changes with each. A road is among the
# largest things in a picture; what is lost lies along its edges and its lines.
#
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-resolution-2
# How far beside the true mask does the answer of the first oracle lie? Move it up and to the
# left by one pixel and by two, and score it again.
# ```
#
# ```{solution-start} ex-resolution-2
# :class: dropdown
# ```

# %%
for pixels in range(3):
    confusion = ConfusionMatrix(len(LYFT))
    for mask in masks:
        answer = answer_of_oracle(mask, size, "nearest")
        confusion.update(answer.roll((-pixels, -pixels), dims=(0, 1)), mask)
    print(f"moved by {pixels}: mIoU {confusion.miou():.3f}")

# %% [markdown]
# If the picture is reduced by a whole factor $s$, the upper left of the pixels that a small one
# stands for lies $(s-1)/2$ pixels beside their middle, and so does the answer. By another factor
# it is a little more, since the place is rounded down: for $s = 5/2$ it is $3/4$ and $5/4$ pixels
# in turn. The number is highest for the whole number of pixels nearest to the mean of that.
#
# ```{solution-end}
# ```

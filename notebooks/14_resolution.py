# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
#   unet_tutorial:
#     needs: []
#     study: true
#     seconds: {ci: 15, laptop: 4000, full: 7200}
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
part_size = [128, 160]  # height and width of smaller pictures, and of parts
part_epochs = 30  # times through the training pictures
part_batch = 2  # pictures or parts per step
base_channels = 16  # width of the first block of the network from scratch
learning_rate = 0.0005  # of Adam, as in the report; at its highest twice as much here
seed = 0  # decides weights, order and mirroring

# %% [markdown]
# To save time the networks of this book look at pictures smaller than the camera's. A pole
# that is three pixels wide is then one pixel wide, or gone. {doc}`10_plateau` taught to look at
# what a perfect answer scores before one trusts a loss. The same holds for a size.
#
# ## A perfect answer at a smaller size
#
# The masks of the test pictures have {result}`14_resolution.own` pixels, and networks are
# scored at that size. Let an oracle stand in for the network. It answers at a smaller size
# without a mistake, and its answer is enlarged as a network's is. There are two of them: one
# knows the mask that a network is shown in training, where each small pixel has the class of
# one of those that it stands for; the other knows the share of each class in each small pixel.
# What do they score?

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
    for name, way in (("masks", "nearest"), ("shares", "area"))
    for confusion in [score_oracle(asked, way)]
)
oracles.round(3)

# %% [markdown]
# At {result}`14_resolution.usual`, the size of most chapters, the reduced masks themselves
# score an mIoU of {result}`14_resolution.oracle.usual masks:.3f`, and the shares
# {result}`14_resolution.oracle.usual shares:.3f`. At {result}`14_resolution.larger` it is
# {result}`14_resolution.oracle.larger masks:.3f` and
# {result}`14_resolution.oracle.larger shares:.3f`. A network is trained on masks of the first
# kind. Whose class a small pixel has is a matter of chance there, so that the best that can be
# learned are the shares: the limit of a network lies between the two.
#
# Where is it lost? Parts of three masks, as they are and from two sizes:

# %% mystnb={"image": {"alt": "A part of a mask at its own size and enlarged again from smaller sizes: thin poles, signs and lines break up or vanish, edges of roads and walls become stairs."}, "figure": {"caption": "The middle of three test pictures and their masks; then the masks after they were reduced and enlarged again.", "name": "fig-resolution-oracle"}}
view = tuple(slice(side // 4, side * 3 // 4) for side in own_size)
rows = []
for pair in test[:: max(len(test) // 3, 1)][:3]:
    image, mask = read_pair(pair)
    answers = [
        answer_of_oracle(torch.tensor(mask), asked, "nearest").numpy()
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
# `Config(..., crop=...)`, or `--crop` on the command line. A part takes as long as a smaller
# picture of as many pixels. It keeps each pole as wide as it is, and shows less of the street
# around it.
#
# The network from scratch is trained three times for {result}`14_resolution.epochs` epochs,
# with batches of {result}`14_resolution.batch` and a learning rate that falls along a cosine:
# on whole pictures of {result}`14_resolution.part`, on parts of {result}`14_resolution.part`
# at their own size, and on whole pictures at their own size, which takes a multiple of the time.

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
# On smaller pictures the mIoU is {result}`14_resolution.scores.smaller.mIoU:.3f`, on parts
# {result}`14_resolution.scores.parts.mIoU:.3f`, on whole pictures at their own size
# {result}`14_resolution.scores.own size.mIoU:.3f`. One run each; by {doc}`11_seeds`, what lies close
# together may come out the other way with another seed. Which classes gain from the parts, and
# which lose?


# %% mystnb={"image": {"alt": "Horizontal bars of the IoU of each class for the network from scratch, trained on smaller pictures, on parts, and on whole pictures at their own size."}, "figure": {"caption": "IoU of each class on the test pictures: the U-Net from scratch, trained on smaller pictures, on parts of the same number of pixels, and on whole pictures at their own size.", "name": "fig-resolution-classes"}}
def per_class_of(outcomes):
    return pd.DataFrame(
        {"class": name, "model": label, "iou": values["iou"]}
        for label, (_, scores) in outcomes.items()
        for name, values in scores["per_class"].items()
    )


figure = plots.plot_per_class(per_class_of(outcomes))

# %% [markdown]
# The lines on the road have an IoU of {result}`14_resolution.scores.smaller.line IoU:.3f` on smaller
# pictures and of {result}`14_resolution.scores.parts.line IoU:.3f` on parts: at their own size they can
# be seen. Sidewalks go from {result}`14_resolution.scores.smaller.sidewalk IoU:.3f` to
# {result}`14_resolution.scores.parts.sidewalk IoU:.3f`. What a grey surface is, is told by its
# surroundings, and of these a part shows less.
#
# ## How far does the network see?
#
# A logit depends on the pixels that convolutions and pooling connect it with: its **receptive
# field**. We find it by asking which pixels have a gradient, for the network from scratch with
# random weights and a logit in the middle of a large picture:

# %%
from unet_tutorial.models.unet import UNet

torch.manual_seed(seed)
network = UNet(num_classes=len(LYFT), base_channels=4).eval()
picture = torch.rand(1, 3, 512, 512, requires_grad=True)
network(picture)[0, :, 256, 256].sum().backward()
seen = (picture.grad[0].abs().sum(dim=0) > 0).nonzero()
field = int((seen[:, 0].max() - seen[:, 0].min() + 1).item())
print(f"{field} x {field} pixels")

# %% [markdown]
# Hold that square of {result}`14_resolution.field` pixels against {result}`14_resolution.part`,
# the smaller pictures, and against {result}`14_resolution.own`: the larger the picture, the less
# of the street a logit can take into account, and the outer pixels of the square have little
# weight. A network for larger pictures should be deeper, as the ResNet34 is.
#
# ## Both networks at the pictures' own size
#
# The ResNet34 network, from random weights, by the same recipe. Do the losses of training
# (dashed) and validation (solid) part?

# %% mystnb={"image": {"alt": "Above, the training loss (dashed) and validation loss (solid) of both networks over the epochs; below, the validation mIoU of both."}, "figure": {"caption": "Both networks on whole pictures at their own size, from random weights.", "name": "fig-resolution-losses"}}
outcomes["ResNet34"] = train_and_score(replace(whole, model="resnet34"), "resnet34")
both = {
    plots.MODEL_TITLES["scratch"]: outcomes["own size"],
    plots.MODEL_TITLES["resnet34"]: outcomes["ResNet34"],
}
figure = plots.plot_losses({name: run.history for name, (run, _) in both.items()})

# %%
table["ResNet34"] = row_of(*outcomes["ResNet34"])
table[["own size", "ResNet34"]].round(3)

# %% [markdown]
# From scratch the mIoU is {result}`14_resolution.scores.own size.mIoU:.3f`, with the ResNet34
# {result}`14_resolution.scores.ResNet34.mIoU:.3f`; {doc}`11_seeds` has
# {result}`11_seeds.scratch.miou.mean:.3f` and {result}`11_seeds.resnet34.miou.mean:.3f` by the
# report's recipe. Besides the size, the batch and the learning rate differ.

# %% mystnb={"image": {"alt": "Horizontal bars of the IoU of each class for both networks on whole pictures at their own size."}, "figure": {"caption": "IoU of each class on the test pictures, both networks at the pictures' own size, from random weights.", "name": "fig-resolution-both"}}
figure = plots.plot_per_class(per_class_of(both))

# %% [markdown]
# What is still missing at this size is not lost to it. Rare classes in few pixels, such as
# pedestrians, want more scenes and more epochs.
#
# Typical test pictures, evenly spaced:

# %% mystnb={"image": {"alt": "Four test pictures in rows, each with its true mask and the answers of both networks, which are trained on whole pictures at their own size."}, "figure": {"caption": "Four test pictures, evenly spaced, their masks and both answers, at the pictures' own size. Both networks started from random weights.", "name": "fig-resolution-pictures"}}
predictors = [Predictor(run) for run, _ in both.values()]
figure = plots.plot_grid(
    [
        [image, mask, *(predictor.mask(image) for predictor in predictors)]
        for image, mask in map(read_pair, test[:: max(len(test) // 4, 1)][:4])
    ],
    ["picture", "mask", "from scratch", "ResNet34"],
)

# %% tags=["remove-cell"]
from unet_tutorial.runs import save_results

kinds = [
    f"{name} {oracle}"
    for name in ("usual", "part", "larger")
    for oracle in ("masks", "shares")
]
save_results(
    out_dir,
    "14_resolution",
    profile,
    data_dir,
    epochs=part_epochs,
    batch=part_batch,
    field=field,
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
# - Parts of pictures show thin things at their width, and less of what surrounds them.
# - Whole pictures at their own size show both, and take their time.
#
# ## Exercises

# %% [markdown]
# ```{exercise}
# :label: ex-resolution-1
# A network shall find roads with an IoU of 0.98, scored at the masks' own size, and does not
# make a mistake on the masks that it learns from. How large must its pictures be?
# ```
#
# ```{solution-start} ex-resolution-1
# :class: dropdown
# ```

# %%
for tenths in range(4, 11):
    asked = tuple(side * tenths // 10 for side in own_size)
    iou = score_oracle(asked, "nearest").iou()[ROADS].item()
    print(f"{asked[0]} x {asked[1]}: road IoU {iou:.3f}")

# %% [markdown]
# The first size in the list from which on no number is below that would do. A road is among
# the largest things in a picture; what is lost lies along its edges and its lines.
#
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-resolution-2
# Work out the receptive field by hand. A convolution of 3 x 3 adds the distance between
# neighbouring values, in pixels, on either side; pooling doubles that distance.
# ```
#
# ```{solution-start} ex-resolution-2
# :class: dropdown
# ```
#
# Going down, two convolutions at each of the distances 1, 2, 4, 8 add
# $2 \cdot (1 + 2 + 4 + 8) = 30$ pixels to either side, and the bridge $2 \cdot 16 = 32$. Going
# up, two convolutions at each of 8, 4, 2, 1 add 30 again. So 92 pixels on either side and the
# one in the middle make $2 \cdot 92 + 1 = 185$. Pooling takes its values from whole squares, so
# that a few more are found; how many depends on the place of the middle in its square.
#
# ```{solution-end}
# ```

# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
#   unet_tutorial:
#     needs: []
#     study: true
#     seconds: {ci: 20, laptop: 2000, full: 4800}
# ---

# %% [markdown]
# # Why the report's loss stays at 0.74
#
# After this chapter you can say what a loss can reach before anything is trained,
# narrow down how somebody else's loss may have been computed, and tell a network that does
# not learn from a loss that does not show it.
#
# *You need:* {doc}`05_dice_loss` and {doc}`06_training`.

# %% tags=["parameters"]
profile = "laptop"  # the profile's name, shown under results
data_dir = "data/town-laptop"  # folder with pairs of image and mask
out_dir = "_build/laptop"  # folder for runs and results
plateau_size = [48, 64]  # height and width at which this network sees the pictures
plateau_batch = 1  # pictures per step
plateau_epochs = 100  # as in the report
learning_rate = 0.0005  # of Adam, as in the report
base_channels = 16  # width of the network's first block
seed = 0  # decides weights and order

# %% [markdown]
# ## What the report says
#
# The report trains with the Dice loss for 100 epochs and prints it twice for each
# network:
#
# | | first epoch | last epoch |
# | --- | --- | --- |
# | U-Net from scratch, training | {result}`report.scratch.first:.3f` | {result}`report.scratch.last:.3f` |
# | ResNet34 U-Net, training | {result}`report.resnet34.first:.3f` | {result}`report.resnet34.last:.3f` |
# | ResNet34 U-Net, validation | {result}`report.resnet34.val_first:.3f` | {result}`report.resnet34.val_last:.3f` |
#
# A Dice loss of 0.74 would mean a Dice coefficient of about a quarter, averaged over the
# classes: a network that finds little after a hundred epochs. Is it so? The report gives no IoU and
# no accuracy, it does not publish its code, and only its text was at hand for this page, without the
# pictures of its predictions. What it says is that the last layer of its network is a softmax.
#
# So for each way in which the loss may have been computed, a *reading*, we ask two values: that of a
# uniform guess, where learning begins, and that of a perfect answer, where it could end. A reading
# fits if the report's values lie between the two, the last ones near the lower.
#
# ## An interval for each reading
#
# Let there be $C$ classes, of which $K$ occur in the batch, and let class $c$ cover the
# share $s_c$ of the pixels. Let the loss see the value $a$ for class $c$ on the pixels of that
# class, and $b$ on all others. Then the Dice coefficient of the class is
#
# $$
# \mathrm{Dice}_c = \frac{2\,a\,s_c}{a^q s_c + b^q (1 - s_c) + s_c}
# $$
#
# For $q = 1$, $a s_c$ is the overlap, $a s_c + b (1 - s_c)$ the size of the answer and $s_c$ that of
# the mask. For $q = 2$ the values are squared below the line, as in the paper that brought the
# loss to segmentation {cite}`milletari2016`. The report's formula has the sizes of two sets there,
# and does not say how the size of a soft answer is measured.
#
# A reading is made of three choices. The first is what the loss sees:
#
# | the loss sees | perfect: $a$, $b$ | uniform: $a = b$ |
# | --- | --- | --- |
# | one softmax | $1$, $0$ | $1/C$ |
# | softmax twice | $\frac{e}{e + C - 1}$, $\frac{1}{e + C - 1}$ | $1/C$ |
# | sigmoid of a softmax | $\sigma(1)$, $\sigma(0)$ | $\sigma(1/C)$ |
#
# A second softmax sees 1 for the right class and 0 for the others, and makes $e^1$ of the one and
# $e^0$ of each other, divided by their sum. The sigmoid is $\sigma(x) = 1/(1 + e^{-x})$.
#
# The second choice is $q$, and the third is how the classes are put together. With $D$ the sum of
# $1 - \mathrm{Dice}_c$ over the $K$ classes that are present, the loss is
#
# - *present*: $D/K$, the mean over those,
# - *absent as 0*: $D/C$, a mean over all to which absent ones add nothing,
# - *absent as lost*: $(D + C - K)/C$, a mean over all to which each absent one adds 1,
# - *one set*: 1 minus a single coefficient, for which the overlaps and the sizes of all classes are
#   added up first.
#
# That makes twenty-four readings. Two of them are no invention: the Dice loss of
# segmentation-models-pytorch takes logits unless it is told otherwise, applies the softmax (or, in
# its `multilabel` mode, the sigmoid) itself, and divides by the number of all classes, absent ones
# adding 0. Fed by a network that ends in a softmax, it takes the softmax twice.
#
# One more reading needs no row. If each pixel's answer is made hard before the loss, 1 for its
# likeliest class and 0 for the others, a perfect answer has $a = 1$ and $b = 0$, and a guess at
# random is right on $1/C$ of each class: that is one softmax again. (Nor could a network learn from
# it, since the choice of the likeliest has no gradient.)

# %%
import numpy as np

SEES = {
    "one softmax": lambda p: p,
    "softmax twice": lambda p: np.exp(p) / np.exp(p).sum(axis=0),
    "sigmoid of a softmax": lambda p: 1 / (1 + np.exp(-p)),
}
CLASSES = ("present", "absent as 0", "absent as lost", "one set")


def values(sees, C):
    """What the loss sees: (a, b) of a perfect answer, and of a uniform guess."""
    perfect, uniform = SEES[sees](np.eye(C)[0]), SEES[sees](np.full(C, 1 / C))
    return perfect[:2], uniform[:2]


def put_together(overlap, sizes, present, classes):
    """One loss from the overlap and the two sizes' sum of each class."""
    if classes == "one set":
        return 1 - 2 * overlap.sum() / sizes.sum()
    lost = 1 - 2 * overlap[present] / sizes[present]
    absent = len(overlap) - len(lost)
    if classes == "present":
        return lost.mean()
    return (lost.sum() + absent * (classes == "absent as lost")) / len(overlap)


def loss_of(shares, a, b, q, classes):
    """The loss for the shares [C] of the classes, 0 for those that are absent."""
    sizes = a**q * shares + b**q * (1 - shares) + shares
    return put_together(a * shares, sizes, shares > 0, classes)


# %% [markdown]
# Does the formula hold? We take a mask of the town and hold the formula against sums over its
# pixels, for all twenty-four readings, and against losses as they are used, where there is one: ours
# and those of segmentation-models-pytorch. `DiceLoss` wants logits; the logarithms of probabilities
# are such, for the softmax turns them back. Of hard answers the last line has a guess: thirteen
# copies of the picture, each answered by another class throughout.

# %%
from itertools import product
from pathlib import Path

import segmentation_models_pytorch as smp
import torch
from torch.nn import functional

from unet_tutorial.data.cache import open_set
from unet_tutorial.data.split import split_pairs
from unet_tutorial.losses import DiceLoss, dice_sums, soft_dice

data = open_set(Path(data_dir), tuple(plateau_size))
parts = split_pairs(data.pairs)
train, val = data.frames(parts["train"]), data.frames(parts["val"])
masks = train.masks[train.rows].long()


def shares_of(mask):
    return np.bincount(mask.flatten().numpy(), minlength=13) / mask.numel()


mask = masks[:1]
hot = functional.one_hot(mask, 13).movedim(-1, 1).float()
answers = (hot, torch.full_like(hot, 1 / 13))
readings = list(product(SEES, CLASSES, (1, 2)))
largest = 0.0
for sees, classes, q in readings:
    for answer, ab in zip(answers, values(sees, 13)):
        maps, true = (x[0].flatten(1).double().numpy() for x in (answer, hot))
        maps = SEES[sees](maps)
        overlap, sizes = (maps * true).sum(axis=1), (maps**q + true).sum(axis=1)
        summed = put_together(overlap, sizes, true.any(axis=1), classes)
        formula = loss_of(shares_of(mask), *ab, q, classes)
        largest = max(largest, abs(formula - summed))
print(f"{len(readings)} readings: formula and sums differ by {largest:.0e} at most")

in_use = {
    ("one softmax", "present"): lambda p: DiceLoss()((p + 1e-30).log(), mask),
    ("one softmax", "absent as 0"): lambda p: smp.losses.DiceLoss(
        "multiclass", from_logits=False
    )(p, mask),
    ("softmax twice", "present"): lambda p: DiceLoss()(p, mask),
    ("softmax twice", "absent as 0"): lambda p: smp.losses.DiceLoss("multiclass")(
        p, mask
    ),
    ("sigmoid of a softmax", "absent as 0"): lambda p: smp.losses.DiceLoss(
        "multilabel"
    )(p, hot),
}
for (sees, classes), function in in_use.items():
    for answer, ab in zip(answers, values(sees, 13)):
        formula = loss_of(shares_of(mask), *ab, 1, classes)
        measured = function(answer).item()
        largest = max(largest, abs(formula - measured))
        title = f"{sees}, {classes}"
        print(f"{title:33} formula {formula:.5f}  measured {measured:.5f}")

each_class = torch.eye(13)[:, :, None, None].expand(-1, -1, *mask.shape[1:])
here = hot.sum((0, 2, 3)) > 0
hard = 1 - soft_dice(dice_sums(each_class, mask.expand(13, -1, -1)))[here].mean().item()
formula = loss_of(shares_of(mask), 1 / 13, 1 / 13, 1, "present")
largest = max(largest, abs(formula - hard))
print(f"{'hard answers':33} formula {formula:.5f}  measured {hard:.5f}")

# %% [markdown]
# Formula and measurement agree to {result}`10_plateau.largest_difference:.0e`. The
# difference is rounding.
#
# Now the intervals, for masks in which 13, 12, 11 and 10 of the 13 classes occur. The
# shares are those of the training masks with so many classes. A star marks an interval that
# holds all three of the report's last values, two stars one that holds the first ones as well. Where
# do they stand?

# %%
import json

import pandas as pd

report = json.loads(Path("book/results/report.json").read_text())
stated = [
    (report["scratch"]["first"], report["scratch"]["last"]),
    (report["resnet34"]["first"], report["resnet34"]["last"]),
    (report["resnet34"]["val_first"], report["resnet34"]["val_last"]),
]
all_shares = [shares_of(mask) for mask in masks]
intervals = {}
for (sees, classes, q), present in product(readings, (13, 12, 11, 10)):
    some = [shares for shares in all_shares if (shares > 0).sum() == present]
    if some:
        intervals[sees, classes, q, present] = tuple(
            float(np.mean([loss_of(shares, *ab, q, classes) for shares in some]))
            for ab in values(sees, 13)
        )


def stars(low, high):
    first, last = (all(low <= x <= high for x in given) for given in zip(*stated))
    return last * (1 + first) * "*"


told = {
    key: f"{low:.3f} to {high:.3f} {stars(low, high)}"
    for key, (low, high) in intervals.items()
}
table = pd.Series(told).unstack(sort=False).fillna("")
table.rename_axis(index=["the loss sees", "classes", "q"], columns="of 13:")

# %% mystnb={"image": {"alt": "Horizontal bars, one for each reading with a second softmax or a sigmoid, from the loss of a perfect answer to that of a uniform guess; vertical lines mark the report's first and last losses."}, "figure": {"caption": "Between which values the readings of the loss can move if eleven of the 13 classes occur, from a perfect answer (left end) to a uniform guess (right end), and what the report prints (lines: last epoch solid, first epoch dashed). Those of one softmax are left out: nearly all of them begin at 0.", "name": "fig-intervals"}}
from unet_tutorial import plots

figure = plots.plot_intervals(
    {
        f"{sees}, {classes}{', squared' if q == 2 else ''}": interval
        for (sees, classes, q, present), interval in intervals.items()
        if present == 11 and sees != "one softmax"
    },
    {
        "report, last epoch": [last for _, last in stated],
        "report, first epoch": [first for first, _ in stated],
    },
    "Dice loss",
)

# %% [markdown]
# In the published run stars stand at each of the three things that the loss may see. Most readings
# can be left aside all the same:
#
# - *One softmax, and hard answers.* A perfect answer has a loss of 0, or of what the absent classes
#   add, so that a network that stops at 0.74 would hardly have learned. The numbers alone cannot
#   exclude that. But below, one softmax takes our network far down in a quarter of the epochs, and
#   nothing that the report says of its training tells why its network should stop so early.
# - *A second softmax or a sigmoid with $q = 1$, as a mean over present classes, with absent ones as
#   lost, or as one set.* Even a perfect answer stays above the last values. With $q = 2$ so it does
#   where absent ones are lost.
# - *A sigmoid with $q = 1$ and absent classes as 0.* The number of classes can move it to the last
#   values, but its intervals are narrower than every fall in the report,
#   {result}`10_plateau.smallest_fall:.3f` at the least.
# - *Classes as one set with $q = 2$.* The last values lie in the middle of the interval or above,
#   where many pixels would still be wrong after a hundred epochs.
# - *A sigmoid with $q = 2$.* As a mean over eleven present classes it holds what the report says of
#   its network from scratch, and not the first values of its ResNet34. We know of no library that
#   computes it.
#
# Two readings are left, and in both **the softmax is taken twice**. One has $q = 1$ and *absent as 0*,
# as segmentation-models-pytorch has it. With eleven of thirteen classes it runs from
# {result}`10_plateau.eleven.uniform:.3f` for a uniform guess to
# {result}`10_plateau.eleven.perfect:.3f` for a perfect answer, and the report's network from scratch
# goes from {result}`report.scratch.first:.3f` to {result}`report.scratch.last:.3f`: most of it. Its
# ResNet34 begins above the interval, in training and in validation, and its training losses lie
# farther apart than the interval is wide.
#
# The other one has $q = 2$. As a mean over the classes that are present it runs, for eleven, from
# {result}`10_plateau.squared_eleven.uniform:.3f` to {result}`10_plateau.squared_eleven.perfect:.3f`,
# and holds all six values. (With absent classes as 0 it holds them for twelve classes, the last ones
# farther from the end.) It needs a loss that somebody wrote, where the first is a call of a library.
#
# An interval says what can be, and not what a training does. So we ask the trainings.
#
# ```{admonition} Readings, not a proof
# :class: note
# The report's code is not public. What is shown here is which readings its values admit, and that
# the other ones we thought of fit worse. The number of classes in its batches is our inference as
# well.
# ```
#
# ## Trained as in the report
#
# So we train the U-Net from scratch both ways: a softmax at its end, then either the Dice loss of
# segmentation-models-pytorch as it comes or one with squares, Adam at the report's rate, and as many
# epochs. The pictures are small and come one by one, so that about eleven classes occur at a
# time: that we chose. Which size and batch the report used is not known.
#
# `fit` of {doc}`06_training` calls `setup`, which builds network and optimizer, and `learn`,
# which gives a row of the history after each epoch. We call these two ourselves, since the
# network and the loss are our own.

# %%
from torch import nn

from unet_tutorial.classes import LYFT
from unet_tutorial.config import Config
from unet_tutorial.models.unet import UNet
from unet_tutorial.processes import make_fabric
from unet_tutorial.training import learn, setup

present = np.mean([(shares > 0).sum() for shares in all_shares])
print(f"classes in a training mask: {present:.1f} of 13")


class SquaredDiceLoss(nn.Module):
    """As DiceLoss, softmax included, with squares below the line."""

    def forward(self, logits, mask):
        probabilities = logits.softmax(dim=1)
        overlap, _, true = dice_sums(probabilities, mask)
        sizes = dice_sums(probabilities.square(), mask)[1] + true
        return (1 - 2 * overlap / sizes)[true > 0].mean()


class EndsInSoftmax(nn.Module):
    """A network that gives probabilities, as the report's does."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, image):
        return self.network(image).float().softmax(dim=1)


def train_with(loss_function, make_network, epochs):
    config = Config(
        "scratch",
        tuple(plateau_size),
        epochs,
        learning_rate,
        plateau_batch,
        seed,
        base_channels,
    )
    fabric = make_fabric("auto")
    torch.manual_seed(seed)
    state = setup(config, 13, len(train), fabric, make_network())
    on_device = (frames.on(fabric.device) for frames in (train, val))
    rows = learn(state, config, *on_device, LYFT, loss_function, fabric)
    return pd.DataFrame(list(rows))


def unet():
    return UNet(num_classes=13, base_channels=base_channels)


WITH_SOFTMAX = {
    "absent as 0": smp.losses.DiceLoss("multiclass"),
    "squared": SquaredDiceLoss(),
}
twice = {
    name: train_with(loss_function, lambda: EndsInSoftmax(unet()), plateau_epochs)
    for name, loss_function in WITH_SOFTMAX.items()
}
pd.concat({name: history.iloc[[0, -1]] for name, history in twice.items()}).round(4)

# %% [markdown]
# The same network without the softmax at its end learns for a quarter of the epochs,
# with the loss of {doc}`05_dice_loss`, which takes logits.

# %%
once = train_with(DiceLoss(), unet, max(plateau_epochs // 4, 1))
once.iloc[[0, -1]].round(4)

# %% [markdown]
# And the ResNet34, from random weights, with the softmax taken twice, for its first epochs only.
# Does it begin as high as the report's did?

# %%
from unet_tutorial.models.resnet_unet import ResNet34UNet

resnet = {
    name: train_with(
        loss_function,
        lambda: EndsInSoftmax(ResNet34UNet(num_classes=13)),
        max(plateau_epochs // 20, 1),
    )
    for name, loss_function in WITH_SOFTMAX.items()
}
pd.concat(resnet).round(4)

# %% [markdown]
# Look at the crosses, the report's values for its network from scratch: how near do they lie to
# the dashed lines, those of training?

# %% mystnb={"image": {"alt": "Above, the training and validation losses over the epochs for the softmax taken twice, with absent classes as 0 and with squares, and the report's first and last values as crosses. Below, the validation mIoU of both, which rises."}, "figure": {"caption": "The U-Net from scratch, trained with the softmax taken twice, by both readings. Crosses are the report's values for its network from scratch.", "name": "fig-plateau-twice"}}
figure = plots.plot_losses(
    twice, marks=[(1, stated[0][0]), (plateau_epochs, stated[0][1])]
)

# %% [markdown]
# In the published run, with absent classes as 0, the first lies on its line and the last a little
# below it. The squared loss begins far above the first and ends as near to the last.
#
# Now the reading with absent classes as 0 beside the network with one softmax. How much of the scale does each loss use,
# and which network answers better?

# %% mystnb={"image": {"alt": "Above, the training and validation losses over the epochs for the softmax taken twice, in a narrow band, and for the softmax taken once, which fall far. Below, the validation mIoU of both networks."}, "figure": {"caption": "The U-Net from scratch, trained with the softmax taken twice (absent classes as 0) and once.", "name": "fig-plateau"}}
figure = plots.plot_losses(
    {"softmax twice": twice["absent as 0"], "softmax once": once}
)

# %% tags=["remove-cell"]
from unet_tutorial.runs import save_results


def ends(history):
    rows = history[["train_loss", "val_loss", "val_miou", "val_pixel_accuracy"]]
    return {
        "epochs": len(history),
        "first": rows.iloc[0].to_dict(),
        "last": rows.iloc[-1].to_dict(),
    }


def interval_of(*reading):
    """What a perfect answer and a uniform guess have, where eleven classes occur."""
    return dict(
        zip(("perfect", "uniform"), intervals.get((*reading, 11), (None, None)))
    )


def off(history):
    """How far the first and the last training loss lie from the report's."""
    losses = history["train_loss"].iloc[[0, -1]]
    return [abs(float(ours) - theirs) for ours, theirs in zip(losses, stated[0])]


first_off, last_off = zip(*map(off, twice.values()))
save_results(
    out_dir,
    "10_plateau",
    profile,
    data_dir,
    size="x".join(map(str, plateau_size)),
    batch=plateau_batch,
    classes_present=float(present),
    largest_difference=largest,
    smallest_fall=min(first - last for first, last in stated),
    eleven=interval_of("softmax twice", "absent as 0", 1),
    squared_eleven=interval_of("softmax twice", "present", 2),
    twice=ends(twice["absent as 0"]),
    squared=ends(twice["squared"]),
    once=ends(once),
    resnet34=ends(resnet["absent as 0"]),
    squared_resnet34=ends(resnet["squared"]),
    off_first=dict(zip(("absent", "squared"), first_off)),
    off_last=dict(zip(("absent", "squared"), last_off)),
)

# %% [markdown]
# With pictures of {result}`10_plateau.size` and batches of {result}`10_plateau.batch`,
# {result}`10_plateau.classes_present:.1f` of the 13 classes occur in a batch on average. The
# training loss with absent classes as 0 goes from {result}`10_plateau.twice.first.train_loss:.4f` in
# the first epoch to {result}`10_plateau.twice.last.train_loss:.4f` in epoch
# {result}`10_plateau.twice.epochs`; the report's from {result}`report.scratch.first:.4f`
# to {result}`report.scratch.last:.4f`. They lie {result}`10_plateau.off_first.absent:.3f` and
# {result}`10_plateau.off_last.absent:.3f` apart. With squares it goes from
# {result}`10_plateau.squared.first.train_loss:.4f` to
# {result}`10_plateau.squared.last.train_loss:.4f`, which lie
# {result}`10_plateau.off_first.squared:.3f` and {result}`10_plateau.off_last.squared:.3f` from the
# report's. In the published run the first reading has both values of this network, the second only
# the last.
#
# The number of classes was chosen, and with absent ones as 0 it moves both values alike. What does
# not depend on it is the fall from the first to the last. The report's for this network is the
# smallest of its three, {result}`10_plateau.smallest_fall:.3f`, and that of the published run is a
# little smaller still: it comes close to the report's curve and does not make its whole fall. Our
# validation loss goes from {result}`10_plateau.twice.first.val_loss:.4f` to
# {result}`10_plateau.twice.last.val_loss:.4f`; the report gives none for this network.
#
# For the ResNet34 it is the other way round. The report begins with
# {result}`report.resnet34.first:.4f` in training and {result}`report.resnet34.val_first:.4f` in
# validation. Ours begins with {result}`10_plateau.resnet34.first.train_loss:.4f` and
# {result}`10_plateau.resnet34.first.val_loss:.4f` with absent classes as 0, and with
# {result}`10_plateau.squared_resnet34.first.train_loss:.4f` and
# {result}`10_plateau.squared_resnet34.first.val_loss:.4f` with squares; after
# {result}`10_plateau.resnet34.epochs` epochs its training losses are
# {result}`10_plateau.resnet34.last.train_loss:.4f` and
# {result}`10_plateau.squared_resnet34.last.train_loss:.4f`. In the published run the squared loss
# begins near the report's, and the other one below it.
#
# So neither reading has all of the report's values in our setting. Batch, size and pictures of the
# report are not known, and they move the first epoch most: with one picture at a time an epoch has
# many steps, and most of its mean is of a network that has learned already. With the ResNet34 they
# matter in another way, too. At this size its deepest features have two by two positions, so that
# with one picture batch normalisation takes mean and variance over four values, which is not what
# one would choose. What both readings share, the second softmax, explains where the losses end. How
# the classes were put together the numbers do not tell.
#
# While that loss hardly moves, the network learns: its validation mIoU goes from
# {result}`10_plateau.twice.first.val_miou:.3f` to
# {result}`10_plateau.twice.last.val_miou:.3f`, its pixel accuracy from
# {result}`10_plateau.twice.first.val_pixel_accuracy:.3f` to
# {result}`10_plateau.twice.last.val_pixel_accuracy:.3f`. With one softmax the same network
# has an mIoU of {result}`10_plateau.once.last.val_miou:.3f` and an accuracy of
# {result}`10_plateau.once.last.val_pixel_accuracy:.3f` after {result}`10_plateau.once.epochs`
# epochs. In the published run one softmax is thus ahead in both after a quarter of the epochs, and
# by more in the mIoU, which weighs rare classes as much as frequent ones, where the accuracy hardly
# counts them.
#
# The formula says what a second softmax costs. With $b$ above 0, the Dice coefficient of a
# rare class stays near 0 even for a perfect answer, so that finding it hardly lowers the
# loss. (Were the gradients of all classes smaller by the same factor, that would not matter to
# Adam, which divides by their size.) The two losses differ in the absent classes as well, which mainly scales the loss of
# a picture.
#
# ## Summary
#
# - Look at what a perfect answer scores before you trust a loss.
# - An interval is quickly computed, and rules out most readings of a strange value.
# - A loss that hardly moves may belong to a network that learns: look at a score beside it.
#
# ## Exercises

# %% [markdown]
# ```{exercise}
# :label: ex-plateau-1
# How many of the 13 classes must be absent for the second reading, absent classes as
# lost, to give 0.74 for a perfect answer?
# ```
#
# ```{solution-start} ex-plateau-1
# :class: dropdown
# ```
#
# The loss of a perfect answer is $(C - K)/C$. It is 0.74 for $C - K = 0.74 \cdot 13$, so
# between nine and ten classes would be absent, and three or four left. Pictures of
# streets hold more.
#
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-plateau-2
# The losses of your own project stop at some value. Compute for your number of classes
# what a perfect answer scores if the softmax is taken twice, for classes of equal size.
# ```
#
# ```{solution-start} ex-plateau-2
# :class: dropdown
# ```

# %%
for C in (2, 3, 5, 11, 19):
    even = np.full(C, 1 / C)
    perfect, uniform = (
        loss_of(even, *ab, 1, "present") for ab in values("softmax twice", C)
    )
    print(f"{C:3} classes: perfect {perfect:.3f}, uniform guess {uniform:.3f}")

# %% [markdown]
# The more classes, the closer to 1. The gap to a uniform guess is widest for three classes and
# narrows from there.
#
# ```{solution-end}
# ```

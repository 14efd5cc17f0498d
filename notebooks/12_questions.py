# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
#   unet_tutorial:
#     needs: []
#     study: true
#     seconds: {ci: 30, laptop: 1900, full: 6300}
# ---

# %% [markdown]
# # Five questions to a U-Net
#
# After this chapter you can ask what a part of a network is worth: take it away, change
# one thing at a time, and look at several seeds before you believe the answer.
#
# *You need:* {doc}`04_unet` and {doc}`11_seeds`.

# %% tags=["parameters"]
profile = "laptop"  # the profile's name, shown under results
data_dir = "data/town-laptop"  # folder with pairs of image and mask
out_dir = "_build/laptop"  # folder for runs and results
size = [96, 128]  # height and width at which the networks see the pictures
question_epochs = 15  # epochs of each run of this chapter
question_seeds = [0, 1]  # runs of each choice
batch_size = 8  # pictures per step
learning_rate = 0.0005  # of Adam, as in the report
base_channels = 16  # width of the first block, unless width is the question

# %% [markdown]
# All runs of this chapter are short and alike: the U-Net from scratch,
# {result}`12_questions.epochs` epochs with the first recipe of {doc}`11_seeds` (the Dice loss and
# the report's learning rate), {result}`12_questions.seeds` seeds. One thing is changed at a time.
# What is compared is the mIoU of the network after its last epoch on the test pictures, at the
# size at which it sees them; so the values are not those of the other chapters. Nothing in this
# book is chosen by these scores. To choose a width or a loss for yourself, compare on validation
# pictures.

# %%
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from unet_tutorial import plots
from unet_tutorial.classes import LYFT
from unet_tutorial.data.batches import batches
from unet_tutorial.data.cache import open_set
from unet_tutorial.data.split import split_pairs
from unet_tutorial.losses import make_loss
from unet_tutorial.models.unet import UNet
from unet_tutorial.runs import Config
from unet_tutorial.training import evaluate, learn, make_fabric, setup

base = Config(
    "scratch",
    tuple(size),
    question_epochs,
    learning_rate,
    batch_size,
    base_channels=base_channels,
)
data = open_set(Path(data_dir), base.size)
fabric = make_fabric("auto")
train, val, test = (
    data.frames(pairs).on(fabric.device) for pairs in split_pairs(data.pairs).values()
)


def scores_of(config, images=None, network=UNet):
    """Train with each seed; a row with the scores on the test pictures for each."""
    # Fewer pictures are shown as often as all of them would be, all together.
    chosen = torch.arange(len(train)) % (images or len(train))
    rows = []
    for seed in question_seeds:
        config = replace(config, seed=seed)
        torch.manual_seed(seed)
        model = network(num_classes=len(LYFT), base_channels=config.base_channels)
        state = setup(config, len(LYFT), len(train), fabric, model)
        loss_function = make_loss(config.loss)
        for _ in learn(
            state, config, train.take(chosen), val, LYFT, loss_function, fabric
        ):
            pass
        judged = batches(test, batch_size, fabric.device)
        _, confusion = evaluate(state.model, judged, loss_function, LYFT)
        rows.append(
            {
                "seed": seed,
                "miou": confusion.miou(),
                "accuracy": confusion.pixel_accuracy(),
                "parameters": sum(weight.numel() for weight in model.parameters()),
                "seconds": state.seconds,
                **dict(zip(LYFT.names, confusion.iou().tolist())),
            }
        )
    return pd.DataFrame(rows)


def class_scores(choices):
    """The IoU of each class by each choice, in rows for a figure."""
    return pd.concat(
        rows[list(LYFT.names)]
        .melt(var_name="class", value_name="iou")
        .assign(model=name)
        for name, rows in choices.items()
    )


usual = scores_of(base)
usual[["seed", "miou", "accuracy", "seconds"]].round(3)

# %% [markdown]
# These are the runs that the others are compared with: the same settings, other seeds. So few
# seeds can lie close together by luck. Hold each difference against the largest distance between
# the seeds of one choice that you find in this chapter: below it a difference is no evidence, and
# a little above it no more than a hint. The seconds are the clock's: where those of two seeds lie
# far apart, the machine had something else to do.
#
# ## What do the skip connections buy?
#
# We cut them: the decoder sees zeros where the encoder's features would be. The number of
# weights stays, though those that look at zeros do nothing, and the gradient loses its short
# way to the encoder.


# %%
class WithoutSkips(UNet):
    """A U-Net whose decoder must work from the bridge alone."""

    def _forward(self, features):
        skips = []
        for down in self.encoder:
            skip, features = down(features)
            skips.append(torch.zeros_like(skip))
        features = self.bridge(features)
        for up, skip in zip(self.decoder, reversed(skips)):
            features = up(features, skip)
        return self.head(features)


cut = scores_of(base, network=WithoutSkips)

# %% mystnb={"image": {"alt": "Horizontal bars of the IoU of each class for the U-Net with and without skip connections."}, "figure": {"caption": "IoU of each class with and without skip connections: means over the seeds, lines for their standard deviation.", "name": "fig-skips"}}
figure = plots.plot_per_class(class_scores({"with skips": usual, "without skips": cut}))

# %% [markdown]
# With skips the mIoU is {result}`12_questions.usual.mean:.3f`, without them
# {result}`12_questions.cut.mean:.3f`; in the published runs that is farther apart than any two seeds
# of this chapter. Of the classes that are found with
# skips, the IoU of *{result}`12_questions.lost_most`* falls by the most and that of
# *{result}`12_questions.lost_least`* by the least (that of *Vehicles* is mostly the hood). A class
# that is not found without them has lost all it had. Compare roads and poles in the figure: the
# bridge keeps a sixteenth of a picture's height and width, which should hurt thin things more
# than large ones. In the published runs poles and road lines are no longer found, and roads lose
# little.
#
# ## Which loss?
#
# Dice as in the report, the cross-entropy, or their sum {cite}`isensee2021`:

# %% mystnb={"image": {"alt": "Points of the test mIoU for three losses, Dice, cross-entropy and their sum, one point for each seed, and their mean."}, "figure": {"caption": "Test mIoU for three losses: a dot for each seed, and their mean.", "name": "fig-which-loss"}}
losses = pd.concat(
    [
        scores_of(replace(base, loss=name)).assign(loss=name)
        for name in ("cross-entropy", "both")
    ]
    + [usual.assign(loss="dice")]
)
figure = plots.plot_choices(losses, "loss", "loss")

# %% [markdown]
# The Dice loss alone reaches {result}`12_questions.losses.dice.mean:.3f` in these few epochs,
# the cross-entropy {result}`12_questions.losses.cross-entropy.mean:.3f`, both together
# {result}`12_questions.losses.both.mean:.3f`, their seeds between
# {result}`12_questions.losses.both.lowest:.3f` and {result}`12_questions.losses.both.highest:.3f`.
# In the published runs these seeds lie farther apart than those of any other choice, and a little
# farther than Dice and the cross-entropy: by the rule above, that one of these two ends higher is
# no evidence. That Dice ends higher than the sum is a hint.
#
# Two things pull here. The Dice loss gives a rare class as much say as a frequent one, which is what
# the mIoU asks for; the cross-entropy counts pixels. But a class that is never answered has hardly
# a gradient in the Dice loss, and is discovered late; in the cross-entropy every pixel has one from
# the start.
#
# ## How wide?
#
# The width is the number of channels of the first block; each step down doubles it. Twice the
# width is about four times the weights.

# %% mystnb={"image": {"alt": "Points of the test mIoU for three widths of the first block, one point for each seed, and their mean."}, "figure": {"caption": "Test mIoU for three widths of the first block: a dot for each seed, and their mean.", "name": "fig-width"}}
half, double = base_channels // 2, base_channels * 2
widths = pd.concat(
    [
        scores_of(replace(base, base_channels=half)).assign(width=half),
        usual.assign(width=base_channels),
        scores_of(replace(base, base_channels=double)).assign(width=double),
    ]
)
figure = plots.plot_choices(widths, "width", "channels of the first block")

# %%
widths.groupby("width")[["parameters", "seconds", "miou"]].mean().round(3)

# %% [markdown]
# From half to twice the usual width the mIoU goes from
# {result}`12_questions.widths.half.mean:.3f` to {result}`12_questions.widths.double.mean:.3f`,
# and the training time from {result}`12_questions.seconds.half:.0f` s to
# {result}`12_questions.seconds.double:.0f` s. The U-Net's paper {cite}`ronneberger2015` has 64
# channels; the report does not say. In the published runs the step from half of the width to the usual
# one brings far more than seeds lie apart, the step to twice the width does not.
#
# ## How much data?
#
# An eighth, a quarter, half and all of the training pictures. Fewer pictures are shown more
# often, so that all runs have the same number of steps. They are the first ones of the training
# part, for each seed the same: the luck of which pictures are labelled is not in the dots.

# %% mystnb={"image": {"alt": "Points of the test mIoU for four numbers of training pictures, one point for each seed, and their mean."}, "figure": {"caption": "Test mIoU by the number of training pictures, with the same number of steps: a dot for each seed, and their mean.", "name": "fig-how-much"}}
amounts = pd.concat(
    [
        scores_of(base, images=len(train) // share).assign(images=len(train) // share)
        for share in (8, 4, 2)
    ]
    + [usual.assign(images=len(train))]
)
figure = plots.plot_choices(amounts, "images", "training pictures")

# %% [markdown]
# With an eighth of the pictures the mIoU is {result}`12_questions.amounts.eighth.mean:.3f`, with
# half {result}`12_questions.amounts.half.mean:.3f`, with all
# {result}`12_questions.amounts.all.mean:.3f`. In the published runs the curve
# is flat at its end, and even the first doubling gains less than our rule asks for: runs as short as
# these cannot show what more pictures bring.
#
# ## Is a mirrored street a street?
#
# The networks of the chapters so far see pictures as they are. To mirror them at random, masks
# included, is a common way to show a network more. But traffic keeps to the right in the town:
# left of the car lies a second lane, right of it the sidewalk, and both are grey. In a mirror
# they change places. So we train with mirrored pictures, and with all of the augmentation that
# {doc}`15_photographs` explains, which mirrors as well. Look at roads and sidewalks:

# %% mystnb={"image": {"alt": "Horizontal bars of the IoU of each class for the U-Net trained on pictures as they are, mirrored at random, and augmented in full."}, "figure": {"caption": "IoU of each class for pictures as they are, mirrored at random, and augmented in full: means over the seeds, lines for their standard deviation.", "name": "fig-mirrored"}}
changes = {
    "as they are": usual,
    "mirrored": scores_of(replace(base, augment="mirror")),
    "augmented in full": scores_of(replace(base, augment="full")),
}
figure = plots.plot_per_class(class_scores(changes))

# %%
pd.concat([rows.assign(pictures=name) for name, rows in changes.items()]).set_index(
    ["pictures", "seed"]
)[["miou", "accuracy", "Roads", "Sidewalks"]].round(3)

# %% [markdown]
# The IoU of roads is {result}`12_questions.changes.as they are.roads:.3f` for pictures as they
# are and {result}`12_questions.changes.mirrored.roads:.3f` for mirrored ones, that of sidewalks
# {result}`12_questions.changes.as they are.sidewalks:.3f` and
# {result}`12_questions.changes.mirrored.sidewalks:.3f`. The mIoU, in which roads are one class of
# many, goes from {result}`12_questions.changes.as they are.mean:.3f` to
# {result}`12_questions.changes.mirrored.mean:.3f`, and to
# {result}`12_questions.changes.augmented in full.mean:.3f` in full. Mind the rule from the
# beginning, for each column by itself. In the published runs the two seeds with all of the
# augmentation lie far apart in sidewalks. Against that, what sidewalks lose by mirroring is no
# evidence. What roads lose is a hint, since their seeds lie closer together. The mIoU falls by more
# than seeds lie apart only with all of the augmentation. Road lines are then not found at all, which
# is the largest fall in the figure.
#
# Runs as short as these are hard on augmentation: what it saves a network from, knowing the
# pictures by heart, comes late. In the published runs, moreover, every four pictures of a step
# shared a draw ({doc}`15_photographs`). A network that sees mirrored streets cannot know beforehand
# which side is which, and must see it in each picture. Whether a longer run learns that is not
# asked here. Ask of every augmentation what the network could have known without it.

# %% tags=["remove-cell"]
from unet_tutorial.runs import save_results


def told(rows):
    return {
        "mean": float(rows["miou"].mean()),
        "lowest": float(rows["miou"].min()),
        "highest": float(rows["miou"].max()),
    }


columns = list(LYFT.names)
with_skips = usual[columns].mean()  # near 0 there is nothing to lose
kept = (cut[columns].mean() - with_skips)[with_skips > 0.05].sort_values()
save_results(
    out_dir,
    "12_questions",
    profile,
    data_dir,
    epochs=question_epochs,
    seeds=len(question_seeds),
    usual=told(usual),
    cut=told(cut),
    lost_most=str(kept.index[0]),
    lost_least=str(kept.index[-1]),
    losses={name: told(rows) for name, rows in losses.groupby("loss")},
    widths={
        name: told(widths[widths["width"] == width])
        for name, width in (("half", half), ("double", double))
    },
    seconds={
        name: float(widths[widths["width"] == width]["seconds"].mean())
        for name, width in (("half", half), ("double", double))
    },
    amounts={
        name: told(amounts[amounts["images"] == len(train) // share])
        for name, share in (("eighth", 8), ("quarter", 4), ("half", 2), ("all", 1))
    },
    changes={
        name: told(rows)
        | {key.lower(): float(rows[key].mean()) for key in ("Roads", "Sidewalks")}
        for name, rows in changes.items()
    },
)

# %% [markdown]
# ## Summary
#
# - Change one thing, keep the rest, and use several seeds.
# - Cut a part to see what it carries.
# - Another loss is tried at no cost but the run's; more pictures cost labels, more width costs
#   time.
# - An augmentation may take away what it changes at random, such as which side is which:
#   measure it.
#
# ## Exercises

# %% [markdown]
# ```{exercise}
# :label: ex-questions-1
# Cut only the skip of the highest resolution. How much of the difference is its own?
# ```
#
# ```{solution-start} ex-questions-1
# :class: dropdown
# ```


# %%
class WithoutTheFirst(UNet):
    def _forward(self, features):
        skips = []
        for level, down in enumerate(self.encoder):
            skip, features = down(features)
            skips.append(skip if level else torch.zeros_like(skip))
        features = self.bridge(features)
        for up, skip in zip(self.decoder, reversed(skips)):
            features = up(features, skip)
        return self.head(features)


one_cut = scores_of(base, network=WithoutTheFirst)
for name, rows in (("all", usual), ("all but the first", one_cut), ("none", cut)):
    print(f"skips: {name:18} mIoU {rows['miou'].mean():.3f}")

# %% [markdown]
# Its own share is the fall from the first line to the second, over that from the first to the
# third. By the rule of this chapter a fall below the largest distance between seeds is no
# evidence. Then these runs do not tell whether the other skips together stand in for the first
# one; more seeds would.
#
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-questions-2
# In the question of how much data, all runs have the same number of steps. What would be
# compared if they had the same number of epochs instead?
# ```
#
# ```{solution-start} ex-questions-2
# :class: dropdown
# ```
#
# Two things at once: a run with an eighth of the pictures would have an eighth of the steps
# too, and would be worse for that alone. Same epochs answer what a smaller set costs if the
# training is cut as well; same steps answer what the pictures themselves are worth.
#
# ```{solution-end}
# ```

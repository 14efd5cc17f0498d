# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
#   unet_tutorial:
#     needs: []
#     seconds: {ci: 8, laptop: 15, full: 60}
# ---

# %% [markdown]
# # Road scenes, step by step
#
# After this chapter you can name the steps from a folder of pictures to a
# trained and judged segmentation, and you have walked through them, all but the loss, with
# a model so simple that it fits in three lines. Its score is the first baseline
# that the networks will have to beat.
#
# *You need:* {doc}`01_segmentation`.

# %% tags=["parameters"]
profile = "laptop"  # the profile's name, shown under results
data_dir = "data/town-laptop"  # folder with pairs of image and mask
out_dir = "_build/laptop"  # folder for results
size = [96, 128]  # height and width at which the second baseline sees the pictures

# %% [markdown]
# ## Why road scenes
#
# A car that drives itself must know where the road ends, and must know it
# several times a second. Road scenes are also kind to learners: every picture
# has the sky above and the road below, so that even a bad answer is partly
# right. That is a trap, too, and the reason why this chapter builds a baseline
# before any network.
#
# ## The steps
#
# 1. **Collect** pictures and label every pixel. Here the labels come from the
#    generator, in the real data from the simulator CARLA.
# 2. **Split** them: a part to learn from, a part to choose by, a part to be
#    judged on, by which nothing is chosen.
# 3. **Choose a model** that maps a picture to a class per pixel.
# 4. **Choose a loss**, a number that says how wrong an answer is.
# 5. **Train**: change the model's weights to make the loss smaller.
# 6. **Judge** the model on pictures it has never seen, with a score that people
#    can read.
# 7. **Look** at its answers, above all at the worst.
#
# ## Steps 1 and 2: pairs, split
#
# `find_pairs` finds each picture with its mask, and `split_pairs` deals them out. `make book` has
# made the pictures before; if you run the notebooks by hand, run the first cells of
# {doc}`03_data` once before this one.

# %%
from pathlib import Path

from unet_tutorial.data.pairs import find_pairs, read_pair
from unet_tutorial.data.split import split_pairs

parts = split_pairs(find_pairs(Path(data_dir)))
{name: len(pairs) for name, pairs in parts.items()}

# %% [markdown]
# Most pairs are for training. From the test pairs nothing is learnt and nothing is
# chosen.

# %% [markdown]
# ## Steps 3 to 5: the simplest model
#
# Our model does not even look at the picture. For every position it answers the
# class that was most frequent *there* in training. It has no weights to change,
# so it needs no loss: training is counting.

# %%
import numpy as np

from unet_tutorial.classes import LYFT

masks = np.stack([read_pair(pair)[1] for pair in parts["train"]])
votes = np.stack([(masks == c).sum(axis=0) for c in range(len(LYFT))])
most_frequent = votes.argmax(axis=0)
most_frequent.shape

# %% [markdown]
# ## Step 6: judge
#
# Three scores carry this book. They are all read from one table, the confusion
# matrix, which counts for every true class what was answered; {ref}`ex-scratch-1` draws one.
#
# - **Pixel accuracy** is the share of pixels with the right class.
# - **IoU** of a class is the overlap of answer and truth divided by their union. With $n_{ij}$ for
#   the pixels of class $i$ that were answered $j$, that of class $c$ is
#   $n_{cc} / (\sum_j n_{cj} + \sum_i n_{ic} - n_{cc})$.
# - **mIoU** is the mean IoU of all classes that occur. *None*, which is what has no class, such as
#   sky and bare ground, counts as one of them here; many data sets leave such pixels out, and their
#   mIoU does not compare.
#
# The counts are those of all test pictures together. Scores averaged over pictures would be other
# numbers.
#
# How good is a model that never looks?

# %%
import torch

from unet_tutorial.metrics import ConfusionMatrix

confusion = ConfusionMatrix(len(LYFT))
answer = torch.from_numpy(most_frequent)
for pair in parts["test"]:
    confusion.update(answer, torch.tensor(read_pair(pair)[1]))
print(f"pixel accuracy {confusion.pixel_accuracy():.3f}, mIoU {confusion.miou():.3f}")

# %% [markdown]
# An accuracy of {result}`02_road_scenes.pixel_accuracy:.3f` for a model that
# never looks: sky, road and the car's own hood fill most of the picture and keep their
# place. The
# mIoU, {result}`02_road_scenes.miou:.3f`, is not fooled, since every class
# weighs the same in it.
#
# A second baseline looks, but at one pixel at a time. It cuts each colour channel into 8
# shades and the picture into 12 x 16 cells, counts how often each class has each colour
# in each cell, and answers the most frequent. `PRIOR` adds a little of the cell's own
# mixture, for colours that were hardly seen there; `_keys` numbers cells and colours. It
# is scored at the reduced size that the networks will see:
#
# ```{literalinclude} ../src/unet_tutorial/baselines.py
# :pyobject: score_colour
# ```

# %%
from unet_tutorial.baselines import score_colour
from unet_tutorial.data.cache import open_set

data = open_set(Path(data_dir), tuple(size))
train, test = (data.frames(parts[part]) for part in ("train", "test"))
by_colour = score_colour(train, test, LYFT)
print(f"pixel accuracy {by_colour.pixel_accuracy():.3f}, mIoU {by_colour.miou():.3f}")

# %% tags=["remove-cell"]
from unet_tutorial.runs import save_results

save_results(
    out_dir,
    "02_road_scenes",
    profile,
    data_dir,
    pixel_accuracy=confusion.pixel_accuracy(),
    miou=confusion.miou(),
    by_colour={
        "pixel_accuracy": by_colour.pixel_accuracy(),
        "miou": by_colour.miou(),
    },
)

# %% [markdown]
# Its mIoU is {result}`02_road_scenes.by_colour.miou:.3f`. What a network scores well
# above that, it hardly owes to colour and place alone: it must use more, such as
# texture, shapes, and what stands beside what.

# %% [markdown]
# ## Step 7: look
#
# Compare the two masks. Which classes are missing in the answer?

# %% mystnb={"image": {"alt": "Three panels: a test picture of a street, its true mask, and the baseline's answer, which has sky, road, pavements, plants and the hood in smooth patches, and neither road lines nor signs."}, "figure": {"caption": "A test picture, its mask, and the class most frequent at each position.", "name": "fig-position"}}
from unet_tutorial import plots

image, mask = read_pair(parts["test"][0])
figure = plots.plot_grid(
    [[image, mask, most_frequent]], ["picture", "mask", "most frequent"]
)

# %% [markdown]
# What has a fixed place is there; what is small or moves from picture to picture is
# almost wholly missing. These classes are the most frequent one nowhere:

# %%
[name for c, name in enumerate(LYFT.names) if c not in most_frequent]

# %% [markdown]
# The rest of the book is about a model that looks at the picture.
#
# ## Summary
#
# - Seven steps: collect, split, model, loss, train, judge, look.
# - A baseline tells what a score is worth. High accuracy alone says little.
# - mIoU weighs every class the same.
#
# ## Exercises

# %% [markdown]
# ```{exercise}
# :label: ex-steps-1
# What do accuracy and mIoU become for a model that answers *None* everywhere?
# Work it out from the confusion matrix before you run it.
# ```
#
# ```{solution-start} ex-steps-1
# :class: dropdown
# ```

# %%
nothing = ConfusionMatrix(len(LYFT))
for pair in parts["test"]:
    mask = torch.tensor(read_pair(pair)[1])
    nothing.update(torch.zeros_like(mask), mask)
print(f"pixel accuracy {nothing.pixel_accuracy():.3f}, mIoU {nothing.miou():.3f}")

# %% [markdown]
# The accuracy is the share of *None* in the masks. The IoU of *None* is the same
# number, since its union is the whole picture, and every other class scores 0:
# the mIoU is that share divided by the number of classes that occur.
#
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-steps-2
# In how many per cent of the positions has the most frequent class less than half
# of the votes? Show where: draw the share of votes that the winner got.
# ```
#
# ```{solution-start} ex-steps-2
# :class: dropdown
# ```

# %% mystnb={"image": {"alt": "A map of the share of votes for the most frequent class: near 1 in the upper middle of the sky and on the hood, high on the road, low along the horizon, at both sides above it and where the pavement ends."}}
certainty = votes.max(axis=0) / len(masks)
print(
    f"{(certainty < 0.5).mean():.1%} of the positions have a winner without a majority"
)
figure = plots.plot_heat([certainty], ["share of votes for the winner"], "share")

# %% [markdown]
# The winner is sure of the upper sky, the hood and most of the road, and unsure along the
# horizon, at both sides above it, and where the pavements end.
#
# ```{solution-end}
# ```

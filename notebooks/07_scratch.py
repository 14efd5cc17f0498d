# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
#   unet_tutorial:
#     needs: []
#     seconds: {ci: 10, laptop: 210, full: 1200}
# ---

# %% [markdown]
# # Results of the U-Net from scratch
#
# After this chapter you can train the network from random weights, read its loss
# curves, and score it on pictures it has never seen.
#
# *You need:* {doc}`06_training`.

# %% tags=["parameters"]
profile = "laptop"  # the profile's name, shown under results
data_dir = "data/town-laptop"  # folder with pairs of image and mask
out_dir = "_build/laptop"  # folder for runs and results
size = [96, 128]  # height and width at which the network sees the pictures
epochs = 40  # times through the training pictures; the report has 100
batch_size = 8  # pictures per step
learning_rate = 0.0005  # of Adam, as in the report
base_channels = 16  # width of the network's first block; the paper has 64
seed = 0  # decides weights and order

# %% [markdown]
# ## Training
#
# Loss and optimizer are the report's by name: Dice, and Adam at 0.0005. How it computed its Dice
# loss it does not say ({doc}`10_plateau`); ours applies one softmax and averages over the classes
# that occur. Nor does it say how wide its network is, how many pictures a step has, or whether
# there is batch normalisation.

# %%
from pathlib import Path

from unet_tutorial.runs import Config
from unet_tutorial.training import epoch_line, fit

config = Config(
    "scratch", tuple(size), epochs, learning_rate, batch_size, seed, base_channels
)


def describe(row):
    """A line now and then: about ten in all, if there are that many epochs."""
    if row["epoch"] % max(epochs // 10, 1) == 0:
        print(epoch_line(row))


run = fit(
    config,
    Path(data_dir),
    Path(out_dir, "runs/scratch"),
    overwrite=True,
    on_epoch=describe,
)

# %% [markdown]
# Where do the two losses part, and does the mIoU still rise at the end?

# %% mystnb={"image": {"alt": "Two plots over the epochs for the network from scratch: training and validation loss above, validation mIoU below."}, "figure": {"caption": "Loss of training (dashed) and validation (solid), and validation mIoU, of the U-Net from scratch.", "name": "fig-scratch-loss"}}
from unet_tutorial import plots

figure = plots.plot_losses({"from scratch": run.history})

# %% [markdown]
# In {result}`07_scratch.epochs` epochs the training loss went from
# {result}`07_scratch.first.train_loss:.4f` to
# {result}`07_scratch.last.train_loss:.4f`, the validation loss from
# {result}`07_scratch.first.val_loss:.4f` to {result}`07_scratch.last.val_loss:.4f`.
# The report's loss for its U-Net from scratch went from
# {result}`report.scratch.first:.4f` to {result}`report.scratch.last:.4f` in 100 epochs, on
# other pictures and probably on another scale; {doc}`10_plateau` asks which.
#
# If the validation loss rose while the training loss still fell, the network would be
# learning its training pictures by heart. In the published run it does not rise, but from the
# middle of the run on it falls about half as fast as the training loss, and the mIoU still rises at
# the end. What a longer run would bring cannot be read from these curves: a class that is not found
# yet may still be discovered. The weights kept are those of epoch {result}`07_scratch.best_epoch`, the best on
# the validation pictures.
#
# A step up in the mIoU that lasts is often a class that the network has discovered: the Dice loss
# of a class that is never answered has hardly a gradient.

# %% [markdown]
# ## Scores on the test pictures
#
# The network answers at the size it was trained at; its logits are then enlarged to the size of the
# picture, and the answer is compared with the mask there. The validation mIoU of the curves was
# measured at the reduced size, so that the two do not compare. Size alone costs something: the true
# mask itself, reduced to {result}`14_resolution.usual` and enlarged again, has an mIoU of
# {result}`14_resolution.oracle.usual middle:.3f` ({doc}`14_resolution`).

# %%
import pandas as pd

from unet_tutorial.data.pairs import find_pairs, read_pair
from unet_tutorial.data.split import split_pairs
from unet_tutorial.prediction import Predictor, score

test = split_pairs(find_pairs(Path(data_dir)))["test"]
predictor = Predictor(run)
scores, confusion = score(predictor, test)
pd.DataFrame(scores["per_class"]).T.astype(float).round(3)

# %% tags=["remove-cell"]
from unet_tutorial.runs import save_results

save_results(out_dir, "07_scratch", profile, data_dir, **run.summary(), test=scores)

# %% [markdown]
# Over all test pictures the mIoU is {result}`07_scratch.test.miou:.3f`, the mean
# Dice {result}`07_scratch.test.dice:.3f` and the pixel accuracy
# {result}`07_scratch.test.pixel_accuracy:.3f`. The baselines of
# {doc}`02_road_scenes` have an mIoU of {result}`02_road_scenes.miou:.3f` by position and of
# {result}`02_road_scenes.by_colour.miou:.3f` by colour and place (at the reduced size).

# %% [markdown]
# ## Predictions
#
# Compare the two masks. Where are the mistakes?

# %% mystnb={"image": {"alt": "Three test pictures in rows, each with its true mask and the mask predicted by the network from scratch."}, "figure": {"caption": "Test pictures, their masks, and the answers of the U-Net from scratch.", "name": "fig-scratch-predictions"}}
rows = []
for pair in test[:: max(len(test) // 3, 1)][:3]:
    image, mask = read_pair(pair)
    rows.append([image, mask, predictor.mask(image)])
figure = plots.plot_grid(rows, ["picture", "mask", "prediction"])

# %% [markdown]
# Three kinds of mistakes are to be seen: a seam along the edges, since the network saw the picture
# reduced; whole patches taken for another class, such as pavement for bare ground (*None*) or for road; and
# rare things that are not found. The table says the same of all test pictures: in the published run large classes
# are found well, and pedestrians and traffic signs not at all. (Most pixels of *Vehicles* are the
# camera's own hood, which is always in its place.)
#
# ## Where it is unsure
#
# The softmax of the logits gives each class a probability. The largest of them says how sure the
# network is of its answer. Is it unsure where it is wrong? The picture is the first one above; in
# the published run it is one of the worst of the test part ({doc}`09_comparison`), so that there is
# much to see.

# %% mystnb={"image": {"alt": "Two maps for one test picture: the probability of the answered class at each pixel, and the pixels that were answered wrongly."}, "figure": {"caption": "The probability of the answered class (yellow is sure, dark is unsure), and where the answer is wrong (yellow) or right (dark).", "name": "fig-scratch-confidence"}}
image, mask = read_pair(test[0])
confidence, answer = predictor.probabilities(image).max(dim=0)
figure = plots.plot_heat(
    [confidence.cpu().numpy(), (answer.cpu().numpy() != mask).astype(float)],
    ["probability of the answer", "wrong (1) or right (0)"],
    "0 to 1",
)

# %% [markdown]
# Where the network is unsure it is often wrong. The reverse does not hold: many wrong
# pixels are answered with confidence. The Dice loss rewards probabilities near 0 and 1, and a
# network that knows its training pictures by heart becomes too sure as well; which it is here was
# not measured. A high probability is no promise.
#
# ## Summary
#
# - The loss curves say whether to go on; the scores say what was reached.
# - The baseline says what the score is worth.
# - Mistakes to look for are seams along edges, whole patches, and rare classes.
#
# ## Exercises

# %% [markdown]
# ```{exercise}
# :label: ex-scratch-1
# Which class loses the largest share of its pixels to one other? Read it from the
# confusion matrix.
# ```
#
# ```{solution-start} ex-scratch-1
# :class: dropdown
# ```

# %% mystnb={"image": {"alt": "The confusion matrix of the network from scratch, true classes in rows and predicted classes in columns, each row summing to one."}}
from unet_tutorial.classes import LYFT

counts = confusion.counts.numpy()
figure = plots.plot_confusion(counts, "U-Net from scratch")
shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
shares[range(13), range(13)] = 0
true, predicted = divmod(int(shares.argmax()), 13)
print(
    f"{LYFT.names[true]} is taken for {LYFT.names[predicted]} in {shares.max():.1%} of its pixels"
)

# %% [markdown]
# Two fields of the matrix may look alike after rounding; the line has a digit more. A column
# of zeros is a class that the network answers never, or for less than half a hundredth of each.
#
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-scratch-2
# Mirror a test picture, predict, and mirror the answer back. How many pixels
# change? Average the probabilities of both and see whether the answer improves.
# ```
#
# ```{solution-start} ex-scratch-2
# :class: dropdown
# ```

# %%
plain = predictor.probabilities(image)
mirrored = predictor.probabilities(image[:, ::-1].copy()).flip(-1)
for name, probabilities in (
    ("plain", plain),
    ("mirrored", mirrored),
    ("both", plain + mirrored),
):
    answer = probabilities.argmax(dim=0).cpu().numpy()
    print(f"{name:9} accuracy {(answer == mask).mean():.4f}")
changed = (plain.argmax(dim=0) != mirrored.argmax(dim=0)).float().mean().item()
print(f"{changed:.2%} of the pixels change")

# %% [markdown]
# In training the network saw no street in a mirror, where traffic keeps to the other side, and
# need not treat both alike. Averaging helps where two answers err in different places; where
# one is clearly better, the mean may fall between them. The three lines say which it was in
# this picture, and one picture decides nothing: {doc}`15_photographs` asks the same of a whole
# part, of a network that has learned from mirrored pictures.
#
# ```{solution-end}
# ```

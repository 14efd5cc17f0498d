# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
#   unet_tutorial:
#     needs: []
#     seconds: {ci: 12, laptop: 40, full: 60}
# ---

# %% [markdown]
# # Your own data
#
# After this chapter you can bring pictures and masks of your own into the layout
# that the library reads, find the faults in them, train on them and predict.
#
# *You need:* {doc}`06_training`, and a folder of pictures with masks. The chapter
# makes one, so that it can be run as it stands.

# %% tags=["parameters"]
profile = "laptop"  # the profile's name, shown under results
out_dir = "_build/laptop"  # folder for runs and results
size = [96, 128]  # height and width at which the network sees the pictures
short_epochs = 6  # a fifth of the epochs of the run of this chapter
batch_size = 8  # pictures per step
base_channels = 16  # width of the network's first block
seed = 0  # decides the pictures, weights, order and mirroring

# %% [markdown]
# ## The layout
#
# The library wants two folders side by side:
#
# ```
# my_data/
#   CameraRGB/  a.png  b.png  ...   the pictures
#   CameraSeg/  a.png  b.png  ...   the masks, of the same names and sizes
# ```
#
# A mask is a PNG file of 8 bits with a class id from 0 to 12 in each pixel: as a
# single channel, as a palette, or in the red channel of an RGB file. Your classes
# may mean anything; only the names in tables and legends are those of
# {mod}`unet_tutorial.classes`, which you can change there.
#
# As an example we draw a set of our own, of discs and squares on dark, noisy ground.
# The chapter works on that example from its first cell to its last. Your own set
# starts at *Check first*, on the command line.

# %%
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

folder = Path(out_dir, "my_data")
shutil.rmtree(folder, ignore_errors=True)
rng = np.random.default_rng(seed)
height, width = size


def draw_pair():
    """A picture with a disc (class 1) and a square (class 2), and its mask."""
    y, x = np.mgrid[:height, :width]
    mask = np.zeros((height, width), np.uint8)
    for class_id in (1, 2):
        r = rng.integers(height // 8, height // 4)
        cy, cx = rng.integers(r, height - r), rng.integers(r, width - r)
        distance = (
            np.hypot(y - cy, x - cx)
            if class_id == 1
            else np.maximum(abs(y - cy), abs(x - cx))
        )
        mask[distance < r] = class_id
    colours = rng.integers([[40], [140], [140]], [[100], [230], [230]], (3, 3))
    return np.clip(colours[mask] + rng.normal(0, 25, (height, width, 3)), 0, 255), mask


for name in ("CameraRGB", "CameraSeg"):
    (folder / name).mkdir(parents=True, exist_ok=True)
for i in range(60):
    image, mask = draw_pair()
    Image.fromarray(image.astype(np.uint8)).save(folder / "CameraRGB" / f"{i:03}.png")
    Image.fromarray(mask).save(folder / "CameraSeg" / f"{i:03}.png")

# %% [markdown]
# ## Check first
#
# On the command line: `python -m unet_tutorial data check my_data`. The same from
# Python, on a copy with two mistakes put in: a mask whose ids are out of range, and a
# mask that was renamed. What would you do about each line?

# %%
from unet_tutorial.data.pairs import check_pairs

faulty = Path(out_dir, "my_faulty_data")
shutil.rmtree(faulty, ignore_errors=True)
shutil.copytree(folder, faulty)
Image.fromarray(np.full((height, width), 200, np.uint8)).save(
    faulty / "CameraSeg/000.png"
)
(faulty / "CameraSeg/001.png").rename(faulty / "CameraSeg/one.png")
for fault in check_pairs(faulty).faults:
    print("-", fault.replace(str(faulty), "my_data"))

# %% [markdown]
# Each line names the file, what is wrong and what to do; the renamed mask shows
# twice, as an image without a mask and as a mask without an image. The set itself has
# no fault, and we look at a few of its pairs: no check replaces that.

# %% mystnb={"image": {"alt": "Two pictures of a bright disc and a bright square on dark noisy ground, each beside its mask of three classes."}, "figure": {"caption": "Two pairs of the example set. Discs are class 1 and squares class 2, which the legend calls Buildings and Fences.", "name": "fig-own-samples"}}
report = check_pairs(folder)
print(f"{len(report.pairs)} pairs, {len(report.faults)} faults")

from unet_tutorial import plots
from unet_tutorial.data.pairs import read_pair

first, second = (read_pair(pair) for pair in report.pairs[:2])
figure = plots.plot_grid([[*first, *second]], ["picture", "mask"] * 2)

# %% [markdown]
# ## Train and predict
#
# On the command line these are
# `python -m unet_tutorial train --data my_data --model scratch --out my_run` and
# `python -m unet_tutorial predict --run my_run --out answers my_picture.png`. For so
# few pictures and epochs a learning rate of 0.005 is better than the report's. The
# scores carry the names of ids 0, 1 and 2: *None* is the ground, *Buildings* are the
# discs and *Fences* the squares. Which is found best?

# %%
from unet_tutorial.data.split import split_pairs
from unet_tutorial.prediction import Predictor, score
from unet_tutorial.runs import Config
from unet_tutorial.training import fit

config = Config(
    "scratch",
    tuple(size),
    epochs=5 * short_epochs,
    learning_rate=0.005,
    batch_size=batch_size,
    seed=seed,
    base_channels=base_channels,
)
run = fit(config, folder, Path(out_dir, "runs/own"), overwrite=True)
test = split_pairs(report.pairs)["test"]
predictor = Predictor(run)
scores, _ = score(predictor, test)
{
    name: values["iou"]
    for name, values in scores["per_class"].items()
    if values["iou"] is not None
}

# %% tags=["remove-cell"]
from unet_tutorial.runs import save_results

save_results(
    out_dir,
    "10_your_data",
    profile,
    str(folder),
    pairs=len(report.pairs),
    epochs=5 * short_epochs,
    miou=scores["miou"],
)

# %% mystnb={"image": {"alt": "A test picture of a bright disc and square on dark ground, its mask, and the predicted mask."}, "figure": {"caption": "A test picture of the example set, its mask and the prediction.", "name": "fig-own-prediction"}}
image, mask = read_pair(test[0])
figure = plots.plot_grid(
    [[image, mask, predictor.mask(image)]], ["picture", "mask", "prediction"]
)

# %% [markdown]
# With {result}`10_your_data.pairs` pairs and {result}`10_your_data.epochs` epochs
# the mIoU over the three classes is {result}`10_your_data.miou:.3f`. Classes that do
# not occur in the masks are left out of the mean, not counted as 0 or 1.
#
# ## Summary
#
# - Two folders, the same names, ids 0 to 12: that is all the library asks.
# - Check, look, and only then train.
# - The split goes by sorted names: give frames of one drive names that follow
#   each other.
#
# ## Exercises

# %% [markdown]
# ```{exercise}
# :label: ex-own-1
# Many labelling tools save masks as colours. Turn a mask in the colours of this
# book back into class ids.
# ```
#
# ```{solution-start} ex-own-1
# :class: dropdown
# ```

# %%
from unet_tutorial.classes import RGB, colour_mask

coloured = colour_mask(mask)
ids = (coloured[..., None, :] == RGB).all(axis=-1).argmax(axis=-1).astype(np.uint8)
print("the same mask:", np.array_equal(ids, mask))

# %% [markdown]
# For another tool, put its colours in place of `RGB`, in the order of your ids,
# and check that every pixel has found one.
#
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-own-2
# What did the network learn, shapes or brightness? Predict for the test pictures with
# their colours inverted, and compare the share of right pixels with that of the
# pictures as they are.
# ```
#
# ```{solution-start} ex-own-2
# :class: dropdown
# ```

# %%
tests = [read_pair(pair) for pair in test]
for name, change in (("as they are", np.array), ("inverted", lambda p: 255 - p)):
    right = [(predictor.mask(change(p)) == m).mean() for p, m in tests]
    print(f"{name:11}: {np.mean(right):.1%} of the pixels right")
ground = np.mean([(m == 0).mean() for _, m in tests])
print(f"always ground: {ground:.1%}")

# %% [markdown]
# If the second number is far below the first, the network relied on bright shapes on
# dark ground. Nothing in the training pictures told it otherwise: what never varies
# in training may be used, and will be missed in other pictures.
#
# ```{solution-end}
# ```

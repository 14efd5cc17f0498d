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
# After this chapter you can describe pictures and masks of your own to the library,
# find the faults in them, train on them and predict.
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
seed = 0  # decides the pictures, weights and order

# %% [markdown]
# ## Describe the data
#
# A data set is a folder of pictures and a folder of masks, all of them PNG files, each
# picture with a mask of the same name and size, and a file that says what the ids mean.
# That file, `dataset.yaml`, lies beside the two folders; its paths are relative to it.
# It is all that the library has to be told. Folders within the two are not looked into; each needs
# a line of its own under `folders`:
#
# ```yaml
# name: my data
# folders:
#   - {images: pictures, masks: masks}
# classes:             # in the order of their ids: 0, 1, 2
#   Ground: "#332b3a"
#   Disc: "#f78900"
#   Square: "#d9fff0"
# ignore: 255          # pixels that nobody labelled, if there are any
# ```
#
# A mask is a PNG file of 8 bits with a class id in each pixel: as a single channel, as
# a palette, or in the red channel of an RGB file. Ids count from 0 without gaps, in the order of the
# lines under `classes`. The first exercise turns masks in colours into ids.
#
# Pixels with the id `ignore`, which lies above those of the classes, count neither in the loss nor
# in the scores. Where 0 is what nobody labelled and the classes count from 1, save
# `np.where(mask == 0, 255, mask - 1)` in place of each mask.
#
# If the data set has parts of its own, write
# `- {images: a, masks: b, part: train}`, or `val` or `test`, for every folder. `train` and `val` are
# needed, since the epoch is chosen on `val`. Without `test`, score by `evaluate --split val`, and say
# so.
#
# Where pictures of several drives, places or patients lie in one folder, give it several lines,
# each with a pattern for the names: `- {images: a, masks: b, part: test, names: "lyon_*.png"}`.
# `*` stands for anything, `?` for one character, `[0-4]` for one of several. A part may have
# several lines, a picture belongs to at most one, and what no line takes is left out. A drive that
# is kept back as a whole says more about new streets than a stretch of each drive.
#
# Without `part` the pairs are split by their names. The last number in a name is taken to count the
# frames of a drive, so that neighbours stay together; names without a number are dealt out one by
# one. Only the file's name counts, not its folder's. Unrelated pictures with running numbers are taken
# for a drive as well, and some are left out between the parts. A small set is cut in three in the
# order of its names, and so is one whose numbers go up in steps of more than three, as if every
# tenth frame of a film was labelled. To use all pictures, give them names without numbers, or name the parts
# yourself.
#
# Photographs are mostly JPEG files, and a phone notes beside the pixels which way is up. Save
# them upright and as PNG before you label them; with Pillow that is
# `ImageOps.exif_transpose(Image.open(path)).convert("RGB").save("NAME.png")`. Names end in
# `.png`, in small letters. (`predict` takes photographs as they are.) A mask must never have been a JPEG file, which blurs the ids.
#
# A folder in the layout of the Lyft data (`CameraRGB` beside `CameraSeg`) with the
# classes of {mod}`unet_tutorial.classes` needs no description.
#
# As an example we draw a set of our own, of discs and squares on dark, noisy ground.
# The chapter works on that example from its first cell to its last. In the commands `my_data`
# stands for the folder of your own set with its `dataset.yaml`; the example's is `my_data` in
# the folder `out_dir` above.

# %%
import shutil
from pathlib import Path

import numpy as np
import yaml
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


for name in ("pictures", "masks"):
    (folder / name).mkdir(parents=True, exist_ok=True)
for i in range(120):
    image, mask = draw_pair()
    Image.fromarray(image.astype(np.uint8)).save(folder / "pictures" / f"{i:03}.png")
    Image.fromarray(mask).save(folder / "masks" / f"{i:03}.png")
description = {
    "name": "discs and squares",
    "folders": [{"images": "pictures", "masks": "masks"}],
    "classes": {"Ground": "#332b3a", "Disc": "#f78900", "Square": "#d9fff0"},
}
with open(folder / "dataset.yaml", "w") as file:
    yaml.safe_dump(description, file, sort_keys=False)

# %% [markdown]
# ## Check first
#
# On the command line, after `source .venv/bin/activate`: `python -m unet_tutorial data check
# my_data`. The same from Python, where a place is a `Path` and no text, on a copy with two mistakes put in: a mask whose ids are
# out of range, and a mask that was renamed. What would you do about each line?

# %%
from unet_tutorial.data.pairs import check_pairs

faulty = Path(out_dir, "my_faulty_data")
shutil.rmtree(faulty, ignore_errors=True)
shutil.copytree(folder, faulty)
Image.fromarray(np.full((height, width), 200, np.uint8)).save(faulty / "masks/000.png")
(faulty / "masks/001.png").rename(faulty / "masks/one.png")
for fault in check_pairs(faulty).faults:
    print("-", fault.replace(str(faulty), "my_data"))

# %% [markdown]
# Each line names the file, what is wrong, and what to do or to look for; the renamed mask shows
# twice, as an image without a mask and as a mask without an image. If you cannot mend
# them now, `train --skip-bad` leaves such pairs out and writes into the manifest which.
# The set itself has no fault, and we look at a few of its pairs: no check replaces that.

# %% mystnb={"image": {"alt": "Two pictures of a bright disc and a bright square on dark noisy ground, each beside its mask of three classes."}, "figure": {"caption": "Two pairs of the example set.", "name": "fig-own-samples"}}
report = check_pairs(folder)
print(f"{len(report.pairs)} pairs, {len(report.faults)} faults")

from unet_tutorial import plots
from unet_tutorial.data.description import read_description
from unet_tutorial.data.pairs import read_pair

classes = read_description(folder).classes
first, second = (read_pair(pair, classes) for pair in report.pairs[:2])
figure = plots.plot_grid([[*first, *second]], ["picture", "mask"] * 2, classes)

# %% [markdown]
# ## Train and predict
#
# On the command line, with the defaults of 100 epochs and a rate of 0.0005, these are
# `python -m unet_tutorial train --data my_data --model scratch --out my_run` and
# `python -m unet_tutorial predict --run my_run --out answers my_picture.png`, which
# writes `my_picture.png`, a mask of ids, nearly black to look at, and `my_picture_overlay.png` for
# people.
#
# `python -m unet_tutorial evaluate --run my_run --data my_data --out scores.json` scores the
# test part.
#
# Every picture is brought to `--size`, 96x128 by default, whatever its
# proportions: choose a size of the proportions of yours, at which the thinnest thing is still
# a few pixels wide. {doc}`14_resolution` tells what a size costs, and what it costs to learn from
# parts of large pictures, by `--crop`, in place of smaller ones.
#
# If left and right are alike in yours, try `--augment mirror`: pictures are then mirrored at random
# whenever they are shown, so that a small set goes further. {doc}`15_photographs` does so, and has
# a recipe for photographs; {doc}`12_questions` shows what it can cost.
#
# Here we take fewer epochs and a rate of 0.002; on the command line these are `--epochs` and
# `--learning-rate`. Which class is found best?

# %%
from unet_tutorial.data.split import split_pairs
from unet_tutorial.prediction import Predictor, score
from unet_tutorial.runs import Config
from unet_tutorial.training import fit

config = Config(
    "scratch",
    tuple(size),
    epochs=5 * short_epochs,
    learning_rate=0.002,
    batch_size=batch_size,
    seed=seed,
    base_channels=base_channels,
)
run = fit(config, folder, Path(out_dir, "runs/own"), overwrite=True)
test = split_pairs(report.pairs)["test"]
predictor = Predictor(run)
scores, _ = score(predictor, test)
{name: values["iou"] for name, values in scores["per_class"].items()}

# %% tags=["remove-cell"]
from unet_tutorial.runs import save_results

save_results(
    out_dir,
    "16_your_data",
    profile,
    str(folder),
    pairs=len(report.pairs),
    epochs=5 * short_epochs,
    miou=scores["miou"],
)

# %% [markdown]
# The list gives the IoU of each class. In the published run the ground has nearly 1, so that hardly
# a pixel of a shape is lost to it: what is wrong must be shapes that are taken for each other. Is
# that so in the test picture with the most wrong pixels?

# %% mystnb={"image": {"alt": "A test picture of bright shapes on dark ground, its mask, and the predicted mask."}, "figure": {"caption": "The test picture of the example set with the most wrong pixels, its mask and the prediction.", "name": "fig-own-prediction"}}
rows = []
for pair in test:
    image, mask = read_pair(pair, classes)
    rows.append([image, mask, predictor.mask(image)])
worst = max(rows, key=lambda row: (row[2] != row[1]).sum())
figure = plots.plot_grid([worst], ["picture", "mask", "prediction"], classes)

# %% [markdown]
# In the published run it is: where the two overlap, a part of the square is taken for the disc, and
# a little of the disc for the square.
#
# Of the {result}`16_your_data.pairs` pairs most were learned from, a few chose the epoch or were
# left out between the parts, and the rest were scored: `data check` prints how many each part
# has. After {result}`16_your_data.epochs` epochs the mIoU over the three classes is
# {result}`16_your_data.miou:.3f` on the test part. A class that did not occur in the masks would
# be left out of the mean, not counted as 0 or 1.
#
# ## Summary
#
# - Two folders whose files have the same names, and a description: that is all the library asks.
# - Check, look, and only then train.
# - The split goes by names: number the frames of a drive one after the other, and give
#   each drive a name of its own.
#
# ## Exercises

# %% [markdown]
# ```{exercise}
# :label: ex-own-1
# Many labelling tools save masks as colours. Read a PNG file in the colours of the
# description and save it as class ids, with 255 where a pixel has none of these colours.
# ```
#
# ```{solution-start} ex-own-1
# :class: dropdown
# ```

# %%
coloured = Path(out_dir, "my_data/coloured.png")
Image.fromarray(classes.colour(mask)).save(coloured)  # as such a tool would

pixels = np.asarray(Image.open(coloured).convert("RGB"))
palette = classes.colour(np.arange(len(classes)))
found = (pixels[..., None, :] == palette).all(axis=-1)
ids = np.where(found.any(axis=-1), found.argmax(axis=-1), 255).astype(np.uint8)
Image.fromarray(ids).save(coloured.with_name("ids.png"))
print(f"{found.any(axis=-1).mean():.1%} of the pixels have a class")
print("the same mask:", np.array_equal(ids, mask))

# %% [markdown]
# For another tool, put its colours in place of `palette`, in the order of your ids. If less
# than all pixels find one, some colour is missing, or the edges were smoothed. To leave such
# pixels out of training, write `ignore: 255` into the description. For a whole folder, put this into
# a loop over `Path("masks").glob("*.png")`.
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
tests = [read_pair(pair, classes) for pair in test]
for name, change in (("as they are", np.array), ("inverted", lambda p: 255 - p)):
    right = [(predictor.mask(change(p)) == m).mean() for p, m in tests]
    print(f"{name:11}: {np.mean(right):.1%} of the pixels right")
ground = np.mean([(m == 0).mean() for _, m in tests])
print(f"always ground: {ground:.1%}")

# %% [markdown]
# Both. Discs and squares have the same range of colours, so whoever tells them apart has learned
# outlines. What is a shape at all it may read from brightness: if the second number is far below
# the first, the network relied on bright shapes on dark ground; if it is below the third as well,
# the network does worse than an answer that never looks, for it takes the bright ground for a
# shape. Nothing in the training pictures told it otherwise: what never varies in training may be
# used, and will be missed in other pictures.
#
# ```{solution-end}
# ```

# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
#   unet_tutorial:
#     needs: []
#     seconds: {ci: 10, laptop: 150, full: 120}
# ---

# %% [markdown]
# # Training
#
# After this chapter you can read a training loop line by line, start a run of
# your own, find everything it leaves behind, and compare learning rates in a plot.
#
# *You need:* {doc}`04_unet` and {doc}`05_dice_loss`.

# %% tags=["parameters"]
profile = "laptop"  # the profile's name, shown under results
data_dir = "data/town-laptop"  # folder with pairs of image and mask
out_dir = "_build/laptop"  # folder for runs and results
size = [96, 128]  # height and width at which the network sees the pictures
short_epochs = 6  # epochs of each short run of this chapter
batch_size = 8  # pictures per step
base_channels = 16  # width of the network's first block
seed = 0  # decides weights and order

# %% [markdown]
# ## One epoch
#
# An epoch shows the network every training picture once, in batches. For each
# batch four things happen: the network answers, the loss judges the answer, the
# gradient of the loss is computed, and the optimizer moves every weight a little.
#
# ```{literalinclude} ../src/unet_tutorial/training.py
# :pyobject: train_one_epoch
# ```
#
# `fabric` is Lightning Fabric. It puts the network on a GPU if there is one, lets it
# compute in 16 bits where that is faster on the machine at hand, and is otherwise out of
# the way. The last four arguments do nothing unless they are given: batches may share a
# step, where memory is short; the gradient may be clipped, where the loss jumps; the
# learning rate may change; and somebody may be told of each batch.
#
# The optimizer is **Adam** {cite}`kingma2015` at a learning rate of 0.0005, as in
# the report. Adam gives each weight a step of its own, from running means of its
# gradient and of the gradient's square. `zero_grad` forgets the gradient of the step
# before; torch would add to it otherwise.
#
# Before a picture is shown, its bytes are scaled to 0 to 1; from each channel a mean is subtracted,
# and the rest is divided by a standard deviation. Both are those of ImageNet, which pretrained
# encoders expect.
#
# Otherwise the pictures are shown as they are, in another order in each epoch. They could also be changed
# at random each time, mirrored for example, masks included, so that the network seldom sees the
# same twice. Such changes are called *augmentation*. The report mentions none; what mirroring
# gives and takes is a question of {doc}`12_questions`.
#
# ## Judging without learning
#
# After each epoch the network answers for the validation pictures. No gradient is
# computed, and the batch normalisation uses the means it has collected, so that an
# answer does not depend on the other pictures of the batch.
#
# ```{literalinclude} ../src/unet_tutorial/training.py
# :pyobject: evaluate
# ```
#
# ## A run
#
# `fit` puts this together: it reads the data, trains, validates, and keeps the
# weights of the epoch with the best validation mIoU. Everything that decides the
# run, beside the data, is in its `Config`.

# %%
from pathlib import Path

from unet_tutorial.runs import Config
from unet_tutorial.training import epoch_line, fit

config = Config(
    "scratch",
    tuple(size),
    short_epochs,
    batch_size=batch_size,
    base_channels=base_channels,
    seed=seed,
)
runs = Path(out_dir) / "runs"
run = fit(
    config,
    Path(data_dir),
    runs / "short",
    overwrite=True,
    on_epoch=lambda row: print(epoch_line(row)),
)

# %% [markdown]
# If there are several epochs, a falling validation loss says that the network learns something that
# holds for pictures it was not trained on. In early epochs it may lie below the training loss. That
# one is a mean over the whole epoch, while the network still improves; the validation loss is
# measured when the epoch is over. The run left these files:

# %%
sorted(path.name for path in run.folder.iterdir())

# %% [markdown]
# `best.safetensors` holds the weights of the best epoch, `last.safetensors` those of the
# last, `history.csv` a row for each epoch, `setup.json` what decides the run, and
# `manifest.json` what one needs to make it again. While a run is under way there is a
# `checkpoint.pt` as well: a run that was stopped goes on from it, and ends as if it had
# never been stopped, on a CPU with the very same weights. In the manifest, look for the
# digest of the data and the versions. Long lines are cut here; the seed stands further
# right in `config`.

# %%
import json

for key, value in run.manifest.items():
    print(f"{key}: {json.dumps(value)[:80]}")

# %% [markdown]
# With these, the code and the data, the run can be made again.
#
# ## The learning rate
#
# Too small a rate wastes epochs; too large a rate overshoots. We train the same
# network from the same weights with a tenth of the report's rate and with ten
# times as much.

# %%
from dataclasses import replace

histories = {"0.0005": run.history}
for rate in (0.00005, 0.005):
    other = replace(config, learning_rate=rate)
    folder = runs / f"rate-{rate}"
    histories[f"{rate:.5f}".rstrip("0")] = fit(
        other, Path(data_dir), folder, overwrite=True
    ).history

# %% mystnb={"image": {"alt": "Loss curves and validation mIoU of three short runs with learning rates of 0.00005, 0.0005 and 0.005, training dashed and validation solid."}, "figure": {"caption": "Three learning rates, from the same initial weights.", "name": "fig-rates"}}
from unet_tutorial import plots

ordered = {rate: histories[rate] for rate in ("0.00005", "0.0005", "0.005")}
figure = plots.plot_losses(ordered)

# %% [markdown]
# After {result}`06_training.epochs` epochs the validation loss is
# {result}`06_training.final_val_loss.low:.3f` for a tenth of the report's rate,
# {result}`06_training.final_val_loss.report:.3f` for the report's own, and
# {result}`06_training.final_val_loss.high:.3f` for ten times as much. Look at the shape as
# well as at the last value: a curve that hardly falls has too small a rate, one that
# falls and jumps back may have too large a one, even if it ends lowest. And what a rate does in a few epochs does not
# settle what it does in a hundred.

# %% [markdown]
# ## Several processes
#
# What one process does in a step can be shared by several, each on a GPU or a machine of its
# own. Here two of them share this machine's processor, a thread each, with a network and
# pictures that are small enough for that. Each sees its part of every batch; their gradients are
# averaged at each step, and the sums behind loss and scores are added up over both.
# {mod}`unet_tutorial.processes` holds these parts. How much faster are they than one process with
# a single thread?

# %%
import os
import subprocess
import sys
import tempfile

from unet_tutorial.runs import load_run


def images_per_second(processes):
    with tempfile.TemporaryDirectory() as folder:
        options = {
            "--data": data_dir,
            "--model": "scratch",
            "--out": f"{folder}/run",
            "--size": "96x128",
            "--epochs": max(short_epochs // 3, 1),
            "--batch-size": batch_size,
            "--base-channels": 16,
        }
        command = [sys.executable, "-m", "torch.distributed.run"]
        command += ["--nproc-per-node", processes, "-m", "unet_tutorial", "train"]
        command += [word for option in options.items() for word in option]
        without_gpu = {"CUDA_VISIBLE_DEVICES": "", "DISABLE_MPS": "1"}
        subprocess.run(
            [str(word) for word in command],
            env=os.environ | without_gpu | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            check=True,
        )
        return load_run(Path(folder, "run")).manifest["images_per_second"]


speeds = {processes: images_per_second(processes) for processes in (1, 2)}
for processes, speed in speeds.items():
    print(f"{processes} processes: {speed:6.1f} images a second")

# %% tags=["remove-cell"]
from unet_tutorial.runs import save_results

save_results(
    out_dir,
    "06_training",
    profile,
    data_dir,
    epochs=short_epochs,
    final_val_loss={
        name: float(history["val_loss"].iloc[-1])
        for name, history in zip(("low", "report", "high"), ordered.values())
    },
    scaling={"one": speeds[1], "two": speeds[2], "gain": speeds[2] / speeds[1]},
)

# %% [markdown]
# Two processes train on {result}`06_training.scaling.two:.1f` images a second, one on
# {result}`06_training.scaling.one:.1f`: {result}`06_training.scaling.gain:.2f` times as many. It is
# not twice as many: the two must exchange gradients, work on half batches, and share the machine's
# memory. The manifest above gives `images_per_second` for a single process that has all threads of
# the machine; all three count the time of validation, too. In the published run, of the same
# network and size on a CPU, that is more than the two processes reach: on one CPU a single process
# is simpler and no slower. Several are for several GPUs or machines. {doc}`17_reproduce` has the
# calls.
#
# ## Summary
#
# - Answer, loss, gradient, step: the loop has four parts.
# - Validation pictures choose the epoch, test pictures judge it.
# - A run is a folder, and its manifest says how to make it again.
#
# ## Exercises

# %% [markdown]
# ```{exercise}
# :label: ex-training-1
# Overfit on purpose: train on a single batch, with a learning rate of 0.005, until
# the loss has clearly fallen. This is the quickest test of a new network. What would
# it tell you if the loss did not fall?
# ```
#
# ```{solution-start} ex-training-1
# :class: dropdown
# ```

# %%
from unet_tutorial.data.batches import batches
from unet_tutorial.data.cache import open_set
from unet_tutorial.losses import DiceLoss
from unet_tutorial.training import make_fabric, setup, train_one_epoch

fabric = make_fabric("auto")
data = open_set(Path(data_dir), tuple(size))
batch = next(batches(data.frames(data.pairs[:2]), 2, fabric.device))
state = setup(replace(config, learning_rate=0.005), 13, 2, fabric)
losses = train_one_epoch(
    state.model, [batch] * 30 * short_epochs, DiceLoss(), state.optimizer, fabric
)
for step in (*range(0, len(losses), 5 * short_epochs), len(losses) - 1):
    print(f"step {step:3}  loss {losses[step]:.3f}")

# %% [markdown]
# If it did not fall, something would be wrong: the loss, the labels, the rate, or the
# path of the gradient back to the weights. No amount of data or patience would help.
#
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-training-2
# Two runs with one seed: are they the same? Train twice for an epoch and compare
# the histories.
# ```
#
# ```{solution-start} ex-training-2
# :class: dropdown
# ```

# %%
once = replace(config, epochs=1)
first, second = (
    fit(once, Path(data_dir), runs / f"again-{i}", overwrite=True).history
    for i in (1, 2)
)
print("the same to the last digit:", first.equals(second))

# %% [markdown]
# On one machine's CPU they are. On a GPU some sums are added in an order that may change
# from run to run, and the last digits may differ.
#
# ```{solution-end}
# ```

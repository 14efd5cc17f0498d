# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
#   unet_tutorial:
#     needs: []
#     seconds: {ci: 14, laptop: 560, full: 1200}
# ---

# %% [markdown]
# # Results of the U-Net on a ResNet34
#
# After this chapter you can put a known network into a U-Net as its encoder,
# say what pretrained weights are and where they come from, and compare loss curves.
#
# *You need:* {doc}`07_scratch`.

# %% tags=["parameters"]
profile = "laptop"  # the profile's name, shown under results
data_dir = "data/town-laptop"  # folder with pairs of image and mask
out_dir = "_build/laptop"  # folder for runs and results
size = [96, 128]  # height and width at which the network sees the pictures
epochs = 40  # times through the training pictures; the report has 100
batch_size = 8  # pictures per step
learning_rate = 0.0005  # of Adam, as in the report
encoder_weights = "imagenet"  # what the encoder starts from: imagenet, none or a file
seed = 0  # decides the weights that are random, and the order

# %% [markdown]
# ## A borrowed encoder
#
# The encoder of a U-Net looks much like a network that classifies pictures. One
# can take such a network, which somebody has trained on more than a million
# labelled photographs (ImageNet {cite}`deng2009`), remove its last layer, and
# build a decoder on top. Here it is a ResNet with 34 layers {cite}`he2015`; the
# decoder is that of the library segmentation-models-pytorch {cite}`iakubovskii2019`.
#
# Two of its differences from ours matter here. It enlarges by repeating pixels, where ours has a
# transposed convolution. And its finest skip has half the picture's height and width, since the
# ResNet halves the picture in its first layer: the last step up has no skip.
#
# ```{literalinclude} ../src/unet_tutorial/models/resnet_unet.py
# :pyobject: ResNet34UNet
# ```
#
# Pretrained weights come from that library's hub. Where the hub cannot be reached,
# this chapter's network starts from random weights, and everything below says so.
# Which is it here?

# %%
from unet_tutorial.models.resnet_unet import available_encoder_weights

weights = available_encoder_weights(encoder_weights)
print("asked for:", encoder_weights)
print("to be had:", weights)

# %% [markdown]
# ```{important}
# This chapter asks for the weights **{result}`08_resnet34.weights_asked`**. The
# encoder of this page's run started from **{result}`08_resnet34.weights`** weights.
# ```
#
# Where these two differ, as in the published run, the report's second experiment is rebuilt in its
# architecture only, and nothing here says what ImageNet weights would have brought.
# {doc}`13_pretraining` pretrains on rendered streets instead.

# %% [markdown]
# ## Training
#
# Everything but the network is as in the chapter before: the same data, loss,
# optimizer and number of epochs.

# %%
from pathlib import Path

from unet_tutorial.runs import Config
from unet_tutorial.training import epoch_line, fit

config = Config(
    "resnet34",
    tuple(size),
    epochs,
    learning_rate,
    batch_size,
    seed,
    encoder_weights=weights,
)


def describe(row):
    """A line now and then: about ten in all, if there are that many epochs."""
    if row["epoch"] % max(epochs // 10, 1) == 0:
        print(epoch_line(row))


run = fit(
    config,
    Path(data_dir),
    Path(out_dir, "runs/resnet34"),
    overwrite=True,
    on_epoch=describe,
)

# %% [markdown]
# Compare these curves with {numref}`fig-scratch-loss`; the axes of the loss differ. Where does each
# start, how fast does it fall, and how far do training and validation lie apart at the end?

# %% mystnb={"image": {"alt": "Two plots over the epochs for the ResNet34 U-Net: training and validation loss above, validation mIoU below."}, "figure": {"caption": "Loss of training (dashed) and validation (solid), and validation mIoU, of the ResNet34 U-Net. The encoder started from {result}`08_resnet34.weights` weights.", "name": "fig-resnet-loss"}}
from unet_tutorial import plots

figure = plots.plot_losses({"ResNet34": run.history})

# %% [markdown]
# The training loss went from {result}`08_resnet34.first.train_loss:.4f` to
# {result}`08_resnet34.last.train_loss:.4f`, the validation loss from
# {result}`08_resnet34.first.val_loss:.4f` to
# {result}`08_resnet34.last.val_loss:.4f`. With the network from scratch they went from
# {result}`07_scratch.first.train_loss:.4f` to {result}`07_scratch.last.train_loss:.4f` and
# from {result}`07_scratch.first.val_loss:.4f` to {result}`07_scratch.last.val_loss:.4f`. In the
# published runs the ResNet34 begins lower, falls faster at first, and ends with the lower training
# loss and the higher validation loss.
#
# In the report they went with this network from
# {result}`report.resnet34.first:.4f` to {result}`report.resnet34.last:.4f` and from
# {result}`report.resnet34.val_first:.4f` to {result}`report.resnet34.val_last:.4f` in 100
# epochs, probably on another scale: {doc}`10_plateau`. The weights kept are those of epoch
# {result}`08_resnet34.best_epoch`, the best on the validation pictures.

# %% [markdown]
# ## Scores on the test pictures
#
# Which classes does the network find, and which does it miss?

# %%
import pandas as pd

from unet_tutorial.data.pairs import find_pairs, read_pair
from unet_tutorial.data.split import split_pairs
from unet_tutorial.prediction import Predictor, score

test = split_pairs(find_pairs(Path(data_dir)))["test"]
predictor = Predictor(run)
scores, _ = score(predictor, test)
pd.DataFrame(scores["per_class"]).T.astype(float).round(3)

# %% tags=["remove-cell"]
from unet_tutorial.runs import save_results

save_results(
    out_dir,
    "08_resnet34",
    profile,
    data_dir,
    **run.summary(),
    weights_asked=encoder_weights,
    test=scores,
)

# %% [markdown]
# Compare road, with an IoU of {result}`08_resnet34.test.per_class.Roads.iou:.3f`, and vehicles, the
# hood included, {result}`08_resnet34.test.per_class.Vehicles.iou:.3f`, with fences,
# {result}`08_resnet34.test.per_class.Fences.iou:.3f`, and pedestrians,
# {result}`08_resnet34.test.per_class.Pedestrians.iou:.3f`. In the published run rare things are
# found far less well than frequent ones, poles less well than the broad classes, but road lines
# better than walls; traffic signs, which the network from scratch missed, are sometimes found, and
# {doc}`11_seeds` asks whether that holds for other seeds.
#
# Over all test pictures the mIoU is {result}`08_resnet34.test.miou:.3f`, the mean
# Dice {result}`08_resnet34.test.dice:.3f` and the pixel accuracy
# {result}`08_resnet34.test.pixel_accuracy:.3f`, for
# {result}`08_resnet34.parameters:,` parameters. The network from scratch has an mIoU of
# {result}`07_scratch.test.miou:.3f`, with {result}`07_scratch.parameters:,`.
#
# In the published runs the network with more parameters scores lower. It ends with the lower
# training loss and the higher validation loss: it fits the training pictures better and new ones
# worse. Both networks start from random weights. Many parameters for few pictures, the missing finest
# skip, and deepest features of half as many rows and columns may each have a part in that.

# %% [markdown]
# ## Predictions
#
# These are the pictures of {numref}`fig-scratch-predictions`. Look at the outlines of trees and at
# the poles. {doc}`09_comparison` puts both answers side
# by side.

# %% mystnb={"image": {"alt": "Three test pictures in rows, each with its true mask and the mask predicted by the ResNet34 U-Net."}, "figure": {"caption": "Test pictures, their masks, and the answers of the ResNet34 U-Net. The encoder started from {result}`08_resnet34.weights` weights.", "name": "fig-resnet-predictions"}}
rows = []
for pair in test[:: max(len(test) // 3, 1)][:3]:
    image, mask = read_pair(pair)
    rows.append([image, mask, predictor.mask(image)])
figure = plots.plot_grid(rows, ["picture", "mask", "prediction"])

# %% [markdown]
# The mistakes are of the same kinds as in the chapter before. In the published answers the edges of
# the ResNet34 are smoother, and thin poles break off sooner. The missing skip at full size is a
# likely cause; {doc}`12_questions` cuts skips to see what they carry.
#
# ## Summary
#
# - An encoder can be borrowed, with or without its weights.
# - Which weights it started from belongs to every result.
#
# ## Exercises

# %% [markdown]
# ```{exercise}
# :label: ex-resnet-1
# How are the parameters shared out between encoder and decoder, and how many has
# the network from scratch at the paper's width of 64?
# ```
#
# ```{solution-start} ex-resnet-1
# :class: dropdown
# ```

# %%
from unet_tutorial.models.resnet_unet import ResNet34UNet

network = ResNet34UNet().network
for name in ("encoder", "decoder", "segmentation_head"):
    count = sum(weight.numel() for weight in getattr(network, name).parameters())
    print(f"{name:18} {count:>12,}")

from unet_tutorial.models.unet import UNet

print(
    f"from scratch at 64 {sum(weight.numel() for weight in UNet().parameters()):>12,}"
)

# %% [markdown]
# Most of them sit in the encoder: that is what pretraining can fill. At the paper's
# width the network from scratch is the larger of the two.
#
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-resnet-2
# The ResNet halves the picture five times, the network from scratch four times.
# Look at the shapes of what its encoder returns, for a picture of 64x64 and one of
# 33x33. The last one feeds the decoder from below. From which size on has it more
# than one position?
# ```
#
# ```{solution-start} ex-resnet-2
# :class: dropdown
# ```

# %%
import torch

for side in (64, 33):
    shapes = [
        tuple(f.shape[1:])
        for f in network.eval().encoder(torch.zeros(1, 3, side, side))
    ]
    print(side, *shapes)

# %% [markdown]
# The first is the picture itself, the last is 1/32 of its height and width, rounded
# up: from 33 pixels on there are two positions each way.
#
# ```{solution-end}
# ```

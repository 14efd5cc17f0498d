# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
#   unet_tutorial:
#     needs: []
#     seconds: {ci: 9, laptop: 10, full: 20}
# ---

# %% [markdown]
# # The U-Net, written from scratch
#
# After this chapter you can draw a U-Net, follow the shape of a picture through
# it, say what its skip connections are for, and read the library's code for it.
#
# *You need:* {doc}`03_data`; what a convolution and a ReLU are.

# %% tags=["parameters"]
profile = "laptop"  # the profile's name, shown under results
out_dir = "_build/laptop"  # folder for results
size = [96, 128]  # height and width of the pictures, in pixels
base_channels = 16  # width of the first block; the paper has 64

# %% [markdown]
# ## The idea
#
# A network that is to name the class of a pixel needs two things: the wide view
# (this is a street, so the grey below is road) and the exact place (the kerb runs
# *here*). Pooling gives the wide view and loses the place. The U-Net
# {cite}`ronneberger2015` goes down to get the one, up again to get the other, and
# carries the places across.
#
# ```{figure} _static/unet.svg
# :name: fig-unet
# :alt: A diagram in the shape of a U. Four encoder blocks on the left, each lower and wider than the one above it, the bridge at the bottom, four decoder blocks on the right, and four horizontal arrows, the skip connections, from left to right.
#
# The U-Net. Each step down halves height and width and doubles the channels; each
# step up does the reverse and joins what the skip connection carries across.
# ```
#
# We follow a batch with one picture, here of random numbers, through all of it.

# %%
import torch
from torch import nn

from unet_tutorial.models.unet import DoubleConv, Down, UNet, Up

image = torch.randn(1, 3, *size)
image.shape

# %% [markdown]
# Shapes are written `[N, C, H, W]` throughout: pictures in the batch, channels,
# height, width.

# %% [markdown]
# ## The encoder
#
# A block of the encoder applies two 3x3 convolutions, each followed by a ReLU. A
# 3x3 convolution with a padding of 1 keeps height and width:
# $H + 2 \cdot 1 - 3 + 1 = H$.
#
# ```{literalinclude} ../src/unet_tutorial/models/unet.py
# :pyobject: DoubleConv
# ```
#
# Batch normalisation {cite}`ioffe2015` stands between convolution and ReLU. In training it shifts
# and scales each channel to mean 0 and variance 1 over all positions of all pictures of the batch,
# and then to a mean and a spread of its own that are learnt; once training is over, it uses averages that it collected meanwhile.
# The paper of the U-Net has none, and the report does not mention any. Nor does the paper pad its
# convolutions: its answers are smaller than its pictures, and its skips are cropped.
#
# `Down` hands the block's output on twice: as it is, as the skip, and halved by 2x2 max pooling, to
# the next block. What are the two shapes?
#
# ```{literalinclude} ../src/unet_tutorial/models/unet.py
# :pyobject: Down
# ```

# %%
skip, features = Down(3, base_channels)(image)
print("skip ", list(skip.shape))
print("down ", list(features.shape))

# %% [markdown]
# The skip has the full size; what goes down has half of it. Half the height and
# half the width are a quarter of the positions, so the next block can afford twice
# the channels. Pooling has no weights and saves none, though the report says so: it saves
# multiplications.

# %% [markdown]
# ## The bridge
#
# After four such steps the picture is a sixteenth as high and as wide. The
# bridge, one more pair of convolutions, works there. One position of it sees a
# large part of the picture. How large? A 3x3 convolution widens the view by 2
# positions, and each position of level $l$ is $2^l$ pixels wide:

# %%
view, step = 1, 1
for level in range(5):
    view += 2 * 2 * step  # two convolutions
    if level < 4:
        view += step  # the pooling joins two positions
        step *= 2
print(f"a position of the bridge sees {view} x {view} pixels")

# %% [markdown]
# This is the *receptive field* of the bridge. Compare it with the {result}`04_unet.height` rows of
# the pictures that this build trains on. Where it is larger, as in the published run, a position in
# the middle can use the whole height. Where it is smaller, what lies outside cannot help to tell
# road from pavement. The decoder widens it by some positions of the bridge more ({ref}`ex-unet-2`).

# %% [markdown]
# ## The decoder and the skip connections
#
# `Up` doubles height and width by a 2x2 transposed convolution, puts the skip of
# the same size beside the result, and lets two convolutions mix both.
#
# ```{literalinclude} ../src/unet_tutorial/models/unet.py
# :pyobject: Up
# ```
#
# Without the skip, the decoder would have to guess where in each 2x2 patch an
# edge ran. With it, the exact place is there to be read. The skips are also a short
# way for the gradient from the loss to the first layers.

# %%
up = Up(2 * base_channels, base_channels)
coarse = torch.randn(1, 2 * base_channels, size[0] // 2, size[1] // 2)
print("up   ", list(up(coarse, skip).shape))

# %% [markdown]
# The output has the skip's height and width again.

# %% [markdown]
# ## All of it
#
# The whole network is the loop over these parts, and a 1x1 convolution at the
# end that makes one number per class from each pixel's features.
#
# ```{literalinclude} ../src/unet_tutorial/models/unet.py
# :pyobject: UNet
# ```

# %%
model = UNet(num_classes=13, base_channels=base_channels)
logits = model(image)
parameters = sum(weight.numel() for weight in model.parameters())
print("logits    ", list(logits.shape))
print("parameters", f"{parameters:,}")

# %% [markdown]
# Now step by step: where is the picture smallest, and where has it most channels?

# %%
features, skips = image, []
for down in model.encoder:
    skip, features = down(features)
    skips.append(skip)
    print("down  ", list(features.shape), "and a skip", list(skip.shape))
features = model.bridge(features)
print("bridge", list(features.shape))
for up, skip in zip(model.decoder, reversed(skips)):
    features = up(features, skip)
    print("up    ", list(features.shape))

# %% [markdown]
# In the bridge it is smallest and has most channels. On the way up each step ends with the height
# and width of the skip that it takes in.

# %% tags=["remove-cell"]
from unet_tutorial.runs import save_results

with_64 = sum(weight.numel() for weight in UNet(base_channels=64).parameters())
save_results(
    out_dir,
    "04_unet",
    profile,
    "random numbers",
    parameters=parameters,
    parameters_64=with_64,
    base_channels=base_channels,
    height=size[0],
)

# %% [markdown]
# There are 13 **logits** for each pixel: any real numbers, larger for a likelier
# class. No softmax stands at the end. The loss applies it, and applying it twice
# is a mistake that the chapter on the {doc}`Dice loss <05_dice_loss>` looks at.
#
# With {result}`04_unet.base_channels` channels in the first block the network has
# {result}`04_unet.parameters:,` parameters; with the paper's 64 it has
# {result}`04_unet.parameters_64:,`.

# %% [markdown]
# ## Pictures of any size
#
# Four halvings want sides divisible by 16, and 600 (the height of the real
# pictures) is not. The network therefore repeats the border up to the next
# multiple and cuts its answer back:
#
# ```{literalinclude} ../src/unet_tutorial/models/padding.py
# :pyobject: pad_and_crop
# ```

# %%
with torch.inference_mode():
    print(list(model(torch.randn(1, 3, 75, 101)).shape))

# %% [markdown]
# The answer has the size of the picture, whatever it is.
#
# ## Summary
#
# - The encoder widens the view and loses the place; the decoder brings it back.
# - The skip connections carry exact places across at every size.
# - The network returns logits, `[N, 13, H, W]`, for pictures of any size.
#
# ## Exercises

# %% [markdown]
# ```{exercise}
# :label: ex-unet-1
# A 3x3 convolution from $a$ to $b$ channels has $9ab$ weights. Work out the
# parameters of the first `DoubleConv` by hand, batch normalisation included, and
# check.
# ```
#
# ```{solution-start} ex-unet-1
# :class: dropdown
# ```

# %%
first = DoubleConv(3, base_channels)
by_hand = 9 * 3 * base_channels + 9 * base_channels**2 + 2 * 2 * base_channels
print(by_hand, sum(weight.numel() for weight in first.parameters()))

# %% [markdown]
# Each batch normalisation has a scale and a shift per channel. The convolutions
# have no bias, since the shift does its work.
#
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-unet-2
# Measure the receptive field of the whole network: set all weights to one positive
# number and all biases to 0, ask for the gradient of one logit in the middle with
# respect to a large picture, and count the rows with a gradient. Why is it more than
# that of the bridge?
# ```
#
# ```{solution-start} ex-unet-2
# :class: dropdown
# ```

# %%
probe = UNet(num_classes=1, base_channels=2).eval()
for module in probe.modules():
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.constant_(module.weight, 0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
picture = torch.ones(1, 3, 320, 320, requires_grad=True)
probe(picture)[0, 0, 160, 160].backward()
seen = picture.grad.abs().sum(dim=(0, 1)) > 0
print("height of the view:", int(seen.any(dim=1).sum()))

# %% [markdown]
# The decoder's convolutions widen the view once more on the way up. The skips add
# nothing to it: their view is smaller and lies inside that of the bridge.
#
# The count is 15 rows short. On a picture of one colour the four values of a pooling patch
# are equal, and torch sends the gradient to one of them alone, so that the 1 + 2 + 4 + 8
# rows that pooling adds are missed. The whole field of this pixel is that of the bridge and
# three of its positions more, of 16 rows each. Most other pixels see four more: it depends on
# where in its position of the bridge a pixel lies. With weights of both signs the field is
# the same, but a ReLU that is 0 hides a part of it from the gradient in the same way.
#
# ```{solution-end}
# ```

# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
#   unet_tutorial:
#     needs: []
#     seconds: {ci: 8, laptop: 8, full: 10}
# ---

# %% [markdown]
# # The Dice loss
#
# After this chapter you can compute a Dice coefficient by hand, say why it suits
# classes of very different size, and recognise the mistake of a softmax taken
# twice by the value at which the loss gets stuck.
#
# *You need:* {doc}`04_unet`; what a softmax is.

# %% tags=["parameters"]
profile = "laptop"  # the profile's name, shown under results
out_dir = "_build/laptop"  # folder for results
seed = 0  # decides the random masks of this chapter

# %% [markdown]
# ## Two sets of pixels
#
# Let $A$ be the pixels that the network calls *car*, and $B$ those that are.
# The Dice coefficient compares their overlap with their sizes:
#
# $$
# \mathrm{Dice} = \frac{2\,|A \cap B|}{|A| + |B|}
# $$
#
# It is 1 if both sets are the same and 0 if they share no pixel. IoU divides by
# the union instead, and each follows from the other:
# $\mathrm{IoU} = \mathrm{Dice} / (2 - \mathrm{Dice})$.
#
# Take three pixels called *car* of which two are right, and four that are cars:

# %%
import torch

answer = torch.tensor([1, 1, 1, 0, 0, 0, 0, 0])
truth = torch.tensor([0, 1, 1, 1, 1, 0, 0, 0])
overlap = (answer * truth).sum()
dice = 2 * overlap / (answer.sum() + truth.sum())
print(f"Dice {dice:.3f}, IoU {dice / (2 - dice):.3f}")

# %% [markdown]
# By hand: $2 \cdot 2 / (3 + 4) = 4/7$, and the union has 5 pixels, so IoU is
# $2/5$. Counting sets is a step function, though: it has no gradient to learn
# from.

# %% [markdown]
# ## Soft sets
#
# The soft Dice coefficient {cite}`milletari2016` replaces *is in $A$* by the
# probability $p$ that the network gives:
#
# $$
# \mathrm{Dice}_c =
#   \frac{2 \sum_i p_{ic}\, y_{ic}}{\sum_i p_{ic} + \sum_i y_{ic}}
# $$
#
# The paper squares $p$ and $y$ in the denominator and has one class only. The plain sums here follow
# the definition above, and are as common: segmentation-models-pytorch has them, too.
#
# The sums run over all pixels $i$ of the whole batch, $y_{ic}$ is 1 where the
# mask says class $c$. The loss is one minus the mean over the classes that occur
# in the batch:
#
# ```{literalinclude} ../src/unet_tutorial/losses.py
# :pyobject: dice_sums
# ```
#
# ```{literalinclude} ../src/unet_tutorial/losses.py
# :pyobject: soft_dice
# ```
#
# ```{literalinclude} ../src/unet_tutorial/losses.py
# :pyobject: DiceLoss.forward
# :dedent: 4
# ```
#
# The two extremes are worth checking on any loss before it is trusted. What does
# a perfect answer score, and what a uniform guess?

# %%
from torch.nn import functional

from unet_tutorial.losses import DiceLoss

num_classes = 13
generator = torch.Generator().manual_seed(seed)
mask = torch.randint(num_classes, (2, 32, 32), generator=generator)
perfect = 50.0 * functional.one_hot(mask, num_classes).movedim(-1, 1)
uniform = torch.zeros(2, num_classes, 32, 32)
loss_function = DiceLoss()
print(f"perfect answer {loss_function(perfect, mask):.3f}")
print(f"uniform guess  {loss_function(uniform, mask):.3f}")

# %% [markdown]
# A perfect answer scores 0. With 13 classes of equal size, a uniform guess gives
# each pixel a probability of 1/13, so every Dice is
# $2 \cdot \tfrac{1}{13} / 2 = 1/13$ and the loss is 12/13.

# %% [markdown]
# ## Why not simply count pixels
#
# The cross-entropy, the most common loss, is the mean over all pixels of minus the logarithm of the
# true class's probability. A class that covers a thousandth of the pixels has a thousandth of the
# weight in that mean. In the Dice loss every class that occurs has the same weight, however small
# it is. Here is a picture with a sign of 4 pixels that the answer misses entirely:

# %%
street = torch.zeros(1, 64, 64, dtype=torch.long)
street[0, 30:32, 30:32] = 1
blind = torch.stack([torch.full((1, 64, 64), 5.0), torch.zeros(1, 64, 64)], dim=1)
print(f"cross-entropy {functional.cross_entropy(blind, street):.3f}")
print(f"Dice loss     {loss_function(blind, street):.3f}")

# %% [markdown]
# The cross-entropy is close to 0 and content. The Dice loss is about one half:
# one of the two classes is lost.
#
# That is the value of the loss. What moves the weights is its gradient, and {ref}`ex-dice-2` shows
# that it fades once the network is certain of a wrong answer. So a rare class may still be missed,
# as in {doc}`07_scratch`.

# %% [markdown]
# ## A softmax taken twice
#
# `DiceLoss` expects logits and applies the softmax itself. If the network ends in a softmax as
# well, the loss sees probabilities where it expects logits. These lie between 0 and 1, and after
# the second softmax no class can be more than $e$ times as likely as another, so that the many
# wrong classes together outweigh the right one. What does a perfect answer score now?

# %%
twice = loss_function(perfect.softmax(dim=1), mask)
print(f"perfect answer, softmax twice {twice:.3f}")

# %% tags=["remove-cell"]
from unet_tutorial.runs import save_results

save_results(
    out_dir,
    "05_dice_loss",
    profile,
    "hand-made masks",
    perfect=loss_function(perfect, mask).item(),
    uniform=loss_function(uniform, mask).item(),
    twice=twice.item(),
)

# %% [markdown]
# The best possible answer scores {result}`05_dice_loss.twice:.3f`, and a useless
# one {result}`05_dice_loss.uniform:.3f`: all that learning can gain lies in the
# narrow gap between them. For $C$ classes the second softmax gives the right
# class at most $e / (e + C - 1)$.
#
# The report says that its network ends in a softmax, and its loss falls only from
# {result}`report.scratch.first:.2f` to {result}`report.scratch.last:.2f` in 100 epochs. A
# softmax taken twice would explain so small a fall. It does not explain the values by itself,
# since both are below the gap computed here; {doc}`10_plateau` takes this up. The rule holds
# in any case: **see what a perfect answer scores before you trust a loss.**
#
# How wide is the gap for other numbers of classes?

# %% mystnb={"image": {"alt": "Two curves over the number of classes: the loss of a uniform guess rises from 0.5 towards 1, and the loss of a perfect answer behind two softmaxes rises below it, so that the gap between them shrinks from about 0.2 to about 0.06."}, "figure": {"caption": "The interval from a uniform guess to a perfect answer if the softmax is taken twice, for classes of equal size.", "name": "fig-twice"}}
import math

from unet_tutorial import plots

classes = range(2, 25)
best = [1 - math.e / (math.e + c - 1) for c in classes]
figure = plots.plot_curve(
    classes,
    {
        "uniform guess": [1 - 1 / c for c in classes],
        "perfect answer, softmax twice": best,
    },
    "number of classes",
    "Dice loss",
)

# %% [markdown]
# From three classes on, the gap narrows with each further class.
#
# ## Summary
#
# - Dice compares an overlap with the sizes of two sets; the soft version can be
#   learnt from.
# - Every class that occurs weighs the same in the value. That is not the same gradient: a class
#   that the network is certain never to answer gets almost none.
# - The loss expects logits. A perfect answer must score 0.
#
# ## Exercises

# %% [markdown]
# ```{exercise}
# :label: ex-dice-1
# Derive $\mathrm{IoU} = \mathrm{Dice} / (2 - \mathrm{Dice})$ from the
# definitions, and check it on a random answer with the library's confusion matrix.
# ```
#
# ```{solution-start} ex-dice-1
# :class: dropdown
# ```
#
# With $I = |A \cap B|$ and $S = |A| + |B|$, the union has $S - I$ pixels. So
# $\mathrm{IoU} = I/(S - I)$ and $\mathrm{Dice} = 2I/S$; put $S = 2I/\mathrm{Dice}$
# into the first.

# %%
from unet_tutorial.metrics import ConfusionMatrix

confusion = ConfusionMatrix(3)
confusion.update(torch.randint(3, (5000,)), torch.randint(3, (5000,)))
difference = confusion.iou() - confusion.dice() / (2 - confusion.dice())
print(f"largest difference {difference.abs().max():.1e}")

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-dice-2
# Take the gradient of both losses for the picture with the lost sign, with respect
# to the logits of the sign's class. How large is the push on the sign's four pixels, and
# which part of the whole is it? Try networks that are less and more sure than 5 of their
# answer.
# ```
#
# ```{solution-start} ex-dice-2
# :class: dropdown
# ```

# %%
for sure in (1.0, 3.0, 5.0, 7.0, 10.0):
    logits = torch.stack([torch.full((1, 64, 64), sure), torch.zeros(1, 64, 64)], dim=1)
    for name, function in (
        ("cross-entropy", functional.cross_entropy),
        ("Dice", loss_function),
    ):
        answer = logits.clone().requires_grad_()
        function(answer, street).backward()
        push = answer.grad[0, 1].abs()
        on_sign = push[30:32, 30:32].sum()
        print(
            f"logit {sure:2.0f}, {name:13}: {on_sign:.1e} on the sign, "
            f"{on_sign / push.sum():5.1%} of the whole"
        )

# %% [markdown]
# The sign covers a thousandth of the picture. Up to a logit between 6 and 7, where the network is
# all but certain, the Dice loss turns a larger part of its push to these four pixels than the
# cross-entropy, since it divides by the size of the class and not by that of the picture. Both
# parts grow with certainty. In the cross-entropy the other pixels are right already and push less
# and less. In the Dice loss, too, the other pixels push less and less. The push of the four first
# grows a little, since the class shrinks in the answer and each of its pixels counts the more, and
# fades only where the network is all but certain. The other pixels push the sign's logit down and
# the four push it up: that is why the part matters.
#
# The part is not the size. The cross-entropy pushes the harder the surer the network is of a
# wrong answer. The Dice loss is built on probabilities, and where the softmax is as good as 0
# or 1 it hardly moves with the logits: in the last line there is next to no push left. So a
# class that is never answered is discovered late ({doc}`07_scratch`).
#
# ```{solution-end}
# ```

# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
#   unet_tutorial:
#     needs: [02_road_scenes]
#     study: true
#     seconds: {ci: 20, laptop: 6000, full: 9000}
# ---

# %% [markdown]
# # Compared fairly: several seeds
#
# After this chapter you can tell a difference between two networks from the luck of a
# seed, report a score with its spread, and check whether a network knows how sure it
# may be.
#
# *You need:* {doc}`09_comparison`.

# %% tags=["parameters"]
profile = "laptop"  # the profile's name, shown under results
data_dir = "data/town-laptop"  # folder with pairs of image and mask
out_dir = "_build/laptop"  # folder for runs and results
size = [96, 128]  # height and width at which the networks see the pictures
epochs = 40  # times through the training pictures
batch_size = 8  # pictures per step
learning_rate = 0.0005  # of Adam, as in the report
base_channels = 16  # width of the first block of the network from scratch
seeds = [0, 1, 2]  # one run of each network for each
far_size = [192, 256]  # height and width in the runs that go further
far_epochs = 80  # their length
far_batch = 4  # and their pictures per step
real_dir = "data/lyft"  # the real Lyft data, if they are there

# %% [markdown]
# ## What is the same, and what is not
#
# In {doc}`09_comparison` each network was trained once, as the report did it. Here each is
# trained {result}`11_seeds.seeds` times with the same recipe, from other initial weights
# and in another order each time. The first seed is the one of that chapter: its run from
# scratch comes out once more here, and so does that of the ResNet34 if it had random weights
# there. Only the other seeds are new.
#
# Data, split, epochs, batches, loss, learning rate and augmentation are the same for both
# networks. The same seed shows both the same pictures in the same order; their initial
# weights cannot be compared. The ResNet34 starts from **random** weights in all of these
# runs; what pretraining brings is the matter of {doc}`13_pretraining`. So the networks differ in
# architecture, and in how their random weights are drawn, each as its library does it. The learning
# rate is the report's for both, and was tuned for neither.
#
# Which network learns faster at first, which is ahead at the end, and where do the bands overlap?

# %%
from dataclasses import replace
from pathlib import Path

import pandas as pd

from unet_tutorial import plots
from unet_tutorial.models import MODEL_NAMES
from unet_tutorial.runs import Config
from unet_tutorial.training import fit

recipe = Config(
    "scratch",
    tuple(size),
    epochs,
    learning_rate,
    batch_size,
    base_channels=base_channels,
)
runs = {
    (model, seed): fit(
        replace(recipe, model=model, seed=seed),
        Path(data_dir),
        Path(out_dir, "runs", f"{model}-seed-{seed}"),
        overwrite=True,
    )
    for model in MODEL_NAMES
    for seed in seeds
}

# %% mystnb={"image": {"alt": "Above, the training loss (dashed) and validation loss (solid) of both networks over the epochs, each a mean with a band over the seeds; below, the validation mIoU of both."}, "figure": {"caption": "Losses and validation mIoU of both networks: the mean over the seeds, and a band from the lowest to the highest.", "name": "fig-seeds"}}
curves = pd.concat(
    run.history.assign(model=plots.MODEL_TITLES[model])
    for (model, _), run in runs.items()
)
figure = plots.plot_spread(curves)

# %% [markdown]
# Where the bands of the two networks overlap, a single run of each might have come out
# either way. In the published runs the ResNet34 learns faster at first, and at the end the network
# from scratch has the lower validation loss and the higher mIoU, while the training losses end close
# together: the ResNet34 fits the training pictures as well, and carries over worse. It has many times
# the parameters for the same few pictures, and its decoder has no skip at full resolution, where
# poles and signs live. A ResNet34 is usually taken for its pretrained weights, which it does not
# have here.
#
# ## Scores
#
# Each run is scored on the test pictures at the size of their masks. F0.5 of the road punishes
# false road more than missed road; F2 of vehicles punishes missed vehicles more than false ones.
# Both follow the Lyft challenge: lines count as road, and the camera's own hood is no vehicle. The
# two IoUs do not: that of roads leaves the lines out, that of vehicles includes the hood. The
# pictures per second are those of one picture at a time, from the decoded picture to its mask.

# %%
import time

from unet_tutorial.data.pairs import find_pairs, read_pair
from unet_tutorial.data.split import split_pairs
from unet_tutorial.prediction import Predictor, score

test = split_pairs(find_pairs(Path(data_dir)))["test"]
predictors = {key: Predictor(run) for key, run in runs.items()}
scored = {key: score(predictor, test) for key, predictor in predictors.items()}


def pictures_per_second(predictor, image, count=20):
    predictor.mask(image)  # the first call prepares
    began = time.perf_counter()
    for _ in range(count):
        predictor.mask(image)
    return count / (time.perf_counter() - began)


def measures_of(scores, run):
    return {
        "mIoU": scores["miou"],
        "Dice": scores["dice"],
        "accuracy": scores["pixel_accuracy"],
        "road F0.5": scores["road_f05"],
        "vehicle F2": scores["vehicle_f2"],
        "road IoU": scores["per_class"]["Roads"]["iou"],
        "vehicle IoU": scores["per_class"]["Vehicles"]["iou"],
        "minutes": run.manifest["seconds"] / 60,
    }


image, _ = read_pair(test[0])
rows = [
    {
        "model": model,
        "seed": seed,
        **measures_of(scores, runs[model, seed]),
        "pictures/s": pictures_per_second(predictors[model, seed], image),
    }
    for (model, seed), (scores, _) in scored.items()
]
table = pd.DataFrame(rows)
measures = list(table.columns[2:])
mean = table.groupby("model", sort=False)[measures].mean()
spread = table.groupby("model", sort=False)[measures].std(ddof=1).fillna(0)
shown = mean.round(3).astype(str) + " ± " + spread.round(3).astype(str)
shown.T.rename(columns=plots.MODEL_TITLES)

# %% tags=["remove-cell"]
import json

KEYS = {
    "mIoU": "miou",
    "Dice": "dice",
    "accuracy": "pixel_accuracy",
    "road F0.5": "road_f05",
    "vehicle F2": "vehicle_f2",
    "road IoU": "road_iou",
    "vehicle IoU": "vehicle_iou",
    "minutes": "minutes",
    "pictures/s": "pictures_per_second",
}
baselines = json.loads(Path(out_dir, "results/02_road_scenes.json").read_text())
numbers = {
    model: {
        key: {
            "mean": float(mean.loc[model, measure]),
            "spread": float(spread.loc[model, measure]),
        }
        for measure, key in KEYS.items()
    }
    | {"parameters": runs[model, seeds[0]].manifest["parameters"]}
    for model in MODEL_NAMES
}
gains = [
    scored["resnet34", seed][0]["miou"] - scored["scratch", seed][0]["miou"]
    for seed in seeds
]

# %% [markdown]
# The number after ± is the standard deviation over the seeds; that of the mean of $n$ runs
# is smaller by the factor $1/\sqrt{n}$. Were a spread nearly as large as its score, some of the
# runs would have failed, and the mean would describe none of them.
#
# What do the networks bring beyond the two baselines of {doc}`02_road_scenes`, which only count? (The
# second of these sees the pictures at the reduced size, as the networks do.)
#
# | on the test pictures | parameters | mIoU | accuracy |
# | --- | --: | --: | --: |
# | most frequent class of each position | – | {result}`11_seeds.baselines.position:.3f` | {result}`02_road_scenes.pixel_accuracy:.3f` |
# | most frequent class of each colour and place | – | {result}`11_seeds.baselines.colour:.3f` | {result}`02_road_scenes.by_colour.pixel_accuracy:.3f` |
# | U-Net from scratch | {result}`11_seeds.scratch.parameters:,` | {result}`11_seeds.scratch.miou.mean:.3f` ± {result}`11_seeds.scratch.miou.spread:.3f` | {result}`11_seeds.scratch.pixel_accuracy.mean:.3f` ± {result}`11_seeds.scratch.pixel_accuracy.spread:.3f` |
# | ResNet34 U-Net | {result}`11_seeds.resnet34.parameters:,` | {result}`11_seeds.resnet34.miou.mean:.3f` ± {result}`11_seeds.resnet34.miou.spread:.3f` | {result}`11_seeds.resnet34.pixel_accuracy.mean:.3f` ± {result}`11_seeds.resnet34.pixel_accuracy.spread:.3f` |
#
# In the published runs colour and place answer about twice as many pixels wrongly as the networks.
# In the mIoU, where small classes count as much as large ones, they fall farther behind.
#
# The difference in mIoU, ResNet34 less scratch, goes seed by seed from
# {result}`11_seeds.gain.lowest:+.3f` to {result}`11_seeds.gain.highest:+.3f`. In the published runs
# both are negative: the network from
# scratch is ahead with every seed. That alone says little, since even of two equal networks three
# seeds agree in one case of four. But two such means differ by chance with a standard deviation of
# $\sqrt{(s_1^2 + s_2^2)/3}$, from both spreads $s$, and these lie about four of that apart. With many
# seeds that would settle it. Three know their own spread badly: by Student's t distribution with two
# degrees of freedom, chance alone gives a ratio of four or more in about one case of twenty. So this
# is evidence, and no strong one.
#
# Mind what the spread leaves out. All runs share one training part and one test part; what other
# streets would change, it does not say.
#
# ## Class by class
#
# On which classes do the seeds disagree?

# %% mystnb={"image": {"alt": "Horizontal bars of the IoU of each of the 13 classes for both networks, means over the seeds with lines for their standard deviation."}, "figure": {"caption": "IoU of each class on the test pictures: means over the seeds, lines for their standard deviation.", "name": "fig-seeds-classes"}}
per_class = pd.DataFrame(
    {"class": name, "model": plots.MODEL_TITLES[model], "iou": values["iou"]}
    for (model, _), (scores, _) in scored.items()
    for name, values in scores["per_class"].items()
)
figure = plots.plot_per_class(per_class)

# %% [markdown]
# Where a line is long, a single run is least to be trusted. In the published runs the longest by
# far is that of traffic signs from scratch, which the first seed does not find at all. A class that
# is found or not moves the mIoU by a thirteenth of its IoU, and here that is about two thirds of what
# the first seed lacks to the others: much of the spread is the luck of whether a rare class is
# discovered. Mind a rare class with a short line near 0: all runs agree there, because none finds
# it, as pedestrians from scratch.
#
# ## Some pictures and the worst
#
# The answers are those of the first seed. The first three rows are evenly spaced test
# pictures, the last three those with the most wrong pixels. A picture that is both stands there
# twice.

# %% mystnb={"image": {"alt": "Six rows of test pictures, three evenly spaced and the three with the most wrong pixels, each with its true mask and the answers of both networks."}, "figure": {"caption": "Three test pictures, evenly spaced, and the three with the most wrong pixels: mask and both answers. Both networks started from random weights.", "name": "fig-seeds-pictures"}}
first = {model: predictors[model, seeds[0]] for model in MODEL_NAMES}


def compare(pair):
    image, mask = read_pair(pair)
    return [image, mask, *(predictor.mask(image) for predictor in first.values())]


compared = [compare(pair) for pair in test]
right = [sum((answer == row[1]).mean() for answer in row[2:]) / 2 for row in compared]
typical = list(range(0, len(test), max(len(test) // 3, 1)))[:3]
worst = sorted(range(len(test)), key=right.__getitem__)[:3]
figure = plots.plot_grid(
    [compared[i] for i in typical + worst],
    ["picture", "mask", "from scratch", "ResNet34"],
)

# %% [markdown]
# Averaged over both networks, the worst picture has {result}`11_seeds.worst:.1%` of its
# pixels right; the mean over all is {result}`11_seeds.mean:.1%`. In the published worst ones large
# areas go wrong: a sidewalk is taken for bare ground (which the masks call *None*), for road or for
# both, and a wall for sidewalk.
#
# ## Which class is taken for which
#
# Read along a row: where do the pixels of a class go that are not found?

# %% mystnb={"image": {"alt": "The confusion matrix of the network from scratch, summed over the seeds, true classes in rows and predicted classes in columns, each row summing to one."}, "figure": {"caption": "Confusion of the U-Net from scratch, over all seeds.", "name": "fig-seeds-confusion-scratch"}}
counts = {
    model: sum(scored[model, seed][1].counts for seed in seeds).numpy()
    for model in MODEL_NAMES
}
figure = plots.plot_confusion(counts["scratch"], "U-Net from scratch")

# %% mystnb={"image": {"alt": "The confusion matrix of the ResNet34 network, summed over the seeds, true classes in rows and predicted classes in columns, each row summing to one."}, "figure": {"caption": "Confusion of the ResNet34 U-Net, over all seeds.", "name": "fig-seeds-confusion-resnet34"}}
figure = plots.plot_confusion(counts["resnet34"], "ResNet34 U-Net")

# %% [markdown]
# Two kinds of mistake were to be expected. Thin things go to what stands behind them: in the
# published runs poles and signs to *None* (sky and bare ground), buildings and vegetation, lines to
# roads. And classes that share a material are taken for each other, as sidewalks for roads.
#
# Pedestrians, who matter most to a driver, are hardly found by either network in the published runs:
# most of their pixels are taken for walls, for sidewalks or for *Other*.
#
# ## Does it know how sure it may be?
#
# A network is **calibrated** if of all pixels that it answers with a probability of 0.8
# eight in ten are right. We sort the test pixels into ten bins by the probability of the
# answer, and compare it with the share of right ones in each bin.

# %% mystnb={"image": {"alt": "For both networks, the share of right pixels over the probability of the answer in ten bins, beside the diagonal of perfect calibration."}, "figure": {"caption": "Calibration on the test pictures, first seed. Below the diagonal a network is surer than it may be.", "name": "fig-calibration"}}
import numpy as np

calibration, off = {}, {}
for model, predictor in first.items():
    totals = np.zeros((3, 10))  # pixels, sum of probabilities, right ones
    for pair in test:
        image, mask = read_pair(pair)
        sure, answer = (x.cpu().numpy() for x in predictor.probabilities(image).max(0))
        bins = np.minimum((sure * 10).astype(int), 9)
        for row, weights in enumerate((None, sure, answer == mask)):
            weights = None if weights is None else weights.ravel().astype(float)
            totals[row] += np.bincount(bins.ravel(), weights, minlength=10)
    used = totals[0] > 0
    mean_sure, share_right = totals[1:, used] / totals[0, used]
    calibration[plots.MODEL_TITLES[model]] = (mean_sure, share_right)
    gap = np.abs(mean_sure - share_right)
    off[model] = float((gap * totals[0, used]).sum() / totals[0].sum())
figure = plots.plot_calibration(calibration)

# %% [markdown]
# On average over all pixels, probability and share lie {result}`11_seeds.off.scratch:.3f`
# apart from scratch and {result}`11_seeds.off.resnet34:.3f` with the ResNet34 (the expected
# calibration error). If a network gave each answer the probability 1, this would be its share of
# wrong pixels. In the published runs the network from scratch stays a third below that, the ResNet34
# less than a fifth. All dots lie below the diagonal, so both networks are surer than they may be
# ({doc}`07_scratch` has two possible causes). Nearly all pixels lie in the last bin; the other dots, those on the left above
# all, rest on few.
#
# ## Does another recipe help, with larger pictures?
#
# So far both networks have had the Dice loss with one softmax, and the report's learning rate.
# One thing that may hold them back: many poles, signs and lines, the distant ones above all, are
# a pixel wide or less at the size at which the networks look. So the recipe is changed, several
# things at once. The networks see
# {result}`11_seeds.far.height` x {result}`11_seeds.far.width` pixels,
# {result}`11_seeds.far.batch` pictures per step; the learning rate rises to twice the report's
# and falls to zero along a cosine {cite}`loshchilov2017`, so that no late step throws a network
# back; and there are {result}`11_seeds.far.epochs` epochs, where the runs above had
# {result}`07_scratch.epochs`. What each of these is worth is not asked here. There is one run of
# each network, with the first seed, and its column is called *further*; the other columns are
# the means of the table above.

# %%
further = replace(
    recipe,
    size=tuple(far_size),
    epochs=far_epochs,
    learning_rate=2 * learning_rate,
    batch_size=far_batch,
    schedule="cosine",
    seed=seeds[0],
)
far_runs = {
    model: fit(
        replace(further, model=model),
        Path(data_dir),
        Path(out_dir, "runs", f"{model}-further"),
        overwrite=True,
    )
    for model in MODEL_NAMES
}
far_predictors = {model: Predictor(run) for model, run in far_runs.items()}
far = {model: score(predictor, test)[0] for model, predictor in far_predictors.items()}
columns = {}
for model, scores in far.items():
    title = plots.MODEL_TITLES[model]
    columns[title] = mean.loc[model].drop("pictures/s")
    columns[f"{title}, further"] = measures_of(scores, far_runs[model])
pd.DataFrame(columns).round(3)

# %% [markdown]
# From scratch the mIoU is now {result}`11_seeds.far.scratch.miou:.3f`, with the ResNet34
# {result}`11_seeds.far.resnet34.miou:.3f`. In the published runs both are many times the spread over
# seeds (that of the other recipe) above the means of the table: a gain, for more than five times the
# minutes. In which classes do the recipes differ?

# %% mystnb={"image": {"alt": "Horizontal bars of the IoU of each class for both networks, by the first recipe and by that of this section."}, "figure": {"caption": "IoU of each class on the test pictures, by the first recipe (means over the seeds, lines for their standard deviation) and by that of this section (*further*, one run).", "name": "fig-far"}}
figure = plots.plot_per_class(
    pd.concat(
        [
            per_class,
            pd.DataFrame(
                {
                    "class": name,
                    "model": f"{plots.MODEL_TITLES[model]}, further",
                    "iou": values["iou"],
                }
                for model, scores in far.items()
                for name, values in scores["per_class"].items()
            ),
        ]
    )
)

# %% [markdown]
# If the size were what counts, lines, signs and poles should gain most, and the ResNet34 more than
# the other network: its deepest features have a thirty-second of the height and width, and little
# is left there of a small picture. In the published runs poles and lines do gain a little more with the
# ResNet34, and signs less. But walls gain as much as these, so that the size is probably not the
# only cause, and the two mIoUs gain alike within the spread over seeds. The size, the learning rate
# and the length were changed at once, and these runs cannot part them; {doc}`14_resolution` asks
# what is lost to the size itself.
#
# To try it on data of your own, add `--schedule cosine --learning-rate 0.001 --batch-size 4` and
# a larger `--size` to the call of {doc}`16_your_data`, and compare with a run without.
#
# ## On real frames
#
# If frames of the real set are at hand, all runs answer for them, without having seen one.

# %%
real = {}
if Path(real_dir).is_dir() and Path(real_dir).resolve() != Path(data_dir).resolve():
    frames = find_pairs(Path(real_dir))
    frames = frames[:: max(len(frames) // 100, 1)]
    found = pd.DataFrame(
        {
            "model": name,
            "mIoU": scores["miou"],
            "road F0.5": scores["road_f05"],
            "vehicle F2": scores["vehicle_f2"],
        }
        for name, predictor in [
            *((model, predictor) for (model, _), predictor in predictors.items()),
            *((f"{model}, further", far_predictors[model]) for model in MODEL_NAMES),
        ]
        for scores, _ in [score(predictor, frames)]
    )
    by_model = found.groupby("model", sort=False).mean()
    print(f"{len(frames)} real frames, mean over the seeds")
    print(by_model.round(3).to_string())
    real = {"frames": len(frames), "mean": by_model.T.to_dict()}
else:
    print("no real frames at hand, or the networks were trained on them")

# %% [markdown]
# If there is a table, its rows with *further* are one run each. Is what a network gained in the
# town gained here as well? In the published runs a third of it is with the ResNet34, and next to
# nothing from scratch. What is not may be knowledge of the rendered town and not of streets. A few
# frames do not hold every class, so that these scores are a hint, and small differences not even
# that.

# %% tags=["remove-cell"]
from unet_tutorial.runs import save_results

save_results(
    out_dir,
    "11_seeds",
    profile,
    data_dir,
    seeds=len(seeds),
    **numbers,
    gain={"lowest": min(gains), "highest": max(gains)},
    baselines={
        "position": baselines["miou"],
        "colour": baselines["by_colour"]["miou"],
    },
    worst=float(right[worst[0]]),
    mean=sum(right) / len(right),
    off=off,
    far={
        "height": far_size[0],
        "width": far_size[1],
        "epochs": far_epochs,
        "batch": far_batch,
        **{
            model: {
                key: scores[key]
                for key in ("miou", "pixel_accuracy", "road_f05", "vehicle_f2")
            }
            for model, scores in far.items()
        },
    },
    real=real,
)

# %% [markdown]
# ## Summary
#
# - A score without its spread over seeds cannot be compared.
# - What is the same and what is not must be said, down to the initial weights.
# - Whether a gain on pictures like those of the training is one on others must be measured there.
# - A probability is worth what its calibration is.
#
# ## Exercises

# %% [markdown]
# ```{exercise}
# :label: ex-seeds-1
# Average the probabilities of all seeds of one network and score the answer. Is this
# *ensemble* better than the best of its members?
# ```
#
# ```{solution-start} ex-seeds-1
# :class: dropdown
# ```

# %%
import torch

from unet_tutorial.classes import LYFT
from unet_tutorial.metrics import ConfusionMatrix

together = ConfusionMatrix(len(LYFT))
for pair in test:
    image, mask = read_pair(pair)
    mean_of_all = sum(predictors["scratch", s].probabilities(image) for s in seeds)
    together.update(mean_of_all.argmax(dim=0).cpu(), torch.tensor(mask))
alone = [scored["scratch", seed][0]["miou"] for seed in seeds]
print(f"together {together.miou():.3f}, alone {', '.join(f'{x:.3f}' for x in alone)}")

# %% [markdown]
# In the published run it is, by less than its members differ: well above their mean, and hardly above
# the best of them. Where members err in different places they correct each other, so that an
# ensemble guards against a bad seed rather than beating a good one. The price is as many networks to
# train and to ask.
#
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-seeds-2
# Two networks differ by $0.02$ in mIoU, and the standard deviation over seeds is $0.015$
# for each. About how many seeds of each would you need to tell them apart?
# ```
#
# ```{solution-start} ex-seeds-2
# :class: dropdown
# ```
#
# The mean of $n$ seeds has a standard deviation of $0.015/\sqrt{n}$, the difference of two
# such means $0.015\sqrt{2/n}$. To be twice that, the difference of $0.02$ needs
# $n = 2 \cdot (2 \cdot 0.015/0.02)^2 = 4.5$, so five seeds of each. With five, a measured
# difference passes that mark about every other time; to pass it four times in five takes
# about nine.
#
# ```{solution-end}
# ```

# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
#   unet_tutorial:
#     needs: []
#     study: true
#     seconds: {ci: 45, laptop: 3600, full: 10000}
# ---

# %% [markdown]
# # Pretraining without a hub
#
# After this chapter you can pretrain an encoder on data that cost nothing, start another
# training from it, and measure what that is worth when labelled pictures are few.
#
# *You need:* {doc}`08_resnet34` and {doc}`11_seeds`.

# %% tags=["parameters"]
profile = "laptop"  # the profile's name, shown under results
out_dir = "_build/laptop"  # folder for runs and results
size = [96, 128]  # height and width at which the networks see the pictures
pretrain_scenes = 400  # rendered pairs for pretraining
transfer_scenes = 300  # rendered pairs of the other weather
transfer_size = [120, 160]  # height and width at which these are rendered
few = [10, 50, 200]  # labelled pictures that the second training may use
epochs = 40  # of the pretraining
transfer_steps = 300  # of each training that follows
batch_size = 8  # pictures per step
learning_rate = 0.0005  # of Adam, as in the report
seed = 0  # decides weights and order of the pretraining
seeds = [0, 1, 2]  # of the trainings that follow: pictures, decoder and order
second_data = "data/camvid"  # a set of real pictures, if there is one

# %% [markdown]
# The usual pretrained ResNet34 has learned to name the things on a million photographs of
# ImageNet. Its first layers know edges and textures, its last ones parts of things, and a
# second training on few pictures starts from there instead of from noise.
#
# Where these weights cannot be had, something else can: scenes with labels, rendered by the
# hundred. We pretrain on streets in dry weather and then turn to others, in weather that
# the network has never seen. To be clear about what is used: **no ImageNet weights anywhere
# in this chapter**. The encoder starts either from random weights or from what it has
# learned in the rendered town.
#
# ## The first training
#
# Scenes at noon, under a low sun and an overcast sky, and the whole network trained on
# them with the Dice loss. The learning rate falls to zero along a cosine: the runs below are
# scored after their last step, which must not be a matter of luck.

# %%
from pathlib import Path

from unet_tutorial.runs import Config
from unet_tutorial.town.drive import renew_town
from unet_tutorial.training import fit

dry, wet = ("noon", "low sun", "overcast"), ("rain", "after rain", "dusk")
towns = {"dry": Path(out_dir, "town-dry"), "wet": Path(out_dir, "town-wet")}
renew_town(towns["dry"], pretrain_scenes, tuple(transfer_size), 100, weathers=dry)
renew_town(towns["wet"], transfer_scenes, tuple(transfer_size), 200, weathers=wet)

recipe = Config(
    "resnet34",
    tuple(size),
    epochs,
    learning_rate,
    batch_size,
    seed,
    schedule="cosine",
)
first = fit(recipe, towns["dry"], Path(out_dir, "runs/town-dry"), overwrite=True)
first.history.iloc[[0, -1]].round(3)

# %% [markdown]
# From this run we keep the encoder, as one does with ImageNet's weights. Only the last layer depends
# on the classes, which another data set may not share; the rest of the decoder could be kept as
# well, and that is not tried here.

# %%
from safetensors.torch import load_file, save_file

PREFIX = "network.encoder."
encoder = Path(out_dir, "town-encoder.safetensors")
weights = load_file(first.folder / "best.safetensors")
kept = {name: tensor for name, tensor in weights.items() if name.startswith(PREFIX)}
save_file({name.removeprefix(PREFIX): tensor for name, tensor in kept.items()}, encoder)
print(f"{len(kept)} of {len(weights)} tensors kept")

# %% [markdown]
# The same file serves the command line: `train --model resnet34 --encoder-weights FILE`.
#
# ## The second training
#
# To go on from weights that were learnt elsewhere is called *fine-tuning*, and the whole
# undertaking *transfer learning*.
#
# From each start, random and pretrained, the network is trained on
# {result}`13_pretraining.few_words` pictures of rain, wet streets and dusk, in streets of
# their own. All runs have {result}`13_pretraining.steps` steps: fewer pictures are shown
# more often. Validation pictures choose nothing here: what is scored is the network after
# the last step, on the test pictures of the same weather.
#
# Which ten pictures were labelled is luck, and so are the weights at the start
# ({doc}`11_seeds`). So everything is done with {result}`13_pretraining.seeds` seeds, each with
# pictures of its own as far as there are enough. With the same seed both starts share
# the pictures, their order and the initial weights of the decoder, and may be held against each
# other. The first training was done once, and the pretrained start has its steps in addition.

# %%
from dataclasses import replace
from itertools import product

import pandas as pd
import torch

from unet_tutorial import plots
from unet_tutorial.data.batches import batches
from unet_tutorial.data.cache import open_set
from unet_tutorial.data.split import split_pairs
from unet_tutorial.losses import make_loss
from unet_tutorial.training import evaluate, learn, make_fabric, setup

fabric = make_fabric("auto")
rounds = min(10, transfer_steps)  # validated after each
per_round = transfer_steps // rounds * batch_size
starts = {"random": "none", "pretrained": str(encoder)}


def transfer(folder):
    """The score of each number of pictures, seed and start; and the histories."""
    data = open_set(folder, recipe.size)
    classes = data.target.classes
    parts = split_pairs(data.pairs)
    train, val, test = (
        data.frames(parts[name]).on(fabric.device)
        for name in ("train", "val", "test" if parts["test"] else "val")
    )
    loss_function = make_loss("dice", classes.ignore_index)
    rows, histories = [], []
    counts = [count for count in few if count <= len(train)]
    for count, (position, seed), start in product(counts, enumerate(seeds), starts):
        # Evenly spaced, so that few pictures are not those of a single street, and for
        # each seed between those of the others.
        places = torch.arange(count) + position / len(seeds)
        chosen = (places * len(train) / count).long()
        shown = train.take(chosen[torch.arange(per_round) % count])
        config = replace(
            recipe, epochs=rounds, seed=seed, encoder_weights=starts[start]
        )
        state = setup(config, len(classes), per_round, fabric)
        history = learn(state, config, shown, val, classes, loss_function, fabric)
        run = {"pictures": count, "seed": seed, "start": start}
        histories.append(pd.DataFrame(list(history)).assign(model=start, **run))
        judged = batches(test, batch_size, fabric.device)
        _, confusion = evaluate(state.model, judged, loss_function, classes)
        weights = state.weights_used
        rows.append(run | {"miou": confusion.miou(), "weights": weights})
    return pd.DataFrame(rows), pd.concat(histories)


def table(rows):
    """Mean, lowest and highest mIoU over the seeds."""
    kinds = rows.groupby(["pictures", "start", "weights"], sort=False)
    return kinds["miou"].agg(["mean", "min", "max"]).reset_index()


to_wet, wet_histories = transfer(towns["wet"])
table(to_wet).round(3)

# %% mystnb={"image": {"alt": "Test mIoU over the number of labelled pictures for two starts, random weights and an encoder pretrained in the town."}, "figure": {"caption": "Test mIoU in wet weather by the number of labelled pictures: a dot for each seed, and a line through their means. *Pretrained* is an encoder that has learned in the dry part of the rendered town; no ImageNet weights.", "name": "fig-few"}}
figure = plots.plot_choices(to_wet, "pictures", "labelled pictures", hue="start")

# %% [markdown]
# With {result}`13_pretraining.wet.fewest.pictures` pictures the mean mIoU is
# {result}`13_pretraining.wet.fewest.random:.3f` from random weights and
# {result}`13_pretraining.wet.fewest.pretrained:.3f` from pretrained ones; with
# {result}`13_pretraining.wet.most.pictures` it is
# {result}`13_pretraining.wet.most.random:.3f` and
# {result}`13_pretraining.wet.most.pretrained:.3f`. Seed by seed the gain lies between
# {result}`13_pretraining.wet.fewest.gain.lowest:+.3f` and
# {result}`13_pretraining.wet.fewest.gain.highest:+.3f` with the fewest pictures, and between
# {result}`13_pretraining.wet.most.gain.lowest:+.3f` and
# {result}`13_pretraining.wet.most.gain.highest:+.3f` with the most.
#
# In the published runs the pretrained start is ahead with every number of pictures and every seed,
# and the lines stay about as far apart. One would expect the gain to shrink as pictures become
# more. But all runs have the same {result}`13_pretraining.steps` steps, and with many pictures the
# random start may lack steps.
#
# Mind that dry and wet streets come from one generator and have the same classes: a transfer could
# hardly be easier. How easy, the first exercise shows. The network of the first training, decoder
# included, answers for the wet streets without having seen one, and in the published run no row of
# the table lies above it. Where the classes stay the same, keep the whole network; where they
# change, all but its last layer could be kept. What is measured here is what the encoder is worth
# alone. And mind the price: in the published runs the first training
# has nearly five times the steps of a second one.
#
# After how many rounds, the epochs of the figure, is the validation mIoU of the pretrained start
# as high as that of the random one at the end?

# %% mystnb={"image": {"alt": "Losses and validation mIoU over the rounds of the second training with the largest number of pictures, from random and from pretrained weights, each with a band around its mean."}, "figure": {"caption": "The second training in wet weather with the most pictures, from both starts: the mean over the seeds, and a band from the lowest to the highest.", "name": "fig-few-curves"}}
most = to_wet["pictures"].max()
figure = plots.plot_spread(wet_histories.query("pictures == @most"))

# %% [markdown]
# In the published runs it is after about half of them: what the encoder has learned in dry weather need
# not be learned again.
#
# ## To real pictures
#
# Does the rendered town help with photographs? If a second data set is at hand, in the
# folder that the parameter `second_data` names, the same is done with it. For the published
# pages that is a common version of CamVid {cite}`brostow2009` with 367 training pictures of
# streets, 11 classes and pixels that do not count, scored on its validation part, since the
# test part was not at hand: less than seven seconds of one drive, with training frames a second
# before and after ({doc}`15_photographs`).
# None of its pictures is shown here.

# %%
to_real = None
if Path(second_data).exists():
    to_real, _ = transfer(Path(second_data))
    print(table(to_real).round(3).to_string(index=False))
else:
    print("no second data set at hand")

# %% [markdown]
# From {result}`13_pretraining.real.fewest.pictures` pictures the mean mIoU is
# {result}`13_pretraining.real.fewest.random:.3f` (random) and
# {result}`13_pretraining.real.fewest.pretrained:.3f` (pretrained in the town), from
# {result}`13_pretraining.real.most.pictures` it is
# {result}`13_pretraining.real.most.random:.3f` and
# {result}`13_pretraining.real.most.pretrained:.3f`. Seed by seed the gain lies between
# {result}`13_pretraining.real.fewest.gain.lowest:+.3f` and
# {result}`13_pretraining.real.fewest.gain.highest:+.3f`, and between
# {result}`13_pretraining.real.most.gain.lowest:+.3f` and
# {result}`13_pretraining.real.most.gain.highest:+.3f`. In the published runs both change their sign
# from seed to seed, and with a single seed either sign could have passed for a finding. With the most
# pictures the mean is no higher than from random weights. With the fewest it is higher, by less than
# the seeds differ: whether there is a small gain with few photographs, three seeds cannot tell. If no
# such set was at hand, *absent* stands in place of these numbers.

# %% tags=["remove-cell"]
from unet_tutorial.runs import save_results


def told(rows):
    """Means of both starts with the fewest and the most pictures, and what is gained."""
    if rows is None:
        gain = dict.fromkeys(["lowest", "highest"])
        nothing = dict.fromkeys(["pictures", *starts]) | {"gain": gain}
        return {"fewest": nothing, "most": nothing}
    by_seed = rows.pivot(index=["pictures", "seed"], columns="start", values="miou")
    found = {}
    counts = rows["pictures"]
    for end, count in {"fewest": counts.min(), "most": counts.max()}.items():
        scores = by_seed.loc[count]
        gain = scores["pretrained"] - scores["random"]
        found[end] = {
            "pictures": int(count),
            **scores.mean().to_dict(),
            "gain": {"lowest": gain.min(), "highest": gain.max()},
        }
    return found


save_results(
    out_dir,
    "13_pretraining",
    profile,
    towns["wet"].name,
    few_words=", ".join(map(str, few[:-1])) + f" and {few[-1]}",
    steps=rounds * (transfer_steps // rounds),
    seeds=len(seeds),
    first=first.summary(),
    wet=told(to_wet),
    real=told(to_real),
)

# %% [markdown]
# ## Summary
#
# - Rendered labels can pretrain an encoder; whether that carries over is measured, not assumed.
# - Compare starts at several numbers of pictures and with several seeds.
# - Say which weights a run started from, wherever its result is shown.
#
# ## Exercises

# %% [markdown]
# ```{exercise}
# :label: ex-pretraining-1
# Does the pretrained network need to be trained further at all? Score the whole network of
# the first training on the wet streets as it is.
# ```
#
# ```{solution-start} ex-pretraining-1
# :class: dropdown
# ```

# %%
from unet_tutorial.data.pairs import find_pairs
from unet_tutorial.prediction import Predictor, score

test = split_pairs(find_pairs(towns["wet"]))["test"]
scores, _ = score(Predictor(first), test)
print(f"without a second training: mIoU {scores['miou']:.3f}")

# %% [markdown]
# Compare it with the table above, which is scored at another size, so that a small difference
# says nothing. In the published run it is as high as the best row: the second trainings, which had to
# learn their decoders anew, have gained nothing on the first. Here the classes are the same, and
# the network can be used as it is; with other classes its last layer, at least, must be learned.
#
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-pretraining-2
# You have 50 labelled pictures of your own and no ImageNet weights. Write down what pretrains
# on the town and then trains on yours.
# ```
#
# ```{solution-start} ex-pretraining-2
# :class: dropdown
# ```
#
# Three steps. Call `python -m unet_tutorial train --data data/town-laptop --model resnet34
# --encoder-weights none --schedule cosine --out runs/town`. Keep its encoder as in this
# chapter, with `first = load_run(Path("runs/town"))` and `encoder =
# Path("town-encoder.safetensors")`. Then call `python -m unet_tutorial train
# --data mine/dataset.yaml --model resnet34 --encoder-weights town-encoder.safetensors
# --schedule cosine --out runs/mine`; {doc}`16_your_data` says what the description of your
# data holds. The manifest of the second run names the file of weights.
#
# ```{solution-end}
# ```

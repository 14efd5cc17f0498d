# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
#   unet_tutorial:
#     needs: []
#     seconds: {ci: 6, laptop: 6, full: 6}
# ---

# %% [markdown]
# # Kinds of image segmentation
#
# After this chapter you can say what a semantic, an instance and a panoptic
# segmentation of the same picture are, read each of them as arrays of numbers,
# and tell from a task which of the three it needs.
#
# *You need:* Python and arrays. No deep learning yet.

# %% tags=["parameters"]
profile = "laptop"  # the profile's name, shown under results
out_dir = "_build/laptop"  # folder for results
scene_size = [240, 320]  # height and width of the rendered pictures, in pixels
scene_seed = 0  # decides which scenes are shown

# %% [markdown]
# ## One question per pixel
#
# An image classifier answers one question for a whole picture: what is this?
# A detector answers with boxes. Segmentation answers for every pixel, so its
# answer has the height and width of the picture.
#
# The scenes in this book come from a small generator that draws road scenes
# and knows, for every pixel, what it drew. We look for one in which at least two
# cars, besides the hood of the car that carries the camera, cover 0.4 % of the
# picture each. What are the shapes of the three arrays?

# %%
import numpy as np

from unet_tutorial import classes, plots
from unet_tutorial.town.render import render
from unet_tutorial.town.scene import make_street


def cars_in(rendering):
    """Numbers of the vehicles that cover at least 0.4 % of the picture."""
    ids, counts = np.unique(
        rendering.instances[rendering.mask == classes.VEHICLES], return_counts=True
    )
    return ids[counts > 0.004 * rendering.mask.size]


for number in range(200):
    scene = render(make_street((scene_seed, number)), *scene_size)
    if len(cars_in(scene)) >= 3:
        break
scene.image.shape, scene.mask.shape, scene.instances.shape

# %% [markdown]
# The picture has three numbers per pixel (red, green, blue). The two answers
# beside it have one number per pixel each: the mask holds a class, and the other
# array holds the number of a thing.

# %% [markdown]
# ## Semantic, instance, panoptic
#
# In the next figure, look at the cars. In which of the three answers can you
# count them?

# %% mystnb={"image": {"alt": "Four panels of one rendered street: the picture; its semantic mask, where all cars have one colour; its instances, where each car, lamp, tree, house and piece of wall has a colour of its own on black; and the panoptic answer, where things are shaded apart and the ground keeps its class colour."}, "figure": {"caption": "One scene and its three segmentations. The legend names the classes of the second and fourth panel.", "name": "fig-kinds"}}
figure = plots.plot_grid(
    [
        [scene.image, scene.mask],
        [
            plots.colour_instances(scene.instances),
            plots.colour_instances(scene.instances, scene.mask),
        ],
    ],
    ["picture", "semantic", "instances", "panoptic"],
)

# %% [markdown]
# **Semantic segmentation** gives every pixel a class. Two cars that touch become
# one patch of the class *Vehicles*: the mask does not say how many there are. In the
# published scene the two near cars stay apart, but the right one and those far behind it are one
# patch.
#
# **Instance segmentation** finds the countable things and keeps them apart. It
# is silent about the rest: road, sky and ground are black in the third panel.
#
# **Panoptic segmentation** gives every pixel a class and every countable thing a number of its own
# {cite}`kirillov2019`. What one can count is called a *thing*; road, sky and grass are *stuff*.
# Which classes are things is a choice of the data set: here houses, trees and pieces of wall have
# numbers, too, in Cityscapes only people and vehicles. *None* in the legend is what has no class,
# such as sky and bare ground.
#
# The same in numbers, for the vehicles of this scene:

# %%
vehicle_pixels = int((scene.mask == classes.VEHICLES).sum())
print(f"pixels of the class Vehicles: {vehicle_pixels}")
print(f"vehicles, the hood included:  {len(cars_in(scene))}")

# %% tags=["remove-cell"]
from unet_tutorial.runs import save_results

save_results(
    out_dir,
    "01_segmentation",
    profile,
    "scenes of the generator",
    vehicle_share=vehicle_pixels / scene.mask.size,
)

# %% [markdown]
# The semantic mask knows the first number, which is
# {result}`01_segmentation.vehicle_share:.1%` of the picture. Only the instances know
# the second, which leaves out vehicles that cover less than 0.4 % of the picture.

# %% [markdown]
# ## Which one a task needs
#
# - *Where can I drive?* Semantic: the road need not be counted.
# - *How many people wait at the crossing?* Instance: they must be told apart.
# - *Draw a map of everything that the camera sees.* Panoptic.
#
# The report that this book reproduces asks the first kind of question, so the
# rest of the book is about semantic segmentation.
#
# ## Summary
#
# - Segmentation answers for every pixel; its answer has the picture's size.
# - Semantic: a class per pixel. Instance: countable things, kept apart.
#   Panoptic: both.
# - A semantic mask can be made from a panoptic one, never the reverse.
#
# ## Exercises

# %% [markdown]
# ```{exercise}
# :label: ex-kinds-1
# Make a mask of two classes, *drivable* and *not*, from the semantic mask. Road
# lines are drivable. Which share of the picture is drivable?
# ```
#
# ```{solution-start} ex-kinds-1
# :class: dropdown
# ```

# %%
drivable = np.isin(scene.mask, [classes.ROADS, classes.ROAD_LINES])
print(f"{drivable.mean():.1%} of the picture is drivable")

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-kinds-2
# Show that the semantic mask follows from the panoptic answer: build a table
# from the number of a thing to its class, and look the mask up in it. Why does
# the table need one more entry per class of stuff?
# ```
#
# ```{solution-start} ex-kinds-2
# :class: dropdown
# ```

# %%
panoptic = scene.instances + np.where(
    scene.instances == 0, 1000 * scene.mask.astype(int), 0
)
segments, first = np.unique(panoptic, return_index=True)
class_of = dict(zip(segments.tolist(), scene.mask.ravel()[first].tolist()))
rebuilt = np.vectorize(class_of.get)(panoptic)
print(f"{(rebuilt == scene.mask).mean():.0%} of the pixels agree")

# %% [markdown]
# Stuff has no number of its own (all of it is 0 in `instances`), so each class
# of stuff gets one: here a thousand times its class id.
#
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-kinds-3
# The generator builds streets of boxes, prisms and patches (see
# {mod}`unet_tutorial.town.scene`). Add a kind of house: a round tower with a pointed
# roof, on the right side of the road. How many faces does it need?
# ```
#
# ```{solution-start} ex-kinds-3
# :class: dropdown
# ```

# %% mystnb={"image": {"alt": "A rendered street with a round tower of eight sides and a pointed roof on the right, and its mask, in which the tower has the colour of buildings."}}
from itertools import pairwise

from unet_tutorial.town.scene import Thing, flat, paint


def tower(rng, x, z, radius=3.0, height=9.0):
    """Eight walls and the roof above each of them."""
    plaster, roof = paint(rng, "plaster"), paint(rng, "roof")
    thing, angles = Thing(classes.BUILDINGS), np.arange(9) * np.pi / 4
    foot = np.stack([x + radius * np.cos(angles), z + radius * np.sin(angles)], axis=1)
    for (x0, z0), (x1, z1) in pairwise(foot):
        side = [(x0, 0, z0), (x1, 0, z1), (x1, height, z1), (x0, height, z0)]
        cap = [(x0, height, z0), (x1, height, z1), (x, height + 4, z)]
        thing.faces.append(flat(side[::-1], plaster, "facade", lit=True))
        thing.faces.append(flat(cap[::-1], roof, "tiles", lit=True))
    return thing


street = make_street((scene_seed, 5))
street.things.append(tower(np.random.default_rng(0), x=street.width + 6, z=18))
with_tower = render(street, *scene_size)
print(len(street.things[-1].faces), "faces")
figure = plots.plot_grid([[with_tower.image, with_tower.mask]], ["picture", "mask"])

# %% [markdown]
# Sixteen faces: eight walls and eight pieces of roof. Their corners go round in one
# sense, seen from outside, by which the renderer knows which ones look away.
#
# ```{solution-end}
# ```

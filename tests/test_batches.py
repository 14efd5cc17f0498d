"""Frames become batches: normalised, in order or shuffled, augmented."""

from pathlib import Path

import pytest
import torch
from torchvision.transforms import v2

from tests.waiting import GPU, imagined_gpu
from unet_tutorial.data.batches import (
    AUGMENTATIONS,
    MEAN,
    STD,
    Frames,
    batches,
    make_augmentation,
    to_network,
)
from unet_tutorial.data.cache import open_set
from unet_tutorial.errors import UserError

SIZE = (32, 48)


def one_square(count: int) -> Frames:
    """Images of a bright square of 6 pixels in the middle, and masks of the same."""
    square = torch.zeros(count, *SIZE, dtype=torch.uint8)
    middle = tuple(slice(side // 2 - 3, side // 2 + 3) for side in SIZE)
    square[:, *middle] = 1
    return Frames(square[..., None].expand(-1, -1, -1, 3), square, torch.arange(count))


@pytest.fixture
def frames(town: Path) -> Frames:
    opened = open_set(town, SIZE)
    return opened.frames(opened.pairs)


def augmented(
    frames: Frames, seed: int, augment: str, crop: tuple[int, int] | None = None
) -> list:
    generator = torch.Generator().manual_seed(seed)
    transform = make_augmentation(augment, SIZE, crop)
    return list(batches(frames, 8, "cpu", transform, generator))


@pytest.mark.parametrize("augment", AUGMENTATIONS)
def test_the_channels_of_a_pixel_lie_together(frames: Frames, augment: str) -> None:
    for image, _ in augmented(frames, 0, augment):
        assert image.is_contiguous(memory_format=torch.channels_last)


def test_the_planes_lie_one_by_one_if_asked_for(frames: Frames) -> None:
    usual = next(iter(batches(frames, batch_size=4)))[0]
    flat = torch.contiguous_format
    asked = next(iter(batches(frames, batch_size=4, memory_format=flat)))[0]
    assert asked.is_contiguous()
    assert torch.equal(asked, usual)


def test_batches_are_normalised_and_hold_every_frame_once(frames: Frames) -> None:
    out = list(batches(frames, batch_size=4))
    assert [len(image) for image, _ in out] == [4, 4, 4, 3]
    image, mask = out[0]
    assert image.dtype == torch.float32
    assert image.is_contiguous(memory_format=torch.channels_last)
    assert mask.dtype == torch.int64
    back = image * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]
    expected = frames.images[:4].permute(0, 3, 1, 2).float()
    torch.testing.assert_close(back * 255, expected, atol=1e-3, rtol=0)
    masks = torch.cat([mask for _, mask in out])
    assert torch.equal(masks, frames.masks.long())


def test_pictures_are_normalised_as_torchvision_does_it_and_nothing_waits() -> None:
    image = torch.randint(256, (2, 3, 16, 24), dtype=torch.uint8)
    kept = image.clone()
    theirs = v2.Compose(
        [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    )
    assert torch.equal(to_network(image), theirs(image))
    assert torch.equal(image, kept)
    with imagined_gpu() as waits:
        image = torch.empty(2, 3, 16, 24, dtype=torch.uint8, device=GPU)
        assert to_network(image).device == GPU
        assert waits.found == []
        theirs(image)
        assert len(waits.found) == 2  # mean and deviation


def test_some_frames_can_be_taken_in_any_order(frames: Frames) -> None:
    some = frames.take(torch.tensor([7, 2, 9])).take(torch.tensor([2, 0]))
    ((_, mask),) = batches(some, 4)
    assert torch.equal(mask, frames.masks[[9, 7]].long())


def test_augmentation_follows_the_seed(frames: Frames) -> None:
    first, again, other = (augmented(frames, seed, "full") for seed in (1, 1, 2))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, again))
    assert not torch.equal(first[0][0], other[0][0])


def test_mirroring_turns_image_and_mask_together(frames: Frames) -> None:
    straight = augmented(frames, 3, "none")
    turned = 0
    mirrored = augmented(frames, 3, "mirror")
    for (image, mask), (other_image, other_mask) in zip(straight, mirrored):
        for i in range(len(mask)):
            if torch.equal(mask[i], other_mask[i]):
                assert torch.equal(image[i], other_image[i])
            else:
                assert torch.equal(mask[i].flip(-1), other_mask[i])
                assert torch.equal(image[i].flip(-1), other_image[i])
                turned += 1
    assert 0 < turned < 15


def test_the_full_augmentation_keeps_sizes_classes_and_the_pixels_together() -> None:
    # The green of each pixel tells its class, so that the two can be compared.
    drawn = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 13, (16, *SIZE), dtype=torch.uint8, generator=drawn)
    ids = ids[:, ::8, ::8].repeat_interleave(8, 1).repeat_interleave(8, 2)
    images = torch.stack([100 * torch.ones_like(ids), 10 + 10 * ids, ids * 0], dim=-1)
    frames = Frames(images, ids, torch.arange(16))
    generator = torch.Generator().manual_seed(0)
    augment = make_augmentation("full", SIZE)
    image, mask = next(batches(frames, 16, "cpu", augment, generator))
    assert image.shape == (16, 3, *SIZE)
    assert set(mask.unique().tolist()) <= set(range(13))
    assert type(image) is type(mask) is torch.Tensor
    for green, one_mask in zip(image[:, 1], mask):
        together = torch.stack([green.flatten(), one_mask.flatten().float()])
        assert torch.corrcoef(together)[0, 1] > 0.9


@pytest.mark.parametrize("name", ["mirror", "full"])
def test_each_image_has_a_draw_of_its_own(name: str) -> None:
    mask = torch.randint(2, (1, *SIZE), dtype=torch.uint8)
    frames = Frames(mask[..., None].expand(-1, -1, -1, 3), mask, torch.zeros(8).long())
    ((_, ids),) = augmented(frames, 0, name)  # one image, again and again
    kinds = len({one.numpy().tobytes() for one in ids})
    assert kinds == (2 if name == "mirror" else 8)


def test_the_full_augmentation_leaves_masks_on_their_images() -> None:
    # Along each row brightness and ids rise evenly, the ids in steps of four pixels.
    column = torch.arange(160) // 2
    image = (3 * column).to(torch.uint8)[:, None].expand(80, 60, -1, 3)
    mask = (column // 2).to(torch.uint8).expand(80, 60, -1)
    frames = Frames(image, mask, torch.arange(80))
    geometry = make_augmentation("full", (60, 160)).transforms[:-1]  # not the colours
    generator = torch.Generator().manual_seed(0)
    beside = []
    for image, ids in batches(frames, 4, "cpu", v2.Compose(geometry), generator):
        shown = (image[:, 0] * STD[0] + MEAN[0]) * 255 / 3 * 2 + 0.5
        apart = (shown - (4 * ids + 1.5))[:, 15:-15, 40:-40].mean()
        is_mirrored = shown[0, 30, 70] > shown[0, 30, 90]
        beside.append(-apart if is_mirrored else apart)
    assert abs(torch.stack(beside).mean()) < 0.1  # pixels


def test_the_full_augmentation_shrinks_things_as_often_as_it_enlarges_them() -> None:
    areas = [
        (mask == 1).sum((1, 2)) for _, mask in augmented(one_square(80), 0, "full")
    ]
    scale = (torch.cat(areas) / 36).sqrt()
    assert scale.min() < 0.85
    assert scale.max() > 1.2
    assert 0.8 < scale.median() < 1.15


@pytest.mark.parametrize("augment", AUGMENTATIONS)
def test_a_crop_has_its_size_and_shows_things_as_large_as_they_are(
    augment: str,
) -> None:
    crop = (30, 40)
    areas, places = [], set()
    for image, mask in augmented(one_square(160), 0, augment, crop):
        assert image.shape[-2:] == mask.shape[-2:] == crop
        areas.append((mask == 1).sum((1, 2)))
        places |= {tuple(one.nonzero()[0].tolist()) for one in mask if one.any()}
    assert len({row for row, _ in places}) > 2
    assert len({column for _, column in places}) > 4
    scale = (torch.cat(areas) / 36).sqrt()
    if augment != "full":
        assert (scale == 1).all()
    else:
        # One shows more than there is, beyond the edges: things shrink, too.
        assert scale.min() < 0.85
        assert scale.max() > 1.2
        assert 0.8 < scale.median() < 1.15


def test_a_crop_that_is_larger_than_the_image_is_refused() -> None:
    with pytest.raises(UserError, match="crop 33x48: is larger than the size, 32x48"):
        make_augmentation("none", SIZE, (33, 48))


def test_augmenting_leaves_the_global_generator_alone(frames: Frames) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    augmented(frames, 0, "full")
    assert torch.equal(torch.rand(3), expected)


def test_an_unknown_augmentation_is_refused() -> None:
    with pytest.raises(UserError, match="'rotate' is not known"):
        make_augmentation("rotate", SIZE)


def test_the_full_augmentation_varies_light_and_colour() -> None:
    # Of one colour all over: what is left to vary is the colour itself.
    images = torch.tensor([150, 100, 80], dtype=torch.uint8).expand(40, *SIZE, 3)
    masks = torch.zeros(40, *SIZE, dtype=torch.uint8)
    generator = torch.Generator().manual_seed(0)
    augment = make_augmentation("full", SIZE)
    frames = Frames(images, masks, torch.arange(40))
    ((image, _),) = batches(frames, 40, "cpu", augment, generator)
    middle = image[:, :, 16, 24] * torch.tensor(STD) + torch.tensor(MEAN)
    red, _, blue = middle.unbind(1)
    assert red.max() > 1.3 * red.min()
    assert (red - blue).max() > 1.3 * (red - blue).min()

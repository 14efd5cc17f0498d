"""The Dice loss against its closed form and against segmentation-models-pytorch."""

import math

import pytest
import segmentation_models_pytorch as smp
import torch
from torch.nn import functional

from tests.waiting import GPU, Waits, imagined_gpu
from unet_tutorial.errors import UserError
from unet_tutorial.losses import (
    CrossEntropy,
    DiceLoss,
    dice_sums,
    make_loss,
    soft_dice,
)


def logits_of(mask: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Logits of a perfect and certain answer."""
    return 100.0 * functional.one_hot(mask, num_classes).movedim(-1, 1)


def test_half_an_overlap_by_hand() -> None:
    # Class 1: 2 pixels answered, 3 true, 1 in common: Dice 2/5. Class 0: 3, 2, 1: 2/5.
    answer, mask = torch.tensor([[[1, 1, 0, 0, 0]]]), torch.tensor([[[1, 0, 1, 1, 0]]])
    assert DiceLoss()(logits_of(answer, 2), mask).item() == pytest.approx(1 - 2 / 5)


def test_a_perfect_answer_scores_0_even_where_classes_are_absent() -> None:
    mask = torch.tensor([[[0, 0, 5, 5]]])
    assert DiceLoss()(logits_of(mask, 13), mask).item() == pytest.approx(0, abs=1e-6)


def test_a_uniform_guess_on_equal_classes_has_its_closed_form() -> None:
    mask = torch.arange(13).repeat(7).reshape(1, 7, 13)
    loss = DiceLoss()(torch.zeros(1, 13, 7, 13), mask)
    assert loss.item() == pytest.approx(1 - 1 / 13)


def test_a_softmax_taken_twice_cannot_come_down() -> None:
    """The trap: probabilities given where logits are expected."""
    mask = torch.arange(13).repeat(7).reshape(1, 7, 13)
    probabilities = logits_of(mask, 13).softmax(dim=1)
    floor = 1 - math.e / (math.e + 12)
    assert DiceLoss()(probabilities, mask).item() == pytest.approx(floor, abs=1e-6)


def test_agrees_with_segmentation_models_pytorch_where_all_classes_occur() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, 9, 11, generator=generator)
    mask = torch.randint(5, (2, 9, 11), generator=generator)
    theirs = smp.losses.DiceLoss("multiclass", from_logits=True)(logits, mask)
    assert DiceLoss()(logits, mask).item() == pytest.approx(theirs.item(), abs=1e-6)


@pytest.mark.parametrize("ignored", [255, 3])
def test_ignored_pixels_count_neither_way(ignored: int) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 4, 6, 6, generator=generator)
    mask = torch.randint(3, (1, 6, 6), generator=generator)
    part = mask.clone()
    part[:, 3:] = ignored
    whole = DiceLoss()(logits[:, :, :3], mask[:, :3])
    loss = DiceLoss(ignore_index=ignored)(logits, part)
    assert loss.item() == pytest.approx(whole.item())


def test_half_precision_loses_nothing() -> None:
    mask = torch.arange(3).repeat(600 * 800 // 3).reshape(1, 600, 800)
    # Sums of this length come to a halt in 16 bits.
    probabilities = torch.full((1, 3, 600, 800), 0.25, dtype=torch.bfloat16)
    intersection = dice_sums(probabilities, mask)[0]
    assert intersection.tolist() == pytest.approx([40_000] * 3)
    logits = torch.zeros(1, 3, 600, 800, dtype=torch.bfloat16)
    assert DiceLoss()(logits, mask).item() == pytest.approx(2 / 3, abs=1e-5)


def test_soft_dice_says_which_classes_occur() -> None:
    mask = torch.tensor([[[0, 2]]])
    sums = dice_sums(torch.full((1, 3, 1, 2), 1 / 3), mask)
    dice, present = soft_dice(sums), sums[2] > 0
    assert present.tolist() == [True, False, True]
    assert dice.tolist() == pytest.approx([0.4, 0.0, 0.4])


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, [1.0, 0.5, 3.0, 2.0]])
def test_cross_entropy_is_that_of_torch(
    smoothing: float, weights: list[float] | None
) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 6, 6, generator=generator)
    mask = torch.randint(4, (2, 6, 6), generator=generator)
    mask[0, :2] = 255
    given = None if weights is None else torch.tensor(weights)
    theirs = functional.cross_entropy(
        logits, mask, given, ignore_index=255, label_smoothing=smoothing
    )
    ours = CrossEntropy(255, given, smoothing)(logits, mask)
    torch.testing.assert_close(ours, theirs)
    both = make_loss("both", 255, given, smoothing)(logits, mask)
    torch.testing.assert_close(both, ours + DiceLoss(255)(logits, mask))


@pytest.mark.parametrize("name", ["dice", "cross-entropy", "both"])
def test_a_batch_of_ignored_pixels_alone_teaches_nothing(name: str) -> None:
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = make_loss(name, 9)(logits, torch.full((1, 4, 4), 9))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("name", ["dice", "cross-entropy", "both"])
@pytest.mark.parametrize("ignore_index", [None, 2])
def test_no_loss_lets_a_gpu_wait(name: str, ignore_index: int | None) -> None:
    logits = torch.randn(2, 4, 8, 8, requires_grad=True)
    mask = torch.randint(3, (2, 8, 8))
    loss_function = make_loss(name, ignore_index)
    with Waits() as waits:
        loss_function(logits, mask).backward()
    assert waits.found == []
    with waits:
        logits[mask[:, None].expand_as(logits) == 0].sum().item()
    assert waits.found == ["aten.index.Tensor", "aten._local_scalar_dense.default"]
    weighted = make_loss(name, ignore_index, torch.ones(4), 0.1)
    with imagined_gpu() as waits:
        weighted.to(GPU)
        waits.found.clear()
        on_gpu = torch.empty(2, 4, 8, 8, device=GPU)
        assert weighted(on_gpu, on_gpu[:, 0].long()).device == GPU
        assert waits.found == []


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(UserError, match="'jaccard' is not known"):
        make_loss("jaccard")

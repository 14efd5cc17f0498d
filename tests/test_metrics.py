"""Scores from one confusion matrix, against numbers worked out by hand."""

import math

import pytest
import torch

from tests.waiting import GPU, imagined_gpu
from unet_tutorial.metrics import ConfusionMatrix, lyft_score, road_and_vehicle


@pytest.fixture
def confusion() -> ConfusionMatrix:
    # Class 0: 3 hits, 1 miss. Class 1: 2 hits, 2 misses. Class 2: only answered.
    confusion = ConfusionMatrix(4)
    true = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    confusion.update(torch.tensor([0, 0, 0, 1, 1, 1, 0, 2]), true)
    return confusion


def test_iou_and_dice_by_hand(confusion: ConfusionMatrix) -> None:
    assert confusion.iou()[:2].tolist() == pytest.approx([3 / 5, 2 / 5])
    assert confusion.dice()[:2].tolist() == pytest.approx([6 / 8, 4 / 7])
    assert confusion.pixel_accuracy() == pytest.approx(5 / 8)


def test_absent_classes_are_left_out_of_the_means(confusion: ConfusionMatrix) -> None:
    assert confusion.iou()[2:].isnan().all()
    assert confusion.miou() == pytest.approx((3 / 5 + 2 / 5) / 2)
    assert confusion.mean_dice() == pytest.approx((6 / 8 + 4 / 7) / 2)


def test_f_score_weighs_misses_by_beta(confusion: ConfusionMatrix) -> None:
    # Class 1: 2 hits, 2 misses, 1 false alarm.
    assert confusion.f_score(2)[1].item() == pytest.approx(5 * 2 / (5 * 2 + 4 * 2 + 1))
    f_half = 1.25 * 2 / (1.25 * 2 + 0.25 * 2 + 1)
    assert confusion.f_score(0.5)[1].item() == pytest.approx(f_half)


def test_updates_add_up() -> None:
    once, twice = ConfusionMatrix(5), ConfusionMatrix(5)
    predicted, mask = torch.randint(5, (4, 6, 6)), torch.randint(5, (4, 6, 6))
    once.update(predicted, mask)
    for half in (slice(0, 2), slice(2, 4)):
        twice.update(predicted[half], mask[half])
    assert torch.equal(once.counts, twice.counts)


def test_ignored_pixels_are_not_counted() -> None:
    confusion = ConfusionMatrix(2, ignore_index=11)
    confusion.update(torch.tensor([0, 1, 1]), torch.tensor([0, 11, 1]))
    assert confusion.counts.sum() == 2
    assert confusion.miou() == 1


@pytest.mark.parametrize("ignore_index", [None, 2])
def test_a_gpu_need_not_wait_for_the_counting(ignore_index: int | None) -> None:
    confusion = ConfusionMatrix(2, ignore_index)
    with imagined_gpu() as waits:
        predicted = mask = torch.zeros(2, 8, 8, dtype=torch.long, device=GPU)
        confusion.update(predicted, mask)  # brings the matrix to the device
        waits.found.clear()
        confusion.update(predicted, mask)
        assert waits.found == []
        with pytest.raises(RuntimeError):
            predicted.bincount()


def test_lyft_score_is_100_for_a_perfect_answer_and_unknown_without_vehicles() -> None:
    perfect, no_vehicle = ConfusionMatrix(3), ConfusionMatrix(3)
    perfect.update(torch.tensor([0, 1, 2]), torch.tensor([0, 1, 2]))
    no_vehicle.update(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 1]))
    assert lyft_score(perfect) == 100
    assert math.isnan(lyft_score(no_vehicle))


def test_the_lyft_score_punishes_false_road_and_missed_vehicles() -> None:
    confusion = ConfusionMatrix(3)
    confusion.counts = torch.tensor([[9, 1, 2], [2, 4, 0], [1, 0, 3]])
    # Road: 4 hits, 2 misses, 1 false alarm. Vehicles: 3 hits, 1 miss, 2 false alarms.
    road = 1.25 * 4 / (1.25 * 4 + 0.25 * 2 + 1)
    vehicle = 5 * 3 / (5 * 3 + 4 * 1 + 2)
    assert road_and_vehicle(confusion) == pytest.approx((road, vehicle))
    assert lyft_score(confusion) == pytest.approx(100 * (road + vehicle) / 2)

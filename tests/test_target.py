"""What a network learns from the masks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import TINY
from unet_tutorial.classes import (
    LYFT,
    LYFT_CHALLENGE,
    NONE,
    ROAD_LINES,
    ROADS,
    VEHICLES,
)
from unet_tutorial.data.pairs import find_pairs
from unet_tutorial.data.target import choose_target, lyft_target
from unet_tutorial.errors import UserError
from unet_tutorial.prediction import Predictor, score
from unet_tutorial.training import fit


def test_lyft_target_joins_road_lines_and_drops_the_hood() -> None:
    mask = np.full((600, 2), NONE, np.uint8)
    mask[495:, 0] = VEHICLES
    mask[300], mask[301] = ROADS, ROAD_LINES
    target = lyft_target(mask)
    assert np.unique(target[300:302]).tolist() == [1]
    assert target[495].tolist() == [2, 0]
    assert np.unique(target[496:]).tolist() == [0]
    assert mask[599, 0] == VEHICLES  # what was given is left as it is


def test_a_network_learns_scores_and_predicts_the_challenge(
    town: Path, tmp_path: Path
) -> None:
    run = fit(replace(TINY, epochs=1, target="lyft"), town, tmp_path / "run")
    assert run.classes == LYFT_CHALLENGE
    predictor = Predictor(run, "cpu")
    pairs = find_pairs(town)
    scores, confusion = score(predictor, pairs)
    assert list(scores["per_class"]) == ["Other", "Road", "Vehicle"]
    assert 0 <= scores["lyft_score"] <= 100
    assert confusion.counts.sum() == len(pairs) * 48 * 64
    assert run.manifest["config"]["target"] == "lyft"


def test_other_targets_and_other_classes_are_refused() -> None:
    with pytest.raises(UserError, match="'roads' is not known"):
        choose_target("roads", LYFT)
    with pytest.raises(UserError, match="needs the 13 classes"):
        choose_target("lyft", LYFT_CHALLENGE)

"""A run and images in, masks and scores out."""

import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from unet_tutorial import prediction
from unet_tutorial.classes import LYFT
from unet_tutorial.data.pairs import Pair, find_pairs, read_image, read_mask
from unet_tutorial.errors import UserError
from unet_tutorial.prediction import Predictor, predict_files, score
from unet_tutorial.runs import BEST, Run, load_run


@pytest.fixture(scope="module")
def predictor(tiny_run: Run) -> Predictor:
    return Predictor(tiny_run, device="cpu")


@pytest.mark.parametrize("size", [(48, 64), (61, 97), (300, 400)])
def test_an_answer_has_the_size_of_its_picture(
    predictor: Predictor, size: tuple[int, int]
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert predictor.mask(image).shape == size
    total = predictor.probabilities(image).sum(dim=0)
    torch.testing.assert_close(total, torch.ones(size), atol=1e-4, rtol=0)


def test_the_scores_of_a_perfect_predictor_are_perfect(
    predictor: Predictor, town: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = find_pairs(town)
    truth = {read_image(p.image).tobytes(): read_mask(p.mask) for p in pairs}
    monkeypatch.setattr(predictor, "mask", lambda image: truth[image.tobytes()].copy())
    scores, confusion = score(predictor, pairs)
    assert scores["miou"] == scores["dice"] == scores["pixel_accuracy"] == 1
    assert scores["lyft_score"] == 100
    assert scores["road_f05"] == scores["vehicle_f2"] == 1
    assert list(scores["per_class"]) == list(LYFT.names)
    assert confusion.counts.sum() == 15 * 48 * 64


def test_a_class_that_does_not_occur_is_null_in_json(
    predictor: Predictor, tmp_path: Path
) -> None:
    for name in ("CameraRGB", "CameraSeg"):
        (tmp_path / name).mkdir()
    Image.new("RGB", (64, 48)).save(tmp_path / "CameraRGB/a.png")
    Image.new("L", (64, 48)).save(tmp_path / "CameraSeg/a.png")
    scores, _ = score(predictor, find_pairs(tmp_path))
    assert scores["per_class"]["Vehicles"] == {"iou": None, "dice": None}
    assert scores["lyft_score"] is None
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores


def test_predicted_files_are_in_the_lyft_format(
    predictor: Predictor, town: Path, tmp_path: Path
) -> None:
    pair = find_pairs(town)[0]
    predict_files(predictor, [pair.image], tmp_path / "new/out")
    written = tmp_path / "new/out" / pair.image.name
    with Image.open(written) as image:
        pixels = np.asarray(image)
    assert pixels.shape == (48, 64, 3)
    assert pixels[..., 1:].max() == 0
    assert np.array_equal(read_mask(written), predictor.mask(read_image(pair.image)))
    overlay = read_image(written.with_name(f"{pair.stem}_overlay.png"))
    picture = read_image(pair.image)
    colours = LYFT.colour(predictor.mask(picture))
    assert np.abs(overlay - (picture / 2 + colours / 2)).max() <= 1
    # What was predicted can be read as a pair of its own.
    assert Pair(pair.image, written).stem == pair.stem


def test_a_picture_is_turned_as_its_camera_noted(
    predictor: Predictor, town: Path, tmp_path: Path
) -> None:
    with Image.open(find_pairs(town)[0].image) as image:
        # It is to be turned by a quarter; and a resolution is a word, not a fraction,
        # as some cameras write it.
        turned = struct.pack("<HHIHxx", 0x0112, 3, 1, 6)
        resolution = struct.pack("<HHI4s", 0x011A, 2, 3, b"72")
        tags = struct.pack("<H", 2) + turned + resolution + bytes(4)
        exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + tags
        image.save(tmp_path / "phone.png", exif=exif)
    predict_files(predictor, [tmp_path / "phone.png"], tmp_path / "out")
    assert read_mask(tmp_path / "out/phone.png").shape == (64, 48)


def test_a_picture_that_is_none_is_named(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(UserError, match=r"text\.png: cannot be decoded"):
        predict_files(predictor, [tmp_path / "text.png"], tmp_path / "out")


def test_many_files_are_answered_in_order_and_few_are_held_at_a_time(
    predictor: Predictor, town: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction, "AHEAD", 2)
    read, begun, told = prediction.read_image, [], []

    def look(path: Path, upright: bool) -> np.ndarray:
        begun.append(path)
        return read(path, upright)

    def tell(done: int) -> None:
        told.append(done)
        assert len(begun) <= done + 4  # two are written and two are decoded

    monkeypatch.setattr(prediction, "read_image", look)
    images = [pair.image for pair in find_pairs(town)]
    predict_files(predictor, images, tmp_path, on_image=tell)
    assert told == list(range(1, len(images) + 1))
    for path in images:
        answer = predictor.mask(read(path))
        assert np.array_equal(read_mask(tmp_path / path.name), answer)


def test_a_fault_among_many_keeps_the_answers_before_it(
    predictor: Predictor, town: Path, tmp_path: Path
) -> None:
    images = [pair.image for pair in find_pairs(town)]
    (tmp_path / "text.png").write_text("no picture")
    images.insert(1, tmp_path / "text.png")
    with pytest.raises(UserError, match=r"text\.png: cannot be decoded"):
        predict_files(predictor, images, tmp_path / "out")
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {images[0].name, f"{images[0].stem}_overlay.png"}


def test_a_picture_that_is_named_twice_is_answered_for_once(
    predictor: Predictor, town: Path, tmp_path: Path
) -> None:
    done: list[int] = []
    image = find_pairs(town)[0].image
    predict_files(predictor, [image] * 3, tmp_path, on_image=done.append)
    assert done == [1]
    assert len(list(tmp_path.glob("*.png"))) == 2


def test_no_answer_is_written_over_an_image_or_another_answer(
    predictor: Predictor, town: Path, tmp_path: Path
) -> None:
    same_name = [tmp_path / folder / "x.png" for folder in ("a", "b")]
    for path, pair in zip(same_name, find_pairs(town)):
        path.parent.mkdir()
        path.write_bytes(pair.image.read_bytes())
    before = same_name[0].read_bytes()
    with pytest.raises(UserError, match="would be written over"):
        predict_files(predictor, same_name[:1], tmp_path / "a")
    assert same_name[0].read_bytes() == before
    with pytest.raises(UserError, match="would be written over"):
        predict_files(predictor, same_name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_mask_that_is_no_answer_is_not_written_over(
    predictor: Predictor, town: Path, tmp_path: Path
) -> None:
    image = find_pairs(town)[0].image
    label = tmp_path / image.name
    label.write_bytes(b"drawn by hand")
    with pytest.raises(UserError, match="beside no overlay of ours"):
        predict_files(predictor, [image], tmp_path)
    assert label.read_bytes() == b"drawn by hand"
    label.unlink()
    for _ in range(2):  # an answer of ours may be given again
        predict_files(predictor, [image], tmp_path)


def test_an_output_folder_that_is_a_file_is_named(
    predictor: Predictor, town: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        predict_files(predictor, [find_pairs(town)[0].image], tmp_path / "file")


def test_a_run_answers_by_other_weights_if_they_are_named(
    tiny_run: Run, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run.folder, run)
    early = {name: 0 * weight for name, weight in load_file(run / BEST).items()}
    save_file(early, run / "epoch-0001.safetensors")
    image = np.full((48, 64, 3), 100, dtype=np.uint8)
    for path, is_early in ((run, False), (run / "epoch-0001.safetensors", True)):
        logits = Predictor(load_run(path), device="cpu").logits(image)
        assert bool((logits == 0).all()) is is_early
    with pytest.raises(
        UserError,
        match=r"epoch-0009\.saf.* no such file; .*best\.saf.*, epoch-0001\.saf.*, last",
    ):
        load_run(run / "epoch-0009.safetensors")

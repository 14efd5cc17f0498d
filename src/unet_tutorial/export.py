"""Hand a trained network on as one file, which needs none of this library's code.

The file holds the weights and the computation, from the pixels of an image to the
logits, and says for which size and classes it was made.
"""

import json
import logging
import warnings
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from unet_tutorial.classes import Classes
from unet_tutorial.data.batches import to_network
from unet_tutorial.errors import UserError, reason_of
from unet_tutorial.files import whole_file
from unet_tutorial.prediction import Predictor, load_model, target_of
from unet_tutorial.runs import Run, load_run

FORMATS = (".onnx", ".pt2")
# Where a file keeps what it says about itself.
ABOUT = "unet_tutorial.json"
# The largest difference of a logit to the network's own that rounding may make, as a
# share of the largest logit.
TOLERANCE = 1e-3


class _FromPixels(nn.Module):
    """The network, and before it what every image goes through.

    Bytes [N, 3, H, W], red first, to logits [N, C, H, W] float32.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        return self.model(to_network(image))


def export_run(run: Run, out: Path) -> float:
    """Write a run's network to a file, and see that the file answers the same.

    Args:
        run: a finished run.
        out: ends in ``.onnx``, for onnxruntime and much else, or in ``.pt2``, for
            ``torch.export.load``. Either takes bytes [N, 3, H, W] of the run's size,
            for any number N of images, and gives logits [N, C, H, W] float32.

    Returns:
        The largest difference between the file's logits and those of the network in 32
        bits.

    Raises:
        UserError: if the ending is another, a package is missing, the file cannot be
            written, or it answers differently.
    """
    if out.suffix not in FORMATS:
        raise UserError(f"{out}: must end in {' or '.join(FORMATS)}")
    config = run.config
    network = _FromPixels(load_model(run)).eval()
    chance = torch.Generator().manual_seed(0)
    # Two, since torch takes a single one for a size that is always 1.
    image = torch.randint(
        256, (2, 3, *config.size), dtype=torch.uint8, generator=chance
    )
    about = {
        "size": config.size,
        "classes": asdict(run.classes),
        "target": config.target,
    }
    other = FORMATS[1 - FORMATS.index(out.suffix)]
    with torch.inference_mode():
        expected = network(image)
    with whole_file(out) as temporary:
        write = _write_onnx if out.suffix == ".onnx" else _write_pt2
        try:
            write(network, image, json.dumps(about), temporary)
            answer, _ = _load(temporary, out.suffix)
            difference = float((answer(image) - expected).abs().max())
        except (UserError, OSError):
            raise
        except Exception as error:  # each exporter has errors of its own
            raise UserError(
                f"{out}: cannot be exported ({reason_of(error)}); try {other}"
            ) from error
        if not difference <= TOLERANCE * max(float(expected.abs().max()), 1):
            raise UserError(
                f"{out}: the exported network answers differently, by up to "
                f"{difference:.3g}; nothing was written, try {other}"
            )
    return difference


def _write_onnx(network: nn.Module, image: Tensor, about: str, path: Path) -> None:
    try:
        import onnxscript  # noqa: F401  # by which torch writes the file
    except ImportError as error:
        raise _lack("onnxscript") from error
    # It tells of each of its steps, and warns of what it does itself.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (image,),
            input_names=["image"],
            output_names=["logits"],
            dynamic_shapes={"image": {0: torch.export.Dim("images")}},
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # it would be, if torch were asked for a file
    program.model.metadata_props[ABOUT] = about
    program.save(path)


def _write_pt2(network: nn.Module, image: Tensor, about: str, path: Path) -> None:
    images = {"image": {0: torch.export.Dim("images")}}
    program = torch.export.export(network, (image,), dynamic_shapes=images)
    with path.open("wb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of weights that are not on the CPU; these are
        torch.export.save(program, file, extra_files={ABOUT: about})


def _load(path: Path, suffix: str) -> tuple[Any, dict[str, Any]]:
    """What answers, bytes to logits; and what the file says about itself."""
    if suffix == ".onnx":
        session = _import_onnxruntime().InferenceSession(path.read_bytes())
        about = session.get_modelmeta().custom_metadata_map[ABOUT]

        def answer(image: Tensor) -> Tensor:
            return torch.from_numpy(session.run(None, {"image": image.numpy()})[0])

    else:
        # Torch would tell in many lines that it is another kind of file.
        with zipfile.ZipFile(path) as archive:
            if not any(name.endswith(ABOUT) for name in archive.namelist()):
                raise ValueError(f"there is no {ABOUT} in it")
        extra = {ABOUT: ""}
        with path.open("rb") as file, warnings.catch_warnings():
            # Torch 2.11 reads bytes that may not be written to, and nobody does.
            warnings.filterwarnings("ignore", "The given buffer is not writable")
            module = torch.export.load(file, extra_files=extra).module()
        about = extra[ABOUT]

        def answer(image: Tensor) -> Tensor:
            with torch.inference_mode():
                return module(image)

    return answer, json.loads(about)


def _import_onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise _lack("onnxruntime") from error
    return onnxruntime


def _lack(package: str) -> UserError:
    return UserError(
        f"{package} is not installed, which ONNX files need; 'pip install {package}', "
        "or use a .pt2 file"
    )


class ExportedPredictor(Predictor):
    """A network from a file that :func:`export_run` wrote, on the CPU.

    A ``.pt2`` file can hold code, which is executed when it is loaded: take none from
    strangers. An ``.onnx`` file cannot.
    """

    def __init__(self, path: Path) -> None:
        try:
            self.network, about = _load(path, path.suffix)
            known = about["classes"]
            self.classes = Classes(
                tuple(known["names"]), tuple(known["colours"]), known["ignore_index"]
            )
            self.target = target_of(about["target"], self.classes)
            self.resize = v2.Resize(tuple(about["size"]), antialias=True)
            # What does not fit is told now, and not by the first picture.
            self.classes.colour(np.zeros((1, 1), np.uint8))
            answer = self._answer(torch.zeros(1, 3, *about["size"], dtype=torch.uint8))
            if answer.shape != (1, len(self.classes), *about["size"]):
                raise ValueError(f"its answer has the shape {tuple(answer.shape)}")
            if self.target.classes != self.classes:
                raise ValueError("its classes are not those of its target")
        except UserError:
            raise
        except Exception as error:  # each runtime has errors of its own
            raise UserError(
                f"{path}: is no network that 'export' wrote ({reason_of(error)}); "
                "export the run again"
            ) from error
        self.device = torch.device("cpu")

    def _answer(self, image: Tensor) -> Tensor:
        return self.network(image)


def load_predictor(path: Path) -> Predictor:
    """From a finished run, weights in its folder, or a file that ``export_run`` wrote.

    Raises:
        UserError: if it is none of these.
    """
    return (
        ExportedPredictor(path) if path.suffix in FORMATS else Predictor(load_run(path))
    )

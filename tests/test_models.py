"""One contract for both networks."""

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import perf_counter

import pytest
import torch
from huggingface_hub import constants, file_download
from safetensors.torch import save_file
from torch import nn

from unet_tutorial.errors import UserError
from unet_tutorial.losses import DiceLoss
from unet_tutorial.models import MODEL_NAMES, build_model
from unet_tutorial.models import resnet_unet as module
from unet_tutorial.models.padding import pad_and_crop
from unet_tutorial.models.resnet_unet import (
    ResNet34UNet,
    available_encoder_weights,
    load_encoder_weights,
)
from unet_tutorial.models.unet import UNet

both = pytest.mark.parametrize("name", MODEL_NAMES)


def build(name: str, num_classes: int = 13) -> nn.Module:
    torch.manual_seed(0)
    return build_model(name, num_classes, base_channels=4)


@both
@pytest.mark.parametrize("size", [(64, 96), (33, 47), (75, 100), (32, 32)])
@pytest.mark.parametrize("num_classes", [1, 13])
def test_logits_have_the_size_of_the_image(
    name: str, size: tuple[int, int], num_classes: int
) -> None:
    logits = build(name, num_classes)(torch.randn(2, 3, *size))
    assert logits.shape == (2, num_classes, *size)


def test_padding_moves_nothing_and_repeats_the_edges() -> None:
    image, seen = torch.rand(1, 3, 33, 47), []

    def network(padded: torch.Tensor) -> torch.Tensor:
        seen.append(padded)
        return padded

    assert torch.equal(pad_and_crop(network, image, 16), image)
    (padded,) = seen
    assert padded.shape == (1, 3, 48, 48)
    assert (padded[..., 33:, :47] == image[..., 32:, :]).all()
    assert (padded[..., :33, 47:] == image[..., 46:]).all()


@both
def test_the_size_of_the_real_frames(name: str) -> None:
    with torch.inference_mode():
        assert build(name).eval()(torch.randn(1, 3, 600, 800)).shape == (
            1,
            13,
            600,
            800,
        )


@both
def test_a_gradient_reaches_every_parameter_with_a_batch_of_one(name: str) -> None:
    model = build(name)
    DiceLoss()(
        model(torch.randn(1, 3, 64, 64)), torch.randint(13, (1, 64, 64))
    ).backward()
    for parameter, weight in model.named_parameters():
        assert weight.grad is not None, parameter
        assert weight.grad.isfinite().all(), parameter
        assert weight.grad.abs().sum() > 0, parameter


@both
def test_eval_is_deterministic_and_does_not_mix_the_images_of_a_batch(
    name: str,
) -> None:
    model = build(name).eval()
    images = torch.randn(3, 3, 64, 64)
    with torch.inference_mode():
        together, again, alone = model(images), model(images), model(images[1:2])
    assert torch.equal(together, again)
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-4)


@both
def test_a_saved_network_answers_the_same(name: str, tmp_path: Path) -> None:
    model, other = build(name).eval(), build_model(name, 13, base_channels=4).eval()
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(model(image), other(image))


@both
def test_the_output_is_logits(name: str) -> None:
    logits = build(name)(torch.randn(1, 3, 64, 64))
    assert (logits < 0).any()
    assert not torch.allclose(logits.sum(dim=1), torch.ones(1, 64, 64))


def test_the_unet_of_the_paper_has_31_million_parameters() -> None:
    assert sum(weight.numel() for weight in UNet().parameters()) == pytest.approx(
        31.0e6, rel=0.01
    )


def test_an_unknown_model_is_named_in_the_error() -> None:
    with pytest.raises(UserError, match=r"'vgg'.*scratch, resnet34"):
        build_model("vgg", 13)


# --- weights of the encoder ---------------------------------------------------------


@pytest.fixture
def weights_file(tmp_path: Path) -> Path:
    """Random weights of a ResNet34 encoder: a stand-in for the hub's file."""
    torch.manual_seed(1)
    state = ResNet34UNet().network.encoder.state_dict()
    save_file(
        {name: tensor.contiguous() for name, tensor in state.items()}, tmp_path / "w.st"
    )
    return tmp_path / "w.st"


def first_weights(model: ResNet34UNet) -> torch.Tensor:
    return model.network.encoder.state_dict()["conv1.weight"].clone()


def test_a_file_of_weights_is_loaded_and_named(weights_file: Path) -> None:
    model, source = ResNet34UNet(), ResNet34UNet()
    assert load_encoder_weights(model, str(weights_file)) == "w.st"
    load_encoder_weights(source, str(weights_file))
    assert torch.equal(first_weights(model), first_weights(source))


def test_no_weights_leave_the_network_as_it_is() -> None:
    model = ResNet34UNet()
    before = first_weights(model)
    assert load_encoder_weights(model, "none") == "random"
    assert torch.equal(first_weights(model), before)


def test_a_missing_or_foreign_file_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load_encoder_weights(ResNet34UNet(), str(tmp_path / "none.st"))
    (tmp_path / "text.st").write_text("hello")
    with pytest.raises(UserError, match=r"text\.st: not the weights"):
        load_encoder_weights(ResNet34UNet(), str(tmp_path / "text.st"))
    save_file({"a": torch.zeros(1)}, tmp_path / "other.st")
    with pytest.raises(UserError, match=r"other\.st: not the weights"):
        load_encoder_weights(ResNet34UNet(), str(tmp_path / "other.st"))


def test_a_name_that_is_looked_up_for_ever_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_up = threading.Event()

    def look_up(*_: object) -> None:
        given_up.wait(60)

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "CONNECT_TIMEOUT_S", 0.2)
    began = perf_counter()
    assert available_encoder_weights("imagenet") == "none"
    given_up.set()
    assert perf_counter() - began < 30


class Hub(BaseHTTPRequestHandler):
    """Answers as the hub does for one file."""

    content: bytes

    def do_HEAD(self) -> None:
        if "/resolve/" not in self.path:  # the client asks for other things, too
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.send_header("X-HF-Warning", "auth; you could log in")
        self.send_header("ETag", '"0123456789abcdef"')
        self.send_header("X-Repo-Commit", self.path.split("/")[4])
        self.end_headers()
        return None

    def do_GET(self) -> None:
        self.do_HEAD()
        if "/resolve/" in self.path:
            self.wfile.write(self.content)

    def log_message(self, *_: object) -> None:
        pass


def point_to(monkeypatch: pytest.MonkeyPatch, port: int, cache: Path) -> None:
    """Let the hub's client talk to this machine, with an empty cache."""
    endpoint = f"http://127.0.0.1:{port}"
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    name = "HUGGINGFACE_CO_URL_TEMPLATE"
    monkeypatch.setattr(constants, name, template)
    # Before hub 1.0 a copy of it is read.
    monkeypatch.setattr(file_download, name, template, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    # Whatever the environment says of the world outside.
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")


@pytest.fixture
def hub(
    weights_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    handler = type("Handler", (Hub,), {"content": weights_file.read_bytes()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    point_to(monkeypatch, server.server_port, tmp_path / "cache")
    yield
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("hub")
def test_imagenet_weights_are_fetched_once_and_then_read_from_the_cache(
    weights_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched, cached, source = ResNet34UNet(), ResNet34UNet(), ResNet34UNet()
    assert load_encoder_weights(fetched, "imagenet") == "imagenet"
    point_to(monkeypatch, 9, tmp_path / "cache")  # nobody listens there
    assert available_encoder_weights("imagenet") == "imagenet"
    assert load_encoder_weights(cached, "imagenet") == "imagenet"
    load_encoder_weights(source, str(weights_file))
    assert torch.equal(first_weights(fetched), first_weights(source))
    assert torch.equal(first_weights(cached), first_weights(source))


class SignedHub(Hub):
    """Sends on to an address that is good for one download, as the hub does."""

    sent: list[int]

    def do_HEAD(self) -> None:
        if "/resolve/" not in self.path:
            return self.send_error(404)
        port = self.headers["Host"].partition(":")[2]
        self.send_response(302)
        self.send_header("Content-Length", "0")
        # On another host, to which the client's first question does not go on.
        self.send_header("Location", f"http://localhost:{port}/signed")
        self.send_header("X-Linked-Size", str(len(self.content)))
        self.send_header("X-Linked-ETag", '"0123456789abcdef"')
        self.send_header("X-Repo-Commit", self.path.split("/")[4])
        self.end_headers()
        return None

    def do_GET(self) -> None:
        if self.path != "/signed" or self.sent:
            return self.do_HEAD()
        self.sent.append(len(self.content))
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)
        return None


def test_the_weights_are_not_asked_for_before_they_are_fetched(
    weights_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {"content": weights_file.read_bytes(), "sent": []}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("H", (SignedHub,), content))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    point_to(monkeypatch, server.server_port, tmp_path / "cache")
    assert load_encoder_weights(ResNet34UNet(), "imagenet") == "imagenet"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("silent", [False, True], ids=["refuses", "never answers"])
def test_without_a_hub_one_knows_within_ten_seconds(
    silent: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A server that accepts and never answers, or a port where nobody listens.
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    port = server.server_port
    if not silent:
        server.server_close()
    point_to(monkeypatch, port, tmp_path / "cache")
    monkeypatch.setattr(module, "CONNECT_TIMEOUT_S", 1.0)
    began = perf_counter()
    with pytest.raises(UserError, match="cannot be fetched"):
        load_encoder_weights(ResNet34UNet(), "imagenet")
    assert available_encoder_weights("imagenet") == "none"
    server.server_close()
    assert perf_counter() - began < 10
    assert not os.path.exists(
        tmp_path / "cache/models--smp-hub--resnet34.imagenet/snapshots"
    )

"""The real data are fetched whole or not at all, whatever archive or server."""

import hashlib
import io
import random
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import kagglesdk.kaggle_env
import pytest
from PIL import Image

from unet_tutorial.data import download
from unet_tutorial.data.download import fetch_lyft
from unet_tutorial.data.pairs import find_pairs
from unet_tutorial.errors import UserError


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 6)).save(file, "PNG")
    return file.getvalue()


def members() -> dict[str, bytes]:
    return {
        f"data{folder}/data{folder}/{kind}/02_00_{frame:03}.png": picture()
        for folder in "AB"
        for kind in ("CameraRGB", "CameraSeg")
        for frame in range(3)
    }


def make_zip(path: Path, content: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, data in content.items():
            file.writestr(name, data)
    return path


def make_tar(path: Path, content: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for name, data in content.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            file.addfile(entry, io.BytesIO(data))
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "data/lyft"


def nothing_left(out: Path) -> bool:
    """Nothing that looks like the data, or was registered as such."""
    inside = [path.name for path in out.parent.iterdir()] if out.parent.exists() else []
    return not out.exists() and set(inside) <= {".lyft.lock", ".lyft.zip.part"}


# --- archives -----------------------------------------------------------------------


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_an_archive_at_hand_is_unpacked_and_registered(make, out: Path, tmp_path: Path):
    archive = make(tmp_path / "lyft.archive", members())
    steps = []
    fetch_lyft(out, archive, watch=lambda *step: steps.append(step))
    assert len(find_pairs(out)) == 6
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert (out.parent / "registry").read_text() == f"lyft sha256:{digest}\n"
    assert steps[-1] == (12, 12, "extracting, files")


def test_another_archive_than_the_registered_one_is_refused(
    out: Path, tmp_path: Path
) -> None:
    fetch_lyft(out, make_zip(tmp_path / "one.zip", members()))
    shutil.rmtree(out)
    other = make_zip(tmp_path / "two.zip", members() | {"note.txt": b"new"})
    with pytest.raises(UserError, match=r"two\.zip: is not the archive .* before"):
        fetch_lyft(out, other)
    assert not out.exists()
    fetch_lyft(out, tmp_path / "one.zip")
    assert out.exists()


@pytest.mark.parametrize("name", ["../evil.png", "/tmp/evil.png", "a/../../evil.png"])
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_members_outside_of_the_folder_are_refused(
    make, name: str, out: Path, tmp_path: Path
) -> None:
    archive = make(tmp_path / "evil.archive", members() | {name: b"evil"})
    with pytest.raises(UserError, match=r"is refused: its member '.*evil\.png'"):
        fetch_lyft(out, archive)
    assert nothing_left(out)
    assert not list(tmp_path.rglob("evil.png"))


def test_a_link_that_leads_outside_is_refused(out: Path, tmp_path: Path) -> None:
    archive = tmp_path / "link.tar"
    with tarfile.open(archive, "w") as file:
        link = tarfile.TarInfo("dataA")
        link.type, link.linkname = tarfile.SYMTYPE, "../../.."
        file.addfile(link)
    with pytest.raises(UserError, match="is refused"):
        fetch_lyft(out, archive)
    assert nothing_left(out)


@pytest.mark.parametrize("keep", [0.3, 0.97])
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_a_truncated_archive_is_named(
    make, keep: float, out: Path, tmp_path: Path
) -> None:
    archive = make(tmp_path / "short.archive", members())
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(UserError, match=r"short\.archive: is (broken|no whole)"):
        fetch_lyft(out, archive)
    assert nothing_left(out)


def test_a_tar_file_cut_between_two_members_is_named(out: Path, tmp_path: Path) -> None:
    archive = tmp_path / "short.tar"
    with tarfile.open(archive, "w") as file:
        for name, data in members().items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            file.addfile(entry, io.BytesIO(data))
    archive.write_bytes(archive.read_bytes()[: 6 * 1024])
    with pytest.raises(UserError, match="its end is missing"):
        fetch_lyft(out, archive)
    assert nothing_left(out)


def test_a_flipped_byte_is_found(out: Path, tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "flip.zip", members())
    content = bytearray(archive.read_bytes())
    content[90] ^= 255  # in the first picture
    archive.write_bytes(content)
    with pytest.raises(UserError, match="is broken"):
        fetch_lyft(out, archive)
    assert nothing_left(out)


def test_an_archive_of_something_else_is_refused(out: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no CameraRGB"):
        fetch_lyft(out, make_zip(tmp_path / "a.zip", {"thesis.txt": b"precious"}))
    (tmp_path / "page.zip").write_text("<html>please log in</html>")
    with pytest.raises(UserError, match="no whole zip or tar"):
        fetch_lyft(out, tmp_path / "page.zip")
    with pytest.raises(UserError, match="no such file"):
        fetch_lyft(out, tmp_path / "gone.zip")
    assert nothing_left(out)


def test_too_little_space_is_told_before_anything_is_written(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = make_zip(tmp_path / "a.zip", members())
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match="GB are needed"):
        fetch_lyft(out, archive)
    assert nothing_left(out)


def test_a_disk_that_fills_up_leaves_nothing(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def extract(self: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
        Path(path, "half.png").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "extract", extract)
    with pytest.raises(UserError, match="No space left on device"):
        fetch_lyft(out, make_zip(tmp_path / "a.zip", members()))
    assert nothing_left(out)


def test_data_that_are_there_are_not_touched(out: Path, tmp_path: Path) -> None:
    out.mkdir(parents=True)
    (out / "mine.txt").write_text("precious")
    with pytest.raises(UserError, match="is there already"):
        fetch_lyft(out, make_zip(tmp_path / "a.zip", members()))
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


# --- a server -----------------------------------------------------------------------


class Kaggle(BaseHTTPRequestHandler):
    """The one call of Kaggle's that we make, and ways for it to go wrong."""

    content = b""
    manner = "well"
    asked: list[str]

    def do_POST(self) -> None:
        if self.manner == "forbidden":
            self.send_error(403)
            return
        self.asked.append(self.headers.get("Authorization", ""))
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(302)
        self.send_header("Location", f"http://{self.headers['Host']}/file.zip")
        self.end_headers()

    def do_GET(self) -> None:
        first, status = 0, 200
        wanted = self.headers.get("Range", "")
        self.asked.append(wanted)
        if wanted and self.manner != "deaf":
            first, status = int(wanted.removeprefix("bytes=").rstrip("-")), 206
        body = self.content[first:]
        self.send_response(status)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(ConnectionError):  # who is sent too much hangs up
            self.wfile.write(body[: len(body) // 2] if self.manner == "stops" else body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def kaggle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[Kaggle]]:
    """A server on this machine in Kaggle's place, and somebody's token."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Kaggle)
    monkeypatch.setitem(
        kagglesdk.kaggle_env._env_to_endpoint,
        kagglesdk.kaggle_env.KaggleEnv.PROD,
        f"http://127.0.0.1:{server.server_port}",
    )
    monkeypatch.setenv("KAGGLE_API_TOKEN", "a-token")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    # Larger than the pieces in which kagglehub writes.
    large = members() | {"large.bin": random.Random(0).randbytes(5 << 20)}
    Kaggle.content = make_zip(tmp_path / "kaggle.zip", large).read_bytes()
    Kaggle.manner, Kaggle.asked = "well", []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Kaggle
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_data_come_from_kaggle(kaggle: type[Kaggle], out: Path) -> None:
    archive = fetch_lyft(out)
    assert kaggle.asked[0] == "Bearer a-token"
    assert len(find_pairs(out)) == 6
    assert archive == out.with_name("lyft.zip")
    # The archive is kept: without the folder, it is unpacked and not fetched again.
    shutil.rmtree(out)
    asked = len(kaggle.asked)
    fetch_lyft(out)
    assert len(kaggle.asked) == asked


def test_a_download_that_stops_goes_on_where_it_stood(
    kaggle: type[Kaggle], out: Path
) -> None:
    kaggle.manner = "stops"
    with pytest.raises(UserError, match=r"the download stopped .* call again"):
        fetch_lyft(out)
    assert nothing_left(out)
    stood = out.with_name(".lyft.zip.part").stat().st_size
    assert 0 < stood < len(kaggle.content)
    kaggle.manner = "well"
    fetch_lyft(out)
    assert f"bytes={stood}-" in kaggle.asked
    assert len(find_pairs(out)) == 6


def test_a_server_that_cannot_go_on_is_asked_anew(
    kaggle: type[Kaggle], out: Path
) -> None:
    kaggle.manner = "stops"
    with pytest.raises(UserError):
        fetch_lyft(out)
    kaggle.manner = "deaf"  # sends all of it, whatever was asked for
    with pytest.raises(UserError, match="another number of bytes"):
        fetch_lyft(out)
    assert nothing_left(out)
    fetch_lyft(out)
    assert len(find_pairs(out)) == 6


def test_a_refusal_and_a_silent_host_are_told_in_a_line(
    kaggle: type[Kaggle], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kaggle.manner = "forbidden"
    with pytest.raises(UserError, match="403"):
        fetch_lyft(out)
    monkeypatch.setitem(
        kagglesdk.kaggle_env._env_to_endpoint,
        kagglesdk.kaggle_env.KaggleEnv.PROD,
        "http://127.0.0.1:9",
    )
    with pytest.raises(UserError, match="the download stopped"):
        fetch_lyft(out)
    assert nothing_left(out)


def test_a_disk_too_small_for_the_download_is_told_first(
    kaggle: type[Kaggle], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")._replace(free=len(kaggle.content))
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match="GB are needed"):
        fetch_lyft(out)
    assert nothing_left(out)
    assert not out.with_name(".lyft.zip.part").exists()


def test_without_credentials_the_archive_is_asked_for(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    with pytest.raises(UserError, match="no Kaggle credentials found"):
        fetch_lyft(out)
    for content in ("{", "{}"):
        (tmp_path / "kaggle.json").write_text(content)
        with pytest.raises(UserError, match=r"cannot be read \(.*kaggle\.json"):
            fetch_lyft(out)
    assert nothing_left(out)

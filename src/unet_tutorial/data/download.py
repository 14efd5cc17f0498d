"""Get the real Lyft/Udacity data: from Kaggle, or out of an archive at hand."""

import hashlib
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from unet_tutorial.data.description import read_description
from unet_tutorial.errors import UserError, reason_of
from unet_tutorial.files import locked, whole_file, whole_folder

KAGGLE_NAME = "kumaresanmanickavelu/lyft-udacity-challenge"
# Beside the folder of the data: the digests of the archives that were used.
REGISTRY = "registry"
MB = 1 << 20
# What the readers of archives raise for broken ones, or those with a password.
BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    KeyError,
    RuntimeError,
    ValueError,
)

Watch = Callable[[int, int, str], None]
"""Called with how much is done, of how much, and what it is."""


def fetch_lyft(
    out: Path, archive: Path | None = None, watch: Watch = lambda *_: None
) -> Path:
    """Make a folder with the Lyft/Udacity data.

    Without an archive, the one of Kaggle is downloaded to a file beside ``out``
    and kept there; a download that was stopped goes on where it stood. The first
    archive that proves sound has its SHA-256 written to a file ``registry`` beside
    ``out``; from then on, no other is accepted.

    Args:
        out: a new folder. It appears when all is in it.
        archive: a zip or tar file with the data.
        watch: called with the MB or files done, their total and what they are.

    Returns:
        The archive that was used.

    Raises:
        UserError: if ``out`` holds something, there are neither credentials nor an
            archive, the download stops, or the archive is broken, not the one that
            is registered, or reaches outside of its folder; if the disk is too small.
    """
    out = out.resolve()
    _refuse_what_is_there(out)
    with locked(out):
        _refuse_what_is_there(out)  # another call may have been faster
        if archive is None:
            archive = out.with_name(f"{out.name}.zip")
            if not archive.exists():
                _download(archive)
        elif not archive.is_file():
            raise UserError(f"{archive}: no such file; name the archive of the data")
        digest = _digest(archive, watch)
        registry = out.with_name(REGISTRY)
        _compare(registry, digest, archive)
        with whole_folder(out, replace=False) as temporary:
            _extract(archive, temporary, out, watch)
            try:
                read_description(temporary)
            except UserError as error:
                raise UserError(
                    f"{archive}: holds no CameraRGB beside CameraSeg; is it the "
                    "archive of the Lyft data?"
                ) from error
        with whole_file(registry) as file:
            file.write_text(f"{_entry(digest)}\n")
    return archive


def _refuse_what_is_there(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: is there already; choose another folder or delete it")


def _download(archive: Path) -> None:
    # Imported here: nothing else needs these, and they take their time.
    import requests
    from kagglehub.clients import build_kaggle_client, download_file
    from kagglehub.config import get_kaggle_credentials
    from kagglehub.exceptions import DataCorruptionError
    from kagglehub.handle import parse_dataset_handle
    from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest

    try:
        credentials = get_kaggle_credentials()
    except (ValueError, OSError) as error:
        raise UserError(
            f"the Kaggle credentials cannot be read ({reason_of(error)}); correct or "
            "remove kaggle.json, or set KAGGLE_API_TOKEN"
        ) from error
    if credentials is None:
        raise UserError(
            "no Kaggle credentials found; set KAGGLE_API_TOKEN, which kaggle.com gives "
            f"in its settings, or download {KAGGLE_NAME} there yourself and name the "
            "file with --archive"
        )
    handle = parse_dataset_handle(KAGGLE_NAME)
    request = ApiDownloadDatasetRequest()
    request.owner_slug, request.dataset_slug = handle.owner, handle.dataset
    # kagglehub goes on where this file ends.
    part = archive.with_name(f".{archive.name}.part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with build_kaggle_client() as client:
            response = client.datasets.dataset_api_client.download_dataset(request)
            size = int(response.headers.get("Content-Length", 0))
            have = part.stat().st_size if part.exists() else 0
            # What is downloaded is nearly all pictures: it takes as much again.
            _check_space(archive.parent, 2 * size - have)
            download_file(response, str(part), handle)
        if size and part.stat().st_size != size:
            part.unlink()
            raise UserError(
                f"{archive}: the server sent another number of bytes than it said; "
                "call again to start anew"
            )
        part.replace(archive)
    except DataCorruptionError as error:
        raise UserError(
            f"{archive}: what arrived is not what Kaggle sent; call again to start anew"
        ) from error
    except (requests.RequestException, OSError) as error:
        raise UserError(
            f"{archive}: the download stopped ({reason_of(error)}); call again to go "
            f"on, or download {KAGGLE_NAME} yourself and name the file with --archive"
        ) from error


def _digest(archive: Path, watch: Watch) -> str:
    digest, done = hashlib.sha256(), 0
    try:
        total = archive.stat().st_size
        with archive.open("rb") as file:
            while chunk := file.read(MB):
                digest.update(chunk)
                done += len(chunk)
                watch(done // MB, total // MB, "comparing, MB")
    except OSError as error:
        raise UserError(f"{archive}: cannot be read ({reason_of(error)})") from error
    return digest.hexdigest()


def _compare(registry: Path, digest: str, archive: Path) -> None:
    if not registry.exists():
        return
    try:
        known = registry.read_text().strip()
    except (OSError, ValueError) as error:
        raise UserError(
            f"{registry}: cannot be read ({reason_of(error)}); move it away"
        ) from error
    if known != _entry(digest):
        raise UserError(
            f"{archive}: is not the archive that was used before: it is "
            f"'{_entry(digest)}', {registry} says '{known}'; delete the archive to "
            "fetch it again, or the registry to trust this one"
        )


def _entry(digest: str) -> str:
    return f"lyft sha256:{digest}"


def _extract(archive: Path, temporary: Path, out: Path, watch: Watch) -> None:
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                files = [one for one in zipped.infolist() if not one.is_dir()]
                _check_names(archive, [one.filename for one in files])
                _check_space(out.parent, sum(one.file_size for one in files))
                for done, one in enumerate(files, start=1):
                    zipped.extract(one, temporary)
                    watch(done, len(files), "extracting, files")
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as tar:
                members = tar.getmembers()
                _check_end(tar)
                _check_names(archive, [member.name for member in members])
                _check_space(out.parent, sum(member.size for member in members))
                for done, member in enumerate(members, start=1):
                    tar.extract(member, temporary, filter="data")
                    watch(done, len(members), "extracting, files")
        else:
            raise UserError(
                f"{archive}: is no whole zip or tar file; delete it and fetch it again"
            )
    except tarfile.FilterError as error:
        raise UserError(f"{archive}: is refused: {error}") from error
    except (*BROKEN, OSError) as error:
        # With a number it is the disk that fails; readers of archives give none.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UserError(
            f"{archive}: is broken ({reason_of(error)}); delete it and fetch it again"
        ) from error


def _check_end(tar: tarfile.TarFile) -> None:
    """A tar file that was cut between two members looks whole but for its last block.

    Reading that lets the decompression compare its checksum, too.
    """
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    end = 0
    while block := tar.fileobj.read(MB):
        end += len(block)
    if not end:
        raise tarfile.ReadError("its end is missing")


def _check_names(archive: Path, names: list[str]) -> None:
    for name in names:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts:
            raise UserError(
                f"{archive}: is refused: its member '{name}' would be written outside "
                "of the folder; get the archive from another place"
            )


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{folder}: {needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are "
            "free; free some space or choose another place"
        )

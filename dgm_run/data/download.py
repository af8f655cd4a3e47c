"""Finds files of data sets in the data folder, or downloads and verifies them."""

import gzip
import hashlib
import logging
import math
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, BinaryIO, NamedTuple
from urllib.error import URLError
from urllib.request import Request, urlopen

from dgm_run.errors import DataError

if TYPE_CHECKING:
    from torchvision.datasets import VisionDataset

TIMEOUT = 10.0
"""Seconds without data before a download fails. There is no second attempt: a run without a network fails at once."""

CHUNK_BYTES = 1 << 20
"""Bytes that are read at a time."""

log = logging.getLogger(__name__)


class RemoteFile(NamedTuple):
    """File of a data set, and its address.

    Attributes:
        name: path below the data folder.
        url: address of the file.
        checksum: "sha256:HEX" or "md5:HEX"; None if no trustworthy checksum is published.
        max_bytes: largest size of a download.
    """

    name: str
    url: str
    checksum: str | None
    max_bytes: int


def require(dataset: str, data_dir: str | Path, files: Sequence[RemoteFile], download: bool) -> list[Path]:
    """Returns the paths of all `files`, which share one web folder; downloads missing files if `download` is on.

    Raises:
        DataError: files are missing. The message names the folder, the files, their address and what to do.
    """
    folder = Path(data_dir).expanduser().resolve()
    missing = [file for file in files if not (folder / file.name).is_file()]
    try:
        if missing and not download:
            raise DataError("download is off")
        for file in missing:
            fetch(file.url, folder / file.name, file.checksum, file.max_bytes)
    except DataError as error:
        names = ", ".join(file.name for file in missing)
        url = missing[0].url
        address = url if len(missing) == 1 else url.rpartition("/")[0] + "/"
        raise DataError(
            f"{dataset}: {folder} has no {names} ({error}): put it there from {address} "
            "or set data_dir=... or DGM_DATA_DIR to a folder that has it; dataset=digits needs no files"
        ) from None
    return [folder / file.name for file in files]


def fetch(url: str, path: Path, checksum: str | None, max_bytes: int) -> None:
    """Downloads `url` to `path`, which appears only when it is complete and verified.

    Raises:
        DataError: no network, not found, too long, cut short, a web page, a wrong checksum, or a full disk.
    """
    log.info("fetching %s", url)
    try:
        request = Request(url, headers={"User-Agent": "dgm-run"})
        with urlopen(request, timeout=TIMEOUT) as response, open_atomic(path) as file:
            _receive(response, file, checksum, max_bytes)
    except (DataError, OSError, HTTPException) as error:
        cause = error.reason if type(error) is URLError else error  # its own message adds only brackets
        raise DataError(f"cannot fetch {url}: {format_error(cause)}") from None


def _receive(response: HTTPResponse, file: BinaryIO, checksum: str | None, max_bytes: int) -> None:
    algorithm, _, expected = (checksum or "sha256:").partition(":")
    digest = hashlib.new(algorithm, usedforsecurity=False)
    received = 0
    while chunk := response.read(CHUNK_BYTES):
        if received == 0 and chunk.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
            raise DataError("the answer is a web page, not the file")
        received += len(chunk)
        if received > max_bytes:
            raise DataError(f"the file is longer than {max_bytes} bytes, its largest expected size")
        digest.update(chunk)
        file.write(chunk)

    length = response.headers["Content-Length"]
    if length is not None and received < int(length):
        raise DataError(f"the download ended after {received} of {length} bytes")
    if checksum and digest.hexdigest() != expected:
        raise DataError(f"the {algorithm} of the file is {digest.hexdigest()}, not {expected}")


@contextmanager
def open_atomic(path: Path) -> Iterator[BinaryIO]:
    """Opens a temporary file, which gets the name `path` when the block succeeds, and is removed when it fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=path.parent, prefix=".incomplete-") as staging:  # same disk
        part = Path(staging) / path.name
        with open(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)


def load_torchvision(class_name: str, data_dir: str | Path, download: bool) -> "tuple[VisionDataset, VisionDataset]":
    """Loads training and test set of torchvision's MNIST family, from `data_dir`/CLASS/raw as torchvision does.

    Addresses and md5 sums are torchvision's. Its own downloader is not used: it has no limit of time or size, and
    leaves unfinished files.

    Raises:
        DataError: files are missing and cannot be fetched, or one of them is damaged.
    """
    from torchvision import datasets  # its import takes a second

    source = getattr(datasets, class_name)
    folder = Path(data_dir).expanduser().resolve()
    archives = [
        RemoteFile(f"{class_name}/raw/{name}", source.mirrors[0] + name, f"md5:{md5}", max_bytes=64_000_000)
        for name, md5 in source.resources
    ]
    raw = {archive: (folder / archive.name).with_suffix("") for archive in archives}
    packed = [archive for archive in archives if not raw[archive].is_file()]
    for archive in require(class_name, folder, packed, download):
        _unzip(archive)
    for path in raw.values():
        _check_idx(path)
    return source(folder, train=True), source(folder, train=False)


def _unzip(archive: Path) -> None:
    try:
        with gzip.open(archive) as packed, open_atomic(archive.with_suffix("")) as file:
            while chunk := packed.read(CHUNK_BYTES):
                file.write(chunk)
    except (OSError, EOFError, zlib.error) as error:
        reason = format_error(error)
        raise DataError(f"{archive}: cannot be unpacked ({reason}); remove it to fetch it again") from None


def _check_idx(path: Path) -> None:
    """Compares the length of an idx file of bytes with the length that its header promises."""
    rank = 3 if "idx3" in path.name else 1
    with open(path, "rb") as file:
        header = file.read(4 + 4 * rank)
    if header[:4] != bytes([0, 0, 8, rank]):
        raise DataError(f"{path}: is no idx file of {rank} axes; remove it to fetch it again")
    sizes = [int.from_bytes(header[4 * axis : 4 * axis + 4], "big") for axis in range(1, rank + 1)]
    promised = 4 + 4 * rank + math.prod(sizes)
    size = path.stat().st_size
    if size != promised:
        raise DataError(f"{path}: has {size} bytes instead of {promised}; remove it to fetch it again")


def format_error(error: object) -> str:
    """Formats the message of another library's error in one line."""
    return " ".join(str(error).split()) or type(error).__name__

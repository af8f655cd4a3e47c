import gzip
import hashlib
import socket

import pytest

from dgm_run.data import download
from dgm_run.data.download import RemoteFile, fetch, load_torchvision, open_atomic, require
from dgm_run.errors import DataError

CONTENT = bytes(range(256)) * 20
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
MD5 = "md5:" + hashlib.md5(CONTENT).hexdigest()


def refusal(url, path, checksum=None, max_bytes=10_000):
    """The message of a fetch that must fail and leave nothing behind."""
    with pytest.raises(DataError) as error:
        fetch(url, path, checksum, max_bytes)
    assert "\n" not in str(error.value)
    assert url in str(error.value)
    assert list(path.parent.iterdir()) == []
    return str(error.value)


@pytest.mark.parametrize("checksum", [SHA256, MD5, None])
def test_a_file_arrives_whole_in_a_new_folder_and_alone(serve, tmp_path, checksum):
    path = tmp_path / "new" / "data.bin"
    fetch(serve({"data.bin": CONTENT}) + "data.bin", path, checksum, len(CONTENT))
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]


def test_fetched_file_has_usual_permissions(serve, tmp_path):
    fetch(serve({"a": CONTENT}) + "a", tmp_path / "a", None, 10_000)
    (tmp_path / "b").write_bytes(b"")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_another_checksum_is_refused(serve, tmp_path):
    url = serve({"a": CONTENT + b"!"}) + "a"
    assert "sha256" in refusal(url, tmp_path / "a", SHA256)
    assert "md5" in refusal(url, tmp_path / "a", MD5)


def test_a_file_cut_short_is_refused_even_without_a_checksum(serve, tmp_path):
    assert "the download ended after 5115 of 5120" in refusal(serve({"a": CONTENT}, cut=5) + "a", tmp_path / "a")


def test_a_file_that_is_too_long_is_refused(serve, tmp_path):
    assert "longer than 100 bytes" in refusal(serve({"a": CONTENT}) + "a", tmp_path / "a", max_bytes=100)


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><p>Sign in</p>", b"\n <html><p>Sign in</p>"])
def test_web_page_is_refused(serve, tmp_path, page):
    assert "web page" in refusal(serve({"a": page}) + "a", tmp_path / "a")


def test_address_without_file_is_named(serve, tmp_path):
    assert "404" in refusal(serve({}) + "a", tmp_path / "a")


def test_no_network_is_said_in_one_line(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: refuses connections
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/a"
        assert "refused" in refusal(address, tmp_path / "a")
        with pytest.raises(DataError):
            fetch(address, tmp_path / "new" / "a", None, 10)
    assert not (tmp_path / "new").exists()


def test_a_silent_server_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as no_progress:
        assert "timed out" in refusal(f"http://127.0.0.1:{no_progress.getsockname()[1]}/a", tmp_path / "a")


def test_a_place_that_cannot_be_written_is_said_in_one_line(serve, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="file"):
        fetch(serve({"a": CONTENT}) + "a", tmp_path / "file" / "a", None, 10_000)


def test_failed_download_keeps_old_file(serve, tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(DataError):
        fetch(serve({"a": CONTENT}, cut=5) + "a", tmp_path / "a", None, 10_000)
    assert (tmp_path / "a").read_bytes() == b"old"


def test_an_interrupt_leaves_no_partial_file(tmp_path):
    def write():
        with open_atomic(tmp_path / "a") as file:
            file.write(CONTENT)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert list(tmp_path.iterdir()) == []


def test_missing_data_message_is_complete(tmp_path):
    files = [RemoteFile(f"set/{name}.mat", f"https://example.org/{name}.mat", None, 10) for name in "ab"]
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.mat").write_bytes(b"here")
    with pytest.raises(DataError) as error:
        require("Some set", tmp_path, files, download=False)
    message = str(error.value)
    assert "\n" not in message
    for part in ("Some set", str(tmp_path), "set/b.mat", "https://example.org/b.mat", "download is off"):
        assert part in message
    for part in ("data_dir=", "DGM_DATA_DIR", "dataset=digits"):
        assert part in message
    assert "a.mat" not in message


def test_missing_files_are_listed(tmp_path):
    files = [RemoteFile(f"set/{name}.mat", f"https://example.org/data/{name}.mat", None, 10) for name in "ab"]
    with pytest.raises(DataError, match=r"no set/a.mat, set/b.mat .* https://example.org/data/ "):
        require("Some set", tmp_path, files, download=False)


def test_only_what_is_missing_is_fetched(serve, tmp_path):
    url = serve({"b": CONTENT})
    (tmp_path / "a").write_bytes(b"here")
    files = [RemoteFile(name, url + name, None, 10_000) for name in "ab"]
    assert require("Some set", tmp_path, files, download=True) == [tmp_path / "a", tmp_path / "b"]
    assert (tmp_path / "a").read_bytes() == b"here"
    assert (tmp_path / "b").read_bytes() == CONTENT


def test_failed_download_names_cause_and_remedies(serve, tmp_path):
    files = [RemoteFile("a", serve({"a": CONTENT}) + "a", "md5:00", 10_000)]
    with pytest.raises(DataError, match=r"the md5 of the file is .* not 00.*dataset=digits") as error:
        require("Some set", tmp_path, files, download=True)
    assert "\n" not in str(error.value)


def test_folder_may_start_with_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a").write_bytes(CONTENT)
    assert require("Some set", "~", [RemoteFile("a", "", None, 0)], download=False) == [tmp_path / "a"]


def idx(*sizes):
    header = bytes([0, 0, 8, len(sizes)]) + b"".join(size.to_bytes(4, "big") for size in sizes)
    content = bytes(range(sizes[0]))
    return header + (content if len(sizes) == 1 else b"".join(bytes([n]) * 784 for n in content))


@pytest.fixture
def published():
    """The four files of the MNIST family with 6 and 4 images; image n is of intensity n, label n."""
    return {
        "train-images-idx3-ubyte": idx(6, 28, 28),
        "train-labels-idx1-ubyte": idx(6),
        "t10k-images-idx3-ubyte": idx(4, 28, 28),
        "t10k-labels-idx1-ubyte": idx(4),
    }


def write_raw(folder, files):
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, content in files.items():
        (raw / name).write_bytes(content)
    return raw


@pytest.fixture
def offered(serve, published, monkeypatch):
    """Publishes the files where torchvision is made to look for them."""
    from torchvision.datasets import MNIST

    def offer(change=lambda content: content):
        packed = {f"{name}.gz": gzip.compress(content) for name, content in published.items()}
        resources = [(name, hashlib.md5(content).hexdigest()) for name, content in packed.items()]
        url = serve({name: change(content) for name, content in packed.items()})
        monkeypatch.setattr(MNIST, "mirrors", [url])
        monkeypatch.setattr(MNIST, "resources", resources)

    return offer


def test_torchvision_files_are_used(tmp_path, published):
    write_raw(tmp_path, published)
    train, test = load_torchvision("MNIST", tmp_path, download=False)
    assert train.data.shape == (6, 28, 28)
    assert train.targets.tolist() == [0, 1, 2, 3, 4, 5]
    assert test.data[:, 5, 5].tolist() == [0, 1, 2, 3]


def test_missing_files_are_fetched_unpacked_and_found_again(tmp_path, published, offered):
    offered()
    load_torchvision("MNIST", tmp_path, download=True)
    raw = tmp_path / "MNIST" / "raw"
    assert {name: (raw / name).read_bytes() for name in published} == published
    train, _ = load_torchvision("MNIST", tmp_path, download=False)
    assert len(train) == 6


@pytest.mark.parametrize("change", [lambda c: c[:-3], lambda c: b"<html>Sign in</html>"], ids=["cut", "page"])
def test_a_wrong_archive_is_not_kept(tmp_path, offered, change):
    offered(change)
    with pytest.raises(DataError, match=r"MNIST/raw/train-images-idx3-ubyte.gz.*dataset=digits"):
        load_torchvision("MNIST", tmp_path, download=True)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_archives_put_there_by_hand_unpacked(tmp_path, published, offered):
    offered()
    write_raw(tmp_path, {f"{name}.gz": gzip.compress(content) for name, content in published.items()})
    train, _ = load_torchvision("MNIST", tmp_path, download=False)
    assert len(train) == 6


def test_a_damaged_archive_put_there_by_hand_is_named(tmp_path, published, offered):
    offered()
    packed = {f"{name}.gz": gzip.compress(content) for name, content in published.items()}
    packed["t10k-labels-idx1-ubyte.gz"] = packed["t10k-labels-idx1-ubyte.gz"][:-10]
    raw = write_raw(tmp_path, packed)
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte.gz: cannot be unpacked") as error:
        load_torchvision("MNIST", tmp_path, download=False)
    assert "\n" not in str(error.value)
    assert not (raw / "t10k-labels-idx1-ubyte").exists()


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
@pytest.mark.parametrize(
    "change",
    [lambda c: c[:-1], lambda c: b"<!DOCTYPE html>", lambda c: b"", lambda c: c[:2] + b"\x0d" + c[3:]],
    ids=["truncated", "web page", "empty", "floats"],
)
def test_file_of_wrong_length_or_kind_named(tmp_path, published, name, change):
    write_raw(tmp_path, published | {name: change(published[name])})
    with pytest.raises(DataError, match=f"{name}: .* remove it") as error:
        load_torchvision("MNIST", tmp_path, download=False)
    assert "\n" not in str(error.value)


def test_images_where_labels_belong_refused(tmp_path, published):
    write_raw(tmp_path, published | {"t10k-labels-idx1-ubyte": published["t10k-images-idx3-ubyte"]})
    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte"):
        load_torchvision("MNIST", tmp_path, download=False)

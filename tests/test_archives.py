import io
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sktransfer.files import archives
from sktransfer.files.archives import NpzReader
from sktransfer.files.regular import open_regular
from sktransfer.training.checkpoints import read_state, write_state

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 4, 4), dtype=np.uint8)
LABELS = np.array(list("abcab"))


def opened(path):
    return NpzReader(path, f"Reader cannot read {str(path)!r}", "Copy it again.")


def read(path, *names):
    with opened(path) as archive:
        return [archive.read(name) for name in names]


def write_members(path, compression=zipfile.ZIP_DEFLATED, **members):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def npy(text, data=b"", version=(1, 0)):
    encoded = text.encode("latin-1")
    length = struct.pack("<H" if version == (1, 0) else "<I", len(encoded))
    return b"\x93NUMPY" + bytes(version) + length + encoded + data


def header(descr="'|u1'", shape="(4,)", order="False"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "some.npz"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    "values",
    [
        IMAGES,
        LABELS,
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.float32(3),
        np.zeros((0, 28, 28), np.uint8),
        np.arange(3, dtype=">i4"),
    ],
    ids=lambda values: f"{values.dtype}-{np.ndim(values)}d-{np.size(values)}",
)
def test_arrays_are_read_as_numpy_wrote_them(path, save, values):
    save(path, values=values, other=IMAGES)
    with opened(path) as archive:
        assert archive.names == ["values", "other"]
        assert archive.header("values") == (np.shape(values), values.dtype)
        found = archive.read("values")
    np.testing.assert_array_equal(found, values)
    assert found.dtype == values.dtype
    assert found.flags.writeable


def test_arrays_of_several_chunks(path, monkeypatch):
    monkeypatch.setattr(archives, "_CHUNK_BYTES", 7)
    np.savez_compressed(path, images=IMAGES)
    np.testing.assert_array_equal(read(path, "images")[0], IMAGES)


def test_a_folder_in_latin_1(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    path = folder / "some.npz"
    np.savez(path, images=IMAGES)
    np.testing.assert_array_equal(read(path, "images")[0], IMAGES)
    with pytest.raises(OSError, match=r"array 'labels': it is not there\. Copy it again"):
        read(path, "labels")


def test_more_than_the_limit_is_refused_before_memory_is_taken(path, monkeypatch):
    np.savez_compressed(path, zeros=np.zeros(100_000, np.uint8), again=np.zeros(1000, np.uint8))
    monkeypatch.setattr(archives, "FREE_BYTES", 1000)
    limit = 100 * path.stat().st_size
    assert limit < 100_000
    with pytest.raises(OSError, match=r"'zeros': it unpacks to 100,000 bytes, .* Copy it again\."):
        read(path, "zeros")
    # Together, arrays unpack to no more than one of them may.
    n_reads = limit // 1000
    with opened(path) as archive:
        for _ in range(n_reads):
            archive.read("again")
        with pytest.raises(OSError, match="it unpacks to 1,000 bytes"):
            archive.read("again")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (npy(header(), b"123"), "should take 4 bytes and has 3"),
        (npy(header(), b"12345"), "should take 4 bytes and has 5"),
        (npy(header(shape=f"({2**62}, {2**62})"), b"1234"), "should take [0-9,]+ bytes and has 4"),
        (npy(header(shape=f"({2**70}, 0)")), "."),
        (npy(header(shape="(-4, -1)"), b"1234"), r"its shape is \(-4, -1\)"),
        (npy(header("'|S2147483647'", "(2,)"), b"12"), "should take 4,294,967,294 bytes and has 2"),
        (npy(header("'<U1'", "(1,)"), b"\xff\xff\xff\x7f"), "characters that do not exist"),
        (npy(header("'>U1'", "(1,)"), b"\x00\x11\x00\x00"), "characters that do not exist"),
        (npy(header("'|V0'", "(5,)")), "."),
        (npy(header("'|O'"), b"1234"), "pickled objects are not loaded"),
        (npy(header("[('a', '|O')]"), b"1234"), "pickled objects are not loaded"),
        (npy("(" * 5000), "."),
        (npy("-" * 9000 + "1"), "."),
        (npy("{'descr': 3L"), "."),
        (npy("'''"), "."),
        (npy("\x00"), "."),
        (npy(" " * 60_000), "Header"),
        (npy(header(), b"1234", version=(9, 9)), "."),
        (b"\x93NUMPY", "."),
        (b"", "."),
        (b"plain text", "."),
    ],
)
def test_a_broken_array_is_one_error_that_names_the_file(path, content, reason):
    write_members(path, values=content)
    with pytest.raises(
        OSError, match=rf"(?s)^Reader cannot .*some\.npz': its array .*{reason}.*Copy"
    ):
        read(path, "values")


def test_an_error_quotes_no_more_of_a_file_than_can_be_read(path):
    write_members(path, values=npy("{'" + 9000 * "x" + "': 1}"))
    with pytest.raises(OSError, match=r"Header does not contain the correct keys.*") as caught:
        read(path, "values")
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression_is_refused(path, compression):
    write_members(path, compression, values=npy(header(), b"1234"))
    with pytest.raises(OSError, match="compressed by an unsupported method"):
        read(path, "values")


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06", b"text", b"PK\x03\x04" + bytes(100)])
def test_what_is_no_archive(path, content):
    path.write_bytes(content)
    with pytest.raises(OSError, match=r"some\.npz': it is not an \.npz archive, is damaged, or"):
        opened(path)


def test_mutated_archives_are_read_or_one_error(path):
    rng = np.random.default_rng(0)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=IMAGES, labels=LABELS)
    original = buffer.getvalue()
    outcomes = set()
    for _ in range(1000):
        mutated = bytearray(original)
        for place in rng.integers(0, len(mutated), rng.integers(1, 4)):
            mutated[place] = rng.integers(0, 256)
        path.write_bytes(
            mutated[: rng.integers(1, len(mutated))] if rng.random() < 0.1 else mutated
        )
        try:
            read(path, "images", "labels")
            outcomes.add("read")
        except OSError as error:
            assert "some.npz" in str(error) and str(error).endswith("Copy it again.")
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_refused_without_waiting(path):
    os.mkfifo(path)
    with pytest.raises(OSError, match=r"some\.npz': it is a named pipe\. Copy it again\."):
        opened(path)


def test_a_folder_and_a_missing_file(path):
    with pytest.raises(OSError, match="No such file"):
        opened(path)
    path.mkdir()
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        open_regular(path)
    with pytest.raises(OSError, match=r"it is a folder\. Copy it again\."):
        opened(path)


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="no devices here")
def test_a_device_is_refused():
    with pytest.raises(OSError, match="it is a device"):
        open_regular("/dev/null")


# -- checkpoints, which are such archives


STATE = '{"facts": {"a": 1}, "counts": {"arrays": 2}}'
ARRAYS = {"arrays_0": np.zeros(3), "arrays_1": np.int64(4)}
NOT_WRITTEN = "its state is not one that was saved"


def counts(text):
    return {"state": f'{{"facts": {{}}, "counts": {text}}}'}


def test_a_checkpoint_in_a_folder_in_latin_1(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    write_state(folder / "x.npz", {"a": 1}, {"arrays": [np.zeros(3)], "none": []})
    facts, groups = read_state(folder / "x.npz", "VGGClassifier")
    assert facts == {"a": 1}
    assert [len(groups["arrays"]), groups["none"]] == [1, []]


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        (ARRAYS, "its array 'state': it is not there"),
        ({"state": b"\xff"} | ARRAYS, NOT_WRITTEN),
        ({"state": 3} | ARRAYS, NOT_WRITTEN),
        ({"state": "[" * 100_000} | ARRAYS, NOT_WRITTEN),
        (counts('{"arrays": "a"}'), NOT_WRITTEN),
        (counts('{"arrays": 1e18}'), NOT_WRITTEN),
        (counts('{"arrays": 1000000000000}'), "it should hold 1,000,000,000,000 arrays and has 0"),
        (counts('{"a": -1, "arrays": 3}') | ARRAYS, NOT_WRITTEN),
        ({"state": STATE, "arrays_0": np.zeros(3), "x": 1}, "its array 'arrays_1': it is not"),
        ({"state": np.array([STATE], object)} | ARRAYS, "pickled objects are not loaded"),
    ],
)
def test_checkpoints_that_nobody_wrote(path, members, reason):
    np.savez(path, state=STATE, **ARRAYS)
    facts, groups = read_state(path, "VGGClassifier")
    assert facts == {"a": 1} and len(groups["arrays"]) == 2
    np.savez(path, **members)
    whole = rf"^VGGClassifier cannot read the checkpoint '.*some\.npz': .*{reason}"
    with pytest.raises(OSError, match=whole + r".*\. Delete it to start again\.$"):
        read_state(path, "VGGClassifier")


@pytest.mark.parametrize(
    "text", ["(" * 5000, "{'descr': 3L", "'''", "\x00", "-" * 9000 + "1"], ids=range(5)
)
def test_a_hostile_header_in_a_checkpoint(path, text):
    write_members(path, state=npy(text))
    with pytest.raises(OSError, match=r"(?s)cannot read the checkpoint .* Delete it to start ag"):
        read_state(path, "VGGClassifier")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_for_a_checkpoint(path):
    os.mkfifo(path)
    with pytest.raises(OSError, match=r"checkpoint '.*': it is a named pipe\. Delete it to start"):
        read_state(path, "VGGClassifier")

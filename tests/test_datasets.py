"""The loaders: what they give, from which sources, and what they say where something is wrong."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp
from memory import memory_below
from numpy.testing import assert_array_equal
from sklearn.datasets import _openml, load_digits

from sktransfer.datasets import bunches, csv_files, mnist
from sktransfer.datasets.folders import IMAGE_EXTENSIONS
from sktransfer.datasets.loaders import (
    fetch_mnist_pair,
    list_images,
    load_digit_pair,
    read_labelled_images,
    read_pixel_csv,
)
from sktransfer.files import text as _text_files

PIXELS = np.array([[0, 255, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16]], np.uint8)
LABELS = [8, 6, 7, 8]


def write_csv(
    path: Path,
    pixels: Any,
    labels: Any,
    *,
    at: int = 0,
    newline: str = "\n",
    quoting: Any = csv.QUOTE_MINIMAL,
) -> Path:
    """Write rows of pixels with the label in column `at`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=newline, quoting=quoting)
    names = [f"pixel{i}" for i in range(np.shape(pixels)[1])]
    for row, label in zip([names, *np.asarray(pixels).tolist()], ["label", *labels], strict=True):
        writer.writerow([*row[:at], label, *row[at:]])
    content = text.getvalue().encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def make_folder(root: Path, *names: str) -> Path:
    """Make empty files; a name that ends with a slash is a folder."""
    root.mkdir(exist_ok=True)
    for name in names:
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return root


@pytest.fixture
def no_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)


# -- scikit-learn's digits


@pytest.mark.parametrize("digits", [(8, 6), (6, 8), (0, 9), ["3", "5"], np.array([1, 2])])
def test_embedded_digits_keep_their_order_and_values(digits):
    bunch = load_digit_pair(digits)
    source = load_digits()
    first, second = (int(digit) for digit in digits)
    rows = np.isin(source.target, [first, second])
    assert_array_equal(bunch.data, source.data[rows])
    assert_array_equal(bunch.images, source.images[rows])
    assert_array_equal(bunch.target, source.target[rows] == first)
    assert_array_equal(bunch.target_names[bunch.target], source.target[rows])
    assert bunch.target.dtype == np.int64
    assert bunch.data.dtype == np.float64
    assert (bunch.data.min(), bunch.data.max()) == (0, 16)
    assert bunch.feature_names == source.feature_names
    assert bunch.frame is None
    assert f"Digits {first} (target 1) and {second} (target 0)" in bunch.DESCR


def test_embedded_digits_in_other_forms():
    bunch = load_digit_pair()
    X, y = load_digit_pair(return_X_y=True)
    assert_array_equal(X, bunch.data)
    assert_array_equal(y, bunch.target)
    framed = load_digit_pair(as_frame=True)
    assert list(framed.frame.columns) == [*bunch.feature_names, "target"]
    assert_array_equal(framed.data.to_numpy(), X)
    assert_array_equal(framed.target.to_numpy(), y)
    X, y = load_digit_pair(as_frame=True, return_X_y=True)
    assert X.equals(framed.data)
    assert y.equals(framed.target)


@pytest.mark.parametrize("load", [load_digit_pair, fetch_mnist_pair])
def test_a_pair_is_two_digits(load):
    with pytest.raises(
        ValueError, match=r"'digits' parameter of \w+ must be a tuple of two diff.*ten"
    ):
        load((8, 6, 7))


def test_a_digit_is_below_ten():
    with pytest.raises(ValueError, match=r"of load_digit_pair must .* 12 is not\. It has: 0, 1, 2"):
        load_digit_pair((8, 12))


# -- the rule by which digits are picked


BAD_DIGITS = [
    ((8,), ValueError, r"two or more different labels, such as \(8, 6\)\. Got \(8,\): name a seco"),
    ((), ValueError, r"two or more different labels.* Got \(\): name a second"),
    ((8, 8), ValueError, r"Got \(8, 8\), which names 8 more than once"),
    ((8, "8"), ValueError, r"which names 8 more than once"),
    ((8, 8.0, 6), ValueError, r"which names 8 more than once"),
    ("86", TypeError, r"two or more different labels.* Got '86' instead"),
    (8, TypeError, r"Got 8 instead"),
    ({8, 6}, TypeError, r"Got \{8, 6\} instead"),
]


@pytest.mark.parametrize(("digits", "error", "message"), BAD_DIGITS)
@pytest.mark.parametrize(
    "load",
    [
        load_digit_pair,
        fetch_mnist_pair,
        lambda digits: read_pixel_csv("x.csv", digits=digits),
        lambda digits: read_labelled_images("x.npz", digits=digits),
    ],
)
def test_bad_digits_are_refused_before_anything_is_read(load, digits, error, message):
    with pytest.raises(error, match=rf"The 'digits' parameter of \w+ must be .*{message}"):
        load(digits)


@pytest.fixture(params=["csv", "csv.gz", "npz", "folder"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The same four images from every kind of source."""
    if request.param == "folder":
        # Sorted by class, as folders are: 6, 7, 8, 8.
        return make_folder(tmp_path / "digits", "8/a.png", "8/b.png", "6/c.png", "7/d.png")
    path = tmp_path / f"digits.{request.param}"
    if request.param == "npz":
        np.savez(path, images=PIXELS.reshape(4, 2, 2), digit=LABELS)
        return path
    return write_csv(path, PIXELS, LABELS)


@pytest.mark.parametrize("digits", [(8, 6), ("8", "6"), [8, "6"], (np.uint8(8), 6.0)])
def test_every_source_picks_a_pair_alike(source, digits):
    bunch = read_labelled_images(source, digits=digits)
    in_folder = source.is_dir()
    assert_array_equal(bunch.target, [0, 1, 1] if in_folder else [1, 0, 1])
    assert bunch.target.dtype == np.int64
    assert bunch.target_names.tolist() == (["6", "8"] if in_folder else [6, 8])
    if in_folder:
        assert [Path(path).name for path in bunch.data] == ["c.png", "a.png", "b.png"]
    else:
        assert_array_equal(np.reshape(bunch.data, (3, 4)), PIXELS[[0, 1, 3]])
    description = bunch.DESCR
    assert description == (
        f"3 images of {source}, labels {digits[0]} (target 1) and 6 (target 0) only."
    )


def test_every_source_keeps_its_labels_without_a_pair(source):
    spelled = sorted(LABELS) if source.is_dir() else LABELS
    for digits in (None, (7, 8, 6)):
        bunch = read_labelled_images(source, digits=digits)
        assert list(map(int, bunch.target)) == spelled
        assert list(map(int, bunch.target_names)) == [6, 7, 8]
        assert len(bunch.data) == 4
    assert "labels 7, 8, 6 only" in bunch.DESCR


def test_every_source_names_labels_that_are_not_there(source):
    message = (
        r"'digits' parameter of read_\w+ must name labels that are in '.*'\. Got \(8, 5, 4\), of "
        r"which 5, 4 are not\. It has: 6, 7, 8\."
    )
    with pytest.raises(ValueError, match=message):
        read_labelled_images(source, digits=(8, 5, 4))


def test_many_labels_are_not_all_listed(tmp_path):
    path = write_csv(tmp_path / "x.csv", np.zeros((50, 1), int), range(50))
    with pytest.raises(ValueError, match=r"It has: 0, 1, .*, 19, \.\.\.\.$"):
        read_pixel_csv(path, digits=(8, "cat"))


@given(
    labels=hnp.arrays(np.int64, st.integers(1, 40), elements=st.integers(-3, 3)),
    data=st.data(),
)
def test_the_rule_by_which_labels_are_picked(labels, data):
    known = sorted(set(labels.tolist()))
    wanted = data.draw(st.lists(st.sampled_from(range(-3, 4)), min_size=2, unique=True))
    keys = tuple(map(str, wanted))
    if not set(wanted) <= set(known):
        with pytest.raises(ValueError, match="must name labels that are in here"):
            bunches.select(labels, keys, "f", "here")
        return
    rows, target, names = bunches.select(labels, keys, "f", "here")
    assert_array_equal(rows, np.isin(labels, wanted))
    if len(wanted) == 2:
        assert_array_equal(target, labels[rows] == wanted[0])
        assert_array_equal(names[target], labels[rows])
    else:
        assert_array_equal(target, labels[rows])
        assert names.tolist() == sorted(wanted)


# -- CSV

integers = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9))
floats = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
    elements=st.floats(-1e9, 1e9, allow_nan=False),
)
wide = hnp.arrays(
    np.int64,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
    elements=st.integers(-70_000, 70_000),
)
texts = st.text("abz0189_-#., é'\"", min_size=1, max_size=6).map(str.strip).filter(bool)


@settings(deadline=None)
@given(
    pixels=integers | floats | wide,
    newline=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    ending=st.sampled_from([".csv", ".csv.gz"]),
    chunk_bytes=st.sampled_from([1, 100, 8 << 20]),
    data=st.data(),
)
def test_a_csv_file_is_read_as_it_was_written(pixels, newline, quoting, ending, chunk_bytes, data):
    labels = data.draw(
        st.lists(st.integers(-99, 10**15) | texts, min_size=len(pixels), max_size=len(pixels))
    )
    at = data.draw(st.integers(0, pixels.shape[1]))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_files, "_CHUNK_BYTES", chunk_bytes)
        path = Path(folder, f"x{ending}")
        write_csv(path, pixels, labels, at=at, newline=newline, quoting=quoting)
        bunch = read_pixel_csv(path)
    assert_array_equal(bunch.data, pixels)
    is_uint8 = np.all((pixels >= 0) & (pixels <= 255) & (pixels == np.rint(pixels)))
    assert bunch.data.dtype == (np.uint8 if is_uint8 else np.float64)
    spelled = list(map(str, labels))
    if all(label == str(int(label)) for label in spelled if label.lstrip("-").isdecimal()) and all(
        label.removeprefix("-").isdecimal() for label in spelled
    ):
        assert bunch.target.dtype == np.int64
    else:
        assert bunch.target.dtype.kind == "U"
    assert list(map(str, bunch.target)) == spelled
    assert bunch.feature_names == [f"pixel{i}" for i in range(pixels.shape[1])]
    assert list(map(str, bunch.target_names)) == list(map(str, np.unique(bunch.target)))


def test_a_csv_file_in_other_forms(tmp_path):
    path = write_csv(tmp_path / "x.csv", PIXELS, LABELS, at=2)
    bunch = read_pixel_csv(path)
    assert_array_equal(bunch.images, PIXELS.reshape(4, 2, 2))
    assert bunch.frame is None
    description = bunch.DESCR
    assert description == f"4 images of {path}."
    X, y = read_pixel_csv(str(path), return_X_y=True)
    assert_array_equal(X, PIXELS)
    assert_array_equal(y, LABELS)
    framed = read_pixel_csv(path, as_frame=True, digits=(8, 6))
    assert list(framed.frame.columns) == [*bunch.feature_names, "label"]
    assert (framed.data.dtypes == np.uint8).all()
    assert framed.frame["label"].tolist() == [1, 0, 1]
    assert read_pixel_csv(write_csv(path, PIXELS[:, :3], LABELS)).images is None


@pytest.mark.usefixtures("no_pandas")
def test_frames_alone_need_pandas(tmp_path):
    path = write_csv(tmp_path / "x.csv", PIXELS, LABELS)
    assert len(read_pixel_csv(path).data) == 4
    assert len(load_digit_pair().data) == 355
    for load in (load_digit_pair, fetch_mnist_pair, lambda **k: read_pixel_csv(path, **k)):
        with pytest.raises(ImportError, match=r"\w+ needs pandas for as_frame=True.*pip install"):
            load(as_frame=True)


def read_text(tmp_path: Path, text: str | bytes, **options: Any) -> Any:
    path = tmp_path / "train.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_pixel_csv(path, **options)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("\ufefflabel,a,b\n5,1,2\n6,3,4", [5, 6]),
        ('"label","a","b"\r\n"5","1","2"\r\n"6","3","4"\r\n', [5, 6]),
        (" Label , a , b \n 5 , 1 , 2 \n\n  \n 6 , 3 , 4 \n\n", [5, 6]),
        ("a,b,label\n1,2,x # y\n3,4,#z\n", ["x # y", "#z"]),
        ("label,a,b\n05,1,2\n6,3,4\n", ["05", "6"]),
        ("label,a,b\n5.0,1,2\n6,3,4\n", ["5.0", "6"]),
        ("label,a,b\n1234567890123456789012,1,2\n6,3,4\n", ["1234567890123456789012", "6"]),
        ("label,a,b\n5,1.0,2e0\n6,3,4\n", [5, 6]),
        ("label,a,b\nNA,1,2\n6,3,4\n", ["NA", "6"]),
    ],
)
def test_csv_files_as_other_programs_write_them(tmp_path, text, labels):
    bunch = read_text(tmp_path, text)
    assert_array_equal(bunch.data, [[1, 2], [3, 4]])
    assert bunch.data.dtype == np.uint8
    assert bunch.target.tolist() == labels
    assert bunch.feature_names == ["a", "b"]


def test_the_dtype_is_that_of_the_whole_file(tmp_path, monkeypatch):
    text = "label,a\n6,1\n8,2\n7,0.5\n6,3\n"
    for chunk_bytes in (1, 8 << 20):
        monkeypatch.setattr(csv_files, "_CHUNK_BYTES", chunk_bytes)
        bunch = read_text(tmp_path, text, digits=(8, 6))
        assert_array_equal(bunch.data, [[1.0], [2.0], [3.0]])
        assert bunch.data.dtype == np.float64


def test_a_packed_file_is_known_by_its_content(tmp_path):
    packed = gzip.compress(b"label,a\n6,1\n8,2\n")
    assert read_text(tmp_path, packed).target.tolist() == [6, 8]
    plain = write_csv(tmp_path / "x.csv", PIXELS, LABELS).rename(tmp_path / "y.csv.gz")
    assert read_pixel_csv(plain).target.tolist() == LABELS


BAD_CSV = {
    "empty": ("", r"needs a CSV file with a header 'label,pixel0,.*train.csv', which is empty"),
    "blank": ("\nlabel,a\n1,2\n", r"whose first line is blank"),
    "no rows": ("label,a,b\n\n", r"cannot read '.*train.csv': it has a header and no rows"),
    "no label": (
        "pixel0,pixel1\n1,2\n",
        r"has no 'label' column: its first line reads 'pixel0', 'pixel1'\. Kaggle's test.csv has n",
    ),
    "no header": ("5,0,0,1,2,3,4\n", r"first line reads '5', '0', '0', '1', '2', \.\.\.\. Kaggle"),
    "semicolons": ("label;a;b\n1;2;3\n", r"reads 'label;a;b'.* separate columns by commas"),
    "two labels": ("label,a,label\n1,2,3\n", r"has 2 columns called 'label'\. Leave one"),
    "no pixels": ("label\n1\n", r"has labels but no pixels"),
    "index": (",label,a\n0,1,2\n", r"column 1 has no name: '', 'label', 'a'\. .*index=False"),
    "short row": ("label,a,b\n1,2,3\n1,2\n", r"line 3 has 2 columns, but its header has 3"),
    "long row": ("label,a,b\n\n1,2,3,4\n", r"line 3 has 4 columns, but its header has 3"),
    "all short": ("label,a,b\n1,2\n1,2\n", r"line 2 has 2 columns, but its header has 3"),
    "text": (
        "label,a,b\n1,2,3\n1,2,x\n",
        r"line 3, column 'b': 'x' is not a finite number, as every pixel must be\. F",
    ),
    "1_0": ("label,a\n1,1_0\n", r"line 2, column 'a': '1_0' is not a finite number"),
    "0x10": ("label,a\n1,0x10\n", r"line 2, column 'a': '0x10' is not a finite number"),
    "long text": (
        f"label,a\n1,{'y' * 60_000}\n",
        r"line 2, column 'a': 'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy' is not a finite number",
    ),
    "no line ends": (
        "label,a\n" + "1,2," * 20_000,
        r"line 2 has more than 65,664 characters, .* made: it may lack line ends",
    ),
    "long header": ("label," + "a," * (9 << 20), r"line 1 has more than 16,777,216 characters"),
    "columns": ("label," + "a," * (1 << 20), r"which has more than 1,048,576 columns"),
    "NUL": ("label,a\n1,2\n\0,3\n", r"which has a NUL character in line 3: it is in UTF-16, or"),
    "gap": ("label,a,b\n1,,3\n", r"line 2, column 'a': '' is not a finite number, .*\. Fill it in"),
    "nan": ("label,a,b\n1,2,NaN\n", r"line 2, column 'b': 'NaN' is not a finite number"),
    "question": ("label,a,b\n1,2,?\n", r"line 2, column 'b': '\?' is not a finite number"),
    "infinite": (
        "label,a,b\n1,2,3\n1,-inf,3\n",
        r"line 3, column 'a': '-inf' is not a finite numb",
    ),
    "no class": ("label,a,b\n1,2,3\n,2,3\n", r"line 3, column 'label': '' is not a label"),
    "only commas": ("label,a,b\n1,2,3\n,,\n", r"line 3, column 'label': '' is not a label"),
    "bytes": (b"label,a\n1,\xff\n", r"needs a text file in UTF-8\. Got '.*', which is not: .*0xff"),
    "zip": (b"PK\x03\x04abc", r"which is a zip archive: unpack it first"),
}


@pytest.mark.parametrize("case", BAD_CSV)
@pytest.mark.parametrize("chunk_bytes", [1, 8 << 20])
def test_a_csv_file_with_a_fault_is_an_error_that_says_where(
    tmp_path, monkeypatch, case, chunk_bytes
):
    text, message = BAD_CSV[case]
    monkeypatch.setattr(csv_files, "_CHUNK_BYTES", chunk_bytes)
    with pytest.raises(ValueError, match=rf"^read_pixel_csv .*{message}"):
        read_text(tmp_path, text)


def test_a_quote_that_is_not_closed_swallows_no_row(tmp_path):
    with pytest.raises(ValueError, match=r"lines 2 to 3 \(a quote that is not closed\?\)"):
        read_text(tmp_path, 'a,b,label\n1,2,"8\n1,2,6\n')


def test_a_fault_far_down_is_named_by_its_line(tmp_path):
    lines = ["label,a,b", " ", ""] + ["1,2,3"] * 5000
    lines[4321] = "1,2,three"
    with pytest.raises(ValueError, match=r"line 4322, column 'b': 'three' is not a finite number"):
        read_text(tmp_path, "\n".join(lines))


def test_csv_files_that_cannot_be_opened(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"read_pixel_csv needs a file that .*no such file"):
        read_pixel_csv(tmp_path / "x.csv")
    with pytest.raises(
        IsADirectoryError, match=r"read_pixel_csv needs a file\. .*is a folder: list"
    ):
        read_pixel_csv(tmp_path)
    with pytest.raises(TypeError, match=r"'path' parameter of read_pixel_csv must be .* Got 3"):
        read_pixel_csv(3)
    packed = bytearray(gzip.compress(b"label,a\n" + b"1,2\n" * 1000))
    with pytest.raises(OSError, match=r"cannot unpack '.*': Compressed file ended.* was cut off"):
        read_text(tmp_path, bytes(packed[:-20]))
    packed = bytearray(gzip.compress(b"label,a\n" + b"1,2\n" * 1000))
    packed[-6] ^= 255
    with pytest.raises(OSError, match=r"cannot unpack '.*': CRC check failed.* is damaged"):
        read_text(tmp_path, bytes(packed))


def test_long_lines_and_long_labels_fill_no_memory(tmp_path):
    """Each unpacks to 50 MB or more, or would make an array of some GB."""
    lines = {
        "header": b"label," + b"a," * (25 << 20),
        "row": b"label,a\n1," + b"2" * (50 << 20),
        "spaces": b"label,a\n1," + b" " * (50 << 20),
        "label": b"label,a\n" + b"x" * 60_000 + b",1\n" + b"y,1\n" * 30_000,
    }
    path = tmp_path / "x.csv.gz"
    for content in lines.values():
        path.write_bytes(gzip.compress(content, 1))
        too_long = pytest.raises(ValueError, match=r"x\.csv\.gz'.* has (more than )?[\d,]+ char")
        # A line is held as the pieces that it came in, then joined: the longest header takes most.
        with memory_below(100 << 20), too_long:
            read_pixel_csv(path)


def test_a_packed_file_that_unpacks_to_far_more_is_refused(tmp_path, monkeypatch):
    content = b"label,a\n" + b"1,2\n" * 50_000
    monkeypatch.setattr(_text_files, "FREE_BYTES", 100_000)
    with pytest.raises(ValueError, match=r"more than 100 times its size.* unpack it \(gunz"):
        read_text(tmp_path, gzip.compress(content))
    lying = gzip.compress(content)[:-4] + bytes(4)
    with pytest.raises(ValueError, match=r"unpacks to more than 100 times its size"):
        read_text(tmp_path, lying)
    assert len(read_text(tmp_path, content).data) == 50_000
    monkeypatch.undo()
    assert len(read_text(tmp_path, gzip.compress(content)).data) == 50_000


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_pipes_sockets_and_devices_are_refused_without_waiting(tmp_path):
    names = ["pipe.csv", "pipe.csv.gz", "pipe.npz", "socket.csv"]
    for name in names[:3]:
        os.mkfifo(tmp_path / name)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / names[3]))
    (tmp_path / "device.csv").symlink_to(os.devnull)
    # In a process of its own: a pipe that is opened makes the reader wait for ever.
    code = (
        "import sys\n"
        "from sktransfer.datasets.loaders import read_labelled_images\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n"
        "        read_labelled_images(path)\n"
        "    except OSError as error:\n"
        "        print(error)\n"
    )
    paths = [str(tmp_path / name) for name in [*names, "device.csv"]]
    command = [sys.executable, "-c", code, *paths]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert len(run.stdout.splitlines()) == len(paths)
    for line, path in zip(run.stdout.splitlines(), paths, strict=True):
        assert line.startswith("read_"), line
        assert f" {path!r}: it is a " in line


# -- folders


def test_images_are_listed_by_class_and_name(tmp_path):
    root = make_folder(
        tmp_path / "pets",
        "dogs/b.png",
        "dogs/a/2.webp",
        "dogs/a/1.TIFF",
        "dogs/a.bmp",
        "cats/x.JPEG",
        "cats/.hidden.png",
        "cats/.thumbnails/y.png",
        "cats/notes.txt",
        "cats/png",
        ".git/z.png",
        "beside.png",
    )
    bunch = list_images(root)
    names = ["cats/x.JPEG", "dogs/a/1.TIFF", "dogs/a/2.webp", "dogs/a.bmp", "dogs/b.png"]
    assert bunch.filenames.tolist() == [str(root / name) for name in names]
    assert bunch.target.tolist() == [0, 1, 1, 1, 1]
    assert bunch.target_names.tolist() == ["cats", "dogs"]
    description = bunch.DESCR
    assert description == f"5 images of {root}."
    paths, labels = list_images(str(root), return_X_y=True)
    assert paths == bunch.filenames.tolist()
    assert all(type(path) is str for path in paths)
    assert_array_equal(labels, bunch.target_names[bunch.target])
    assert labels.dtype.kind == "U"


@pytest.mark.parametrize("extension", IMAGE_EXTENSIONS)
def test_every_known_extension_counts(tmp_path, extension):
    make_folder(tmp_path, f"a/1{extension}", f"a/2{extension.upper()}")
    assert len(list_images(tmp_path).filenames) == 2


def test_relative_folders_give_relative_paths(tmp_path, monkeypatch):
    make_folder(tmp_path / "pets", "cats/1.png")
    monkeypatch.chdir(tmp_path)
    assert list_images("pets").filenames.tolist() == [str(Path("pets", "cats", "1.png"))]


@pytest.fixture
def can_link(tmp_path: Path) -> None:
    try:
        (tmp_path / "link").symlink_to(tmp_path)
    except OSError as error:
        pytest.skip(f"no symbolic links here: {error}")
    (tmp_path / "link").unlink()


@pytest.mark.usefixtures("can_link")
def test_linked_folders_are_followed_but_not_in_circles(tmp_path):
    root = make_folder(tmp_path / "root", "a/1.png", "b/2.png")
    make_folder(tmp_path / "elsewhere", "3.png")
    (root / "c").symlink_to(tmp_path / "elsewhere")
    (root / "a" / "self").symlink_to(root / "a")
    (root / "b" / "up").symlink_to(root)
    (tmp_path / "elsewhere" / "again").symlink_to(tmp_path / "elsewhere")
    paths, labels = list_images(root, return_X_y=True)
    assert [Path(path).name for path in paths] == ["1.png", "2.png", "3.png"]
    assert labels.tolist() == ["a", "b", "c"]


def test_an_empty_class_folder_is_named_in_a_warning(tmp_path):
    root = make_folder(tmp_path, "a/1.png", "b/", "c/notes.txt", "d/2.png")
    message = (
        r"list_images leaves out the folders in '.*' that hold no image: 'b', 'c'\. .*\.png, \.j"
    )
    with pytest.warns(UserWarning, match=message) as caught:
        bunch = list_images(root)
    assert caught[0].filename == __file__
    assert bunch.target_names.tolist() == ["a", "d"]
    assert bunch.target.tolist() == [0, 1]
    with pytest.warns(UserWarning, match="read_labelled_images leaves out .* 'b', 'c'") as caught:
        assert read_labelled_images(root).target.tolist() == ["a", "d"]
    assert caught[0].filename == __file__


def test_folders_that_hold_no_labelled_images(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"list_images needs a folder of .* no such folder"):
        list_images(tmp_path / "x")
    make_folder(tmp_path, "file.png")
    with pytest.raises(
        NotADirectoryError, match=r"list_images needs a folder .* which is not a folder"
    ):
        list_images(tmp_path / "file.png")
    with pytest.raises(
        ValueError, match=r"has no folders in it\. The 1 images in it have no class"
    ):
        list_images(tmp_path)
    names = [f"{i:02d}/notes.txt" for i in range(12)]
    message = (
        r"folders \('00', .*'09' and 2 more\) hold none\. Files that end with \.png, .*\.webp co"
    )
    with pytest.raises(ValueError, match=message):
        list_images(make_folder(tmp_path / "texts", *names))
    with pytest.raises(ValueError, match=r"has no folders in it\. Move the images of each class"):
        list_images(make_folder(tmp_path / "nothing"))
    with pytest.raises(TypeError, match=r"'folder' parameter of list_images must be"):
        list_images(None)


@pytest.fixture
def latin1(tmp_path: Path) -> Path:
    """A folder with a name in Latin-1, as older systems wrote it, and class folders such too."""
    root = tmp_path / os.fsdecode(b"d\xe9fi")
    for name in (b"\xe9t\xe9", b"hiver"):
        try:
            (root / os.fsdecode(name)).mkdir(parents=True)
        except OSError as error:
            pytest.skip(f"names must be UTF-8 here: {error}")
        (root / os.fsdecode(name) / os.fsdecode(b"\xe8.png")).touch()
    return root


def test_names_in_latin1_are_listed_and_can_be_printed(latin1):
    bunch = list_images(latin1)
    assert [Path(path).is_file() for path in bunch.filenames] == [True, True]
    assert bunch.target_names.tolist() == ["\\xe9t\\xe9", "hiver"]
    assert b"images of" in bunch.DESCR.encode("utf-8")
    picked = read_labelled_images(latin1, digits=(os.fsdecode(b"\xe9t\xe9"), "hiver"))
    assert picked.target.tolist() == [0, 1]
    " ".join(picked.target_names).encode("utf-8")
    with pytest.raises(ValueError, match="must name labels") as caught:
        read_labelled_images(latin1, digits=("hiver", os.fsdecode(b"\xe8")))
    str(caught.value).encode("utf-8")


def test_files_in_latin1_are_read_and_named(latin1):
    path = write_csv(latin1 / "x.csv", PIXELS, LABELS)
    description = read_labelled_images(path).DESCR
    assert description == "4 images of " + bunches.spell(f"{path}.")
    path.write_text("label,a\n1,x\n")
    archive = latin1 / "x.npz"
    np.savez(archive, images=PIXELS, y=LABELS)
    assert read_labelled_images(archive).data.shape == (4, 4)
    archive.write_bytes(b"damaged")
    for source in (path, archive, latin1 / "none.csv", latin1 / "hiver" / "no folder"):
        with pytest.raises((OSError, ValueError), match=r"d\\udce9fi") as caught:
            read_labelled_images(source)
        str(caught.value).encode("utf-8")


def test_folders_that_are_spelled_alike_are_not_one_class(latin1):
    make_folder(latin1, "\\xe9t\\xe9/1.png")
    with pytest.raises(ValueError, match=r"of different names.* in which several are spelled"):
        list_images(latin1)


def test_folders_may_lie_deeper_than_python_recurses(tmp_path):
    levels = 1200
    place = tmp_path
    for _ in range(levels):
        place = place / "a"
        place.mkdir()
    (place / "1.png").touch()
    paths, labels = list_images(tmp_path, return_X_y=True)
    assert paths == [str(place / "1.png")]
    assert labels.tolist() == ["a"]
    # pytest removes folders by recursion.
    while place != tmp_path:
        (place / "1.png").unlink(missing_ok=True)
        place.rmdir()
        place = place.parent


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    root = make_folder(tmp_path, "a/1.png", "b/2.png")
    scan = os.scandir

    def refuse(path: str) -> Any:
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(
        PermissionError, match=r"list_images cannot list '.*b': Permission denied\. M"
    ):
        list_images(root)


@settings(deadline=None, max_examples=25)
@given(
    names=st.lists(
        st.tuples(
            st.sampled_from(["6", "8", "cat", "A b"]),
            st.text("abcXYZ01-_ ", min_size=1, max_size=8),
            st.sampled_from([*IMAGE_EXTENSIONS, ".PNG", ".txt", ""]),
        ),
        min_size=1,
        max_size=12,
        unique_by=lambda name: (name[0], (name[1] + name[2]).lower()),
    )
)
@pytest.mark.filterwarnings("ignore:list_images leaves out")
def test_a_listing_is_sorted_and_complete(names):
    images = sorted((c, n + e) for c, n, e in names if e.lower() in IMAGE_EXTENSIONS)
    with tempfile.TemporaryDirectory() as folder:
        make_folder(Path(folder), *(f"{c}/{n}{e}" for c, n, e in names))
        if not images:
            with pytest.raises(ValueError, match="hold none"):
                list_images(folder)
            return
        paths, labels = list_images(folder, return_X_y=True)
    assert [(Path(path).parent.name, Path(path).name) for path in paths] == images
    assert labels.tolist() == [name for name, _ in images]


# -- archives


@pytest.mark.parametrize(
    ("images", "labels"),
    list(itertools.product(("images", "X", "x", "data"), ("digit", "y", "target"))),
)
def test_archives_by_the_names_of_their_arrays(tmp_path, images, labels):
    arrays = {images: PIXELS, labels: np.array(LABELS), "other": np.zeros(3)}
    np.savez_compressed(tmp_path / "x.npz", **arrays)
    bunch = read_labelled_images(tmp_path / "x.npz")
    assert_array_equal(bunch.data, PIXELS)
    assert_array_equal(bunch.target, LABELS)


def test_the_first_of_several_arrays_counts(tmp_path):
    np.savez(tmp_path / "x.npz", data=PIXELS[:, :1], images=PIXELS, y=[1] * 4, label=LABELS)
    bunch = read_labelled_images(tmp_path / "x.npz")
    assert_array_equal(bunch.data, PIXELS)
    assert_array_equal(bunch.target, LABELS)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (np.array([8, 6, 7, 8], np.uint8), [6, 8]),
        (np.array([8.0, 6.0, 7.0, 8.0]), [6, 8]),
        (np.array([[8], [6], [7], [8]]), [6, 8]),
        (np.array(["8", "6", "7", "8"]), ["6", "8"]),
        (np.array([b"8", b"6", b"7", b"8"]), ["6", "8"]),
    ],
)
def test_archives_with_labels_of_any_kind(tmp_path, labels, names):
    np.savez(tmp_path / "x.npz", images=PIXELS, y=labels)
    bunch = read_labelled_images(tmp_path / "x.npz", digits=(8, 6))
    assert bunch.target.tolist() == [1, 0, 1]
    assert bunch.target_names.tolist() == names


BAD_ARCHIVES: dict[str, tuple[dict[str, Any], str]] = {
    "no images": (
        {"x_train": PIXELS, "y": LABELS},
        r"with images in an array called 'images', .* 'data'\. Got .* which holds 'x_train', 'y'",
    ),
    "no labels": ({"x": PIXELS}, r"with labels in an array called 'digit', .* which holds 'x'"),
    "nothing": ({}, r"which holds no array at all"),
    "pickled images": (
        {"x": np.array([{}]), "y": [1]},
        r"does not load pickled objects\. The array 'x' of",
    ),
    "pickled labels": ({"x": PIXELS, "y": np.array([1, "a", 2, 3], object)}, r"The array 'y' of"),
    "flat": ({"x": PIXELS[0], "y": LABELS}, r"images as an array of numbers.* shape \(4,\)"),
    "texts": (
        {"x": PIXELS.astype(str), "y": LABELS},
        r"images as an array of numbers.* dtype <U",
    ),
    "one-hot": ({"x": PIXELS, "y": np.eye(4)}, r"labels of shape \(4, 4\) in .* labels.argmax\("),
    "3-D labels": (
        {"x": PIXELS, "y": np.zeros((4, 1, 1))},
        r"labels of shape \(4, 1, 1\) in '.*'\.$",
    ),
    "too few": ({"x": PIXELS, "y": LABELS[:3]}, r"Got 4 images and 3 labels"),
    "none": ({"x": PIXELS[:0], "y": LABELS[:0]}, r"Got 0 images and 0 labels"),
    "nan": (
        {"x": PIXELS, "y": [1, 2, np.nan, 3]},
        r"label for every image\. Got nan for image 2 in",
    ),
    "Latin-1": ({"x": PIXELS, "y": np.array([b"\xe9", b"a", b"b", b"c"])}, r"text in UTF-8.*0xe9"),
    "surrogates": ({"x": PIXELS, "y": np.full(4, "\ud800")}, r"text in UTF-8.* invalid character"),
    "dates": (
        {"x": PIXELS, "y": np.zeros(4, "datetime64[D]")},
        r"labels that are numbers or text\. Got dtype datetime64\[D\]",
    ),
}


@pytest.mark.parametrize("case", BAD_ARCHIVES)
def test_archives_that_hold_no_labelled_images(tmp_path, case):
    arrays, message = BAD_ARCHIVES[case]
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(ValueError, match=rf"^read_labelled_images needs .*{message}"):
        read_labelled_images(tmp_path / "x.npz")


def test_labels_of_characters_that_do_not_exist_are_a_damaged_archive(tmp_path):
    labels = np.full(4, 0x7FFFFFFF, np.uint32).view("U1")
    np.savez(tmp_path / "x.npz", x=PIXELS, y=labels)
    with pytest.raises(OSError, match=r"array 'y': it holds characters that do not exist\. Copy"):
        read_labelled_images(tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((2000, 8192), np.uint8), np.arange(3), "Got 2000 images and 3 labels"),
        (np.zeros((3, 4), np.uint8), np.zeros((3, 5_000_000), np.uint8), r"\(3, 5000000\)"),
    ],
)
def test_arrays_that_do_not_fit_each_other_are_not_read(tmp_path, images, labels, message):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, images=images, y=labels)
    with memory_below(4 << 20), pytest.raises(ValueError, match=message):
        read_labelled_images(path)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "{",
        "((" * 3000,
        "None",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-4, 4)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (4, 10**99)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (4, 99999999999)}",
        "{'descr': 8, 'fortran_order': False, 'shape': (4, 4)}",
        "{'descr': 'é\0', 'fortran_order': False, 'shape': (4, 4)}",
    ],
)
def test_broken_headers_are_one_error_that_names_the_file(tmp_path, header):
    path = tmp_path / "x.npz"
    text = header.encode("latin-1") + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        array = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(128)
        archive.writestr("images.npy", array)
        labels = io.BytesIO()
        np.save(labels, np.arange(4))
        archive.writestr("y.npy", labels.getvalue())
    with pytest.raises(
        OSError, match=r"cannot read '.*x\.npz': its array 'images': .* Copy or down"
    ):
        read_labelled_images(path)


def test_archives_that_are_damaged(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, images=PIXELS, y=LABELS)
    content = path.read_bytes()
    for broken in (b"", content[: len(content) // 2], b"label,a\n1,2\n"):
        path.write_bytes(broken)
        with pytest.raises(
            OSError,
            match=r"cannot read '.*': it is not an \.npz archive, is damaged, or is cut off\. Copy",
        ):
            read_labelled_images(path)
    at = content.index(PIXELS.tobytes())
    path.write_bytes(content[:at] + b"\0\0\0\0" + content[at + 4 :])
    with pytest.raises(
        OSError, match=r"cannot read '.*': its array 'images': Bad CRC-32.* Copy or download"
    ):
        read_labelled_images(path)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        (
            "x",
            FileNotFoundError,
            r"needs a \.csv, .* class folders\. Got '.*x': no such file or fold",
        ),
        ("x.csv", FileNotFoundError, r"no such file"),
        ("x.npz", FileNotFoundError, r"read_labelled_images needs a file that exists"),
        ("here.png", ValueError, r"which is none of these: a single image has no label"),
    ],
)
def test_sources_that_are_none(tmp_path, name, error, message):
    (tmp_path / "here.png").touch()
    with pytest.raises(error, match=message):
        read_labelled_images(tmp_path / name)


def test_real_digits(shared_data, tmp_path):
    path = shared_data / "data" / "mnist_6_8.npz"
    with np.load(path) as archive:
        images, digit = archive["images"], archive["digit"]
    bunch = read_labelled_images(path, digits=(8, 6))
    assert bunch.data.shape == (8200, 28, 28)
    assert bunch.data.dtype == np.uint8
    assert_array_equal(bunch.target, digit == 8)
    assert_array_equal(bunch.target_names[bunch.target], digit)
    flat = images[:1500].reshape(1500, -1)
    kaggle = write_csv(tmp_path / "train.csv.gz", flat, digit[:1500].tolist())
    read = read_pixel_csv(kaggle, digits=("6", "8"))
    assert_array_equal(read.images, images[:1500])
    assert_array_equal(read.target, digit[:1500] == 6)
    assert read.data.dtype == np.uint8


# -- OpenML, played by a server on this machine

COUNTS = (3, 1, 2, 4, 1, 2, 5, 1, 6, 2)


class OpenML:
    """What openml.org answers about a small MNIST, by path."""

    def __init__(self) -> None:
        self.labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), COUNTS))
        self.pixels = np.random.default_rng(1).integers(0, 256, (len(self.labels), 4)).tolist()
        self.pixels[0][:2] = [0, 255]
        self.requests: list[str] = []
        self.md5: str | None = None
        # Replaces an answer: status, body, and how many bytes to promise beyond it.
        self.instead: Callable[[str], tuple[int, bytes, int] | None] = lambda path: None

    def answer(self, path: str) -> tuple[int, bytes, int]:
        self.requests.append(path)
        instead = self.instead(path)
        if instead is not None:
            return instead
        if "download" in path:
            return 200, self.arff(), 0
        if "features" in path:
            names = [*(f"pixel{i}" for i in range(1, len(self.pixels[0]) + 1)), "class"]
            features = [
                {
                    "index": str(i),
                    "name": name,
                    "data_type": "nominal" if name == "class" else "numeric",
                    "is_target": str(name == "class").lower(),
                    "is_ignore": "false",
                    "is_row_identifier": "false",
                    "number_of_missing_values": "0",
                }
                for i, name in enumerate(names)
            ]
            body: dict[str, Any] = {"data_features": {"feature": features}}
        elif "qualities" in path:
            rows = {"name": "NumberOfInstances", "value": str(float(len(self.pixels)))}
            body = {"data_qualities": {"quality": [rows]}}
        else:
            assert path.endswith("/554")
            body = {
                "data_set_description": {
                    "id": "554",
                    "name": "mnist_784",
                    "version": "1",
                    "description": "The MNIST database.",
                    "format": "ARFF",
                    "status": "active",
                    "file_id": "52667",
                    "url": "https://api.openml.org/data/v1/download/52667",
                    "md5_checksum": self.md5 or hashlib.md5(self.arff()).hexdigest(),
                }
            }
        return 200, json.dumps(body).encode(), 0

    def arff(self) -> bytes:
        lines = ["@RELATION mnist"]
        lines += [f"@ATTRIBUTE pixel{i} REAL" for i in range(1, len(self.pixels[0]) + 1)]
        lines += ["@ATTRIBUTE class {0,1,2,3,4,5,6,7,8,9}", "@DATA"]
        rows = zip(self.pixels, self.labels, strict=True)
        lines += [",".join(map(str, [*row, label])) for row, label in rows]
        return ("\n".join(lines) + "\n").encode()


@pytest.fixture
def openml(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenML]:
    site = OpenML()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body, n_missing = site.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) + n_missing))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    # Past any proxy: the server is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def open_here(request: urllib.request.Request) -> Any:
        asked = urlsplit(request.full_url)
        assert (asked.hostname or "").endswith("openml.org")
        return opener.open(f"http://127.0.0.1:{server.server_port}{asked.path}", timeout=10)

    monkeypatch.setattr(_openml, "urlopen", open_here)
    monkeypatch.setattr(_openml.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(mnist, "_MNIST_COUNTS", COUNTS)
    monkeypatch.setattr(mnist, "_MNIST_PIXELS", 4)
    yield site
    server.shutdown()
    server.server_close()
    thread.join()


retries = pytest.mark.filterwarnings(
    # scikit-learn says so each time that it tries again.
    "ignore:A network error occurred while downloading:UserWarning",
    "ignore:Invalid cache, redownloading file:RuntimeWarning",
)


def test_mnist_knows_its_counts():
    assert sum(mnist._MNIST_COUNTS) == 70_000
    assert len(mnist._MNIST_COUNTS) == 10


@pytest.mark.parametrize("with_pandas", [True, False])
def test_mnist_is_fetched_once(openml, tmp_path, request, with_pandas):
    if not with_pandas:
        request.getfixturevalue("no_pandas")
    bunch = fetch_mnist_pair((8, 6), data_home=tmp_path)
    rows = np.isin(openml.labels, [8, 6])
    assert_array_equal(bunch.data, np.array(openml.pixels)[rows])
    assert bunch.data.dtype == np.uint8
    assert_array_equal(bunch.images, bunch.data.reshape(-1, 2, 2))
    assert_array_equal(bunch.target, openml.labels[rows] == 8)
    assert bunch.target.dtype == np.int64
    assert_array_equal(bunch.target_names[bunch.target], openml.labels[rows])
    assert bunch.feature_names == ["pixel1", "pixel2", "pixel3", "pixel4"]
    assert "Digits 8 (target 1) and 6 (target 0)" in bunch.DESCR
    assert "The MNIST database." in bunch.DESCR
    n_requests = len(openml.requests)
    assert sum("download" in path for path in openml.requests) == 1
    X, y = fetch_mnist_pair(("6", "8"), data_home=str(tmp_path), return_X_y=True)
    assert len(openml.requests) == n_requests
    assert_array_equal(X, bunch.data)
    assert_array_equal(y, 1 - bunch.target)


def test_mnist_as_a_frame(openml, tmp_path):
    framed = fetch_mnist_pair(data_home=tmp_path, as_frame=True)
    assert list(framed.frame.columns) == ["pixel1", "pixel2", "pixel3", "pixel4", "class"]
    assert (framed.data.dtypes == np.uint8).all()
    assert framed.target.tolist() == fetch_mnist_pair(data_home=tmp_path).target.tolist()


@retries
def test_a_download_that_fails_is_tried_again(openml, tmp_path):
    def fail_once(path: str) -> tuple[int, bytes, int] | None:
        return (503, b"busy", 0) if openml.requests.count(path) == 1 else None

    openml.instead = fail_once
    assert len(fetch_mnist_pair(data_home=tmp_path, n_retries=1).data) == 11


@retries
@pytest.mark.parametrize("status", [404, 500, 503])
def test_without_openml_the_error_says_what_to_do(openml, tmp_path, status):
    openml.instead = lambda path: (status, b"", 0)
    message = (
        rf"fetch_mnist_pair needs an inter.* openml\.org \(data set 554\).* HTTP Error {status}.*"
        r"HTTPS_PROXY.*load_digit_pair.*read_pixel_csv"
    )
    with pytest.raises(OSError, match=message):
        fetch_mnist_pair(data_home=tmp_path)
    openml.instead = lambda path: None
    assert len(fetch_mnist_pair(data_home=tmp_path).data) == 11


@retries
@pytest.mark.parametrize(
    "error",
    [urllib.error.URLError("no route"), TimeoutError("no route"), ConnectionError("no route")],
)
def test_without_a_network_the_error_says_what_to_do(openml, tmp_path, monkeypatch, error):
    def fail(request: Any) -> Any:
        raise error

    fetch_mnist_pair(data_home=tmp_path / "full")
    monkeypatch.setattr(_openml, "urlopen", fail)
    with pytest.raises(OSError, match=r"an internet conn.* no route.*HTTPS_PROXY.*load_digit"):
        fetch_mnist_pair(data_home=tmp_path / "empty")
    assert len(fetch_mnist_pair(data_home=tmp_path / "full").data) == 11


DESCRIBED = (
    b'{"data_set_description": {"status": "active", "format": 3, "name": "x", "version": "1"}}'
)
BROKEN: dict[str, tuple[Callable[[OpenML, str], Any], str]] = {
    "a page of a proxy": (lambda site, path: (200, b"<html>Log in</html>", 0), r"Expecting value"),
    "no such data set": (lambda site, path: (412, b"", 0), r"data_id 554 not found"),
    "JSON of something else": (lambda site, path: (200, b"{}", 0), r"'data_set_description'"),
    "a list": (lambda site, path: (200, b"[]", 0), r"indices must be integers"),
    "a number for a name": (lambda site, path: (200, DESCRIBED, 0), r"AttributeError"),
    "deep JSON": (lambda site, path: (200, b"[" * 200_000, 0), r"RecursionError"),
    "other bytes": (
        lambda site, path: (200, b"other", 0) if "download" in path else None,
        r"md5 checksum",
    ),
    "a cut connection": (
        lambda site, path: (200, site.arff()[:-40], 40) if "download" in path else None,
        r"md5 checksum",
    ),
}


@retries
@pytest.mark.parametrize("case", BROKEN)
def test_what_is_not_mnist_is_refused(openml, tmp_path, case):
    answer, reason = BROKEN[case]
    openml.instead = lambda path: answer(openml, path)
    message = (
        rf"data from openml\.org .* that fetch_mnist_pair expects: .*{reason}.*"
        r"Try again; if that does not help, delete '(.*openml)' first.* Without it: load_digit_pair"
    )
    with pytest.raises(OSError, match=message):
        fetch_mnist_pair(data_home=tmp_path)
    # The cure works: scikit-learn itself drops what has another hash or is no JSON.
    openml.instead = lambda path: None
    if case in ("JSON of something else", "a list", "a number for a name"):
        shutil.rmtree(tmp_path / "openml")
    assert len(fetch_mnist_pair(data_home=tmp_path).data) == 11


@retries
def test_a_file_that_rots_in_the_cache_is_fetched_again(openml, tmp_path):
    fetch_mnist_pair(data_home=tmp_path)
    (kept,) = tmp_path.glob("openml/**/download/*.gz")
    for broken in (gzip.compress(b"rot"), kept.read_bytes()[:-30], b"rot"):
        kept.write_bytes(broken)
        assert len(fetch_mnist_pair(data_home=tmp_path).data) == 11


def test_places_where_no_downloads_can_be_kept(openml, tmp_path):
    (tmp_path / "file").touch()
    message = (
        r"'data_home' parameter of fetch_mnist_pair must be a folder .* Got '.*': .* pass anoth"
    )
    with pytest.raises(OSError, match=message):
        fetch_mnist_pair(data_home=tmp_path / "file")
    (tmp_path / "openml").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "openml" / "554.gz")
        with pytest.raises(OSError, match=r"Got .*: '.*554\.gz' is a pipe"):
            fetch_mnist_pair(data_home=tmp_path)
    assert openml.requests == []


def spoil_size(site: OpenML) -> None:
    site.pixels, site.labels = site.pixels[:-1], site.labels[:-1]


def spoil_width(site: OpenML) -> None:
    site.pixels = [row[:3] for row in site.pixels]


def spoil_counts(site: OpenML) -> None:
    site.labels = np.where(site.labels == 7, 3, site.labels)


def spoil_range(site: OpenML) -> None:
    site.pixels[3][1] = 256


def spoil_integers(site: OpenML) -> None:
    site.pixels[3][1] = 0.5


@pytest.mark.parametrize("with_pandas", [True, False])
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (spoil_size, r"\(27, 4\) rows and columns expected, \(26, 4\) received"),
        (spoil_width, r"\(27, 4\) rows and columns expected, \(27, 3\) received"),
        (spoil_counts, r"it has 5 of '3' instead of 4, 0 of '7' instead of 1"),
        (spoil_range, r"some pixels are not integers from 0 to 255"),
        (spoil_integers, r"some pixels are not integers from 0 to 255"),
    ],
)
def test_an_mnist_that_changed_is_refused(openml, tmp_path, request, with_pandas, spoil, reason):
    if not with_pandas:
        request.getfixturevalue("no_pandas")
    spoil(openml)
    with pytest.raises(OSError, match=rf"that fetch_mnist_pair expects: {reason}\. Try again"):
        fetch_mnist_pair(data_home=tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_retries": 0}, r"'n_retries' parameter of fetch_mnist_pair must be an int .* Got 0"),
        ({"delay": 0.0}, r"'delay' parameter of fetch_mnist_pair must be a float .* Got 0\.0"),
        ({"data_home": 3}, r"'data_home' parameter of fetch_mnist_pair must be"),
        ({"return_X_y": "yes"}, r"'return_X_y' parameter of fetch_mnist_pair must be"),
    ],
)
def test_options_of_the_wrong_kind(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        fetch_mnist_pair(**options)

"""Contents of files, columns of Arrow, arrays on disk and tensors have the features of arrays."""

from __future__ import annotations

import base64
import io
import os
import pickle
import subprocess
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import zarr
from clients.cases import COLOUR, CONTENTS, LABELS, N, assert_same, extractor, features
from PIL import Image
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

from sktransfer import ImageWarning, from_base64, with_labels
from sktransfer.inputs.images import read_images
from sktransfer.inputs.on_demand import Blocks, ChunkedArray


def _objects(items: list[Any]) -> np.ndarray:
    column = np.empty(len(items), dtype=object)
    column[:] = items
    return column


REFERENCES = [{"bytes": content, "path": None} for content in CONTENTS]

CONTENT_FORMS: dict[str, Callable[[], Any]] = {
    "bytes": lambda: CONTENTS,
    "bytearray": lambda: [bytearray(content) for content in CONTENTS],
    "memoryview": lambda: [memoryview(content) for content in CONTENTS],
    "BytesIO": lambda: [io.BytesIO(content) for content in CONTENTS],
    "mixed": lambda: [
        CONTENTS[0],
        Image.fromarray(COLOUR[1]),
        io.BytesIO(CONTENTS[2]),
        *COLOUR[3:],
    ],
    "object array": lambda: _objects(CONTENTS),
    "object column": lambda: _objects(CONTENTS)[:, None],
    "series": lambda: pd.Series(CONTENTS),
    "frame": lambda: pd.DataFrame({"image": CONTENTS}),
    "pandas with Arrow": lambda: pd.Series(CONTENTS, dtype=pd.ArrowDtype(pa.binary())),
    "polars series": lambda: pl.Series(CONTENTS),
    "polars frame": lambda: pl.DataFrame({"image": CONTENTS}),
    "Arrow array": lambda: pa.array(CONTENTS),
    "Arrow chunks": lambda: pa.chunked_array([CONTENTS[:2], CONTENTS[2:]]),
    "Arrow table": lambda: pa.table({"image": CONTENTS}),
    "Arrow batch": lambda: pa.record_batch({"image": CONTENTS}),
    "references": lambda: REFERENCES,
    "series of references": lambda: pd.Series(REFERENCES),
    "polars structs": lambda: pl.Series(REFERENCES),
    "polars frame of structs": lambda: pl.DataFrame({"image": REFERENCES}),
    "Arrow structs": lambda: pa.table({"image": REFERENCES}),
    "base64": lambda: from_base64([base64.b64encode(content).decode() for content in CONTENTS]),
}


@pytest.mark.parametrize("form", CONTENT_FORMS)
def test_contents_of_files(form: str) -> None:
    assert_same(CONTENT_FORMS[form]())


def test_open_files_stay_where_they_stand(tmp_path: Path) -> None:
    files = []
    for i, content in enumerate(CONTENTS):
        (tmp_path / f"{i}.png").write_bytes(content)
        files.append((tmp_path / f"{i}.png").open("rb"))
        files[-1].seek(7 * i)
    assert_same(files)
    assert [file.tell() for file in files] == [0, 7, 14, 21, 28]
    for file in files:
        file.close()
    with pytest.raises(OSError, match=r"(?s)5 of 5 cannot.*image 0, BufferedReader: .*closed file"):
        extractor().fit(files)
    text = (tmp_path / "0.png").open(errors="ignore")
    with text, pytest.raises(OSError, match=r"open as text: open it as open\(path, 'rb'\)"):
        extractor().fit([text])


def test_one_file_in_two_places_is_read_in_both() -> None:
    file = io.BytesIO(CONTENTS[0])
    found = features([file] * 20)
    np.testing.assert_array_equal(found, np.repeat(features(COLOUR)[:1], 20, axis=0))


def test_arrow_columns_of_paths(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{i}.png") for i in range(N)]
    for path, content in zip(paths, CONTENTS, strict=True):
        Path(path).write_bytes(content)
    references = [{"bytes": None, "path": path} for path in paths]
    for X in (pa.array(paths), pa.table({"path": paths}), pa.array(references), references):
        assert_same(X)


def test_arrow_tables_of_pixels() -> None:
    grey = COLOUR[..., 0]
    rows = grey.reshape(N, -1)
    assert_same(pa.table({f"p{i}": column for i, column in enumerate(rows.T)}), grey)
    assert_same(pa.array(rows.astype(float).tolist()), grey)
    assert_same(pa.FixedShapeTensorArray.from_numpy_ndarray(grey), grey)
    with pytest.raises(ValueError, match=r"column 'b' holds string: select the column of images"):
        extractor().fit(pa.table({"a": [1, 2], "b": ["x", "y"]}))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (CONTENTS[0][:60], "image 1, bytes of length 60: "),
        (b"no image\0", "image 1, bytes of length 9: not an image that Pillow can read"),
        (base64.b64encode(CONTENTS[0]), "and base64 by sktransfer.from_base64"),
        (b"", "bytes of length 0: "),
    ],
    ids=["cut", "text", "base64", "empty"],
)
def test_contents_that_are_no_images_are_named(content: bytes, reason: str) -> None:
    with pytest.raises(OSError, match=rf"(?s)1 of 2 cannot:.*{reason}") as caught:
        features([CONTENTS[0], content])
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("missing", [None, {"bytes": None, "path": None}], ids=["None", "empty"])
def test_missing_contents_are_named(missing: Any) -> None:
    for X in ([REFERENCES[0], missing], pd.Series([REFERENCES[0], missing])):
        with pytest.raises(ValueError, match=r"an image at every position.*positions 1: leave"):
            extractor().fit(X)


def test_base64() -> None:
    text = [base64.b64encode(content).decode() for content in CONTENTS]
    assert from_base64(pd.Series(text)) == CONTENTS
    assert from_base64(pa.array(text)) == CONTENTS
    assert from_base64([f"data:image/png;base64,{each}" for each in text]) == CONTENTS
    assert from_base64([each[:40] + "\n" + each[40:] for each in text]) == CONTENTS
    with pytest.raises(ValueError, match=r"every position\. Got 'no base64!' at position 1"):
        from_base64([text[0], "no base64!"])
    with pytest.raises(TypeError, match="Got float at position 0"):
        from_base64([0.5])
    with pytest.raises(TypeError, match=r"a single str: pass \[text\]"):
        from_base64(text[0])


# -- arrays on disk


class _Spy:
    """An array that remembers how many of its rows were read at a time."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.read = values, []
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim

    def __getitem__(self, key: slice) -> np.ndarray:
        values = self.values[key]
        self.read.append(len(values))
        return values


def _hdf5(folder: Path, images: np.ndarray, **options: Any) -> Any:
    return h5py.File(folder / "images.h5", "w").create_dataset("images", data=images, **options)


def _zarr(folder: Path, images: np.ndarray, **options: Any) -> Any:
    options = {"chunks": (2, *images.shape[1:])} | options
    array = zarr.create_array(folder / "images", shape=images.shape, dtype=images.dtype, **options)
    array[:] = images
    return array


@pytest.mark.parametrize("chunks", [None, (2, 12, 12, 3), (3, 5, 5, 1)])
def test_hdf5(chunks: Any, tmp_path: Path) -> None:
    assert_same(_hdf5(tmp_path, COLOUR, chunks=chunks))


@pytest.mark.parametrize("options", [{}, {"chunks": (3, 5, 5, 1)}, {"shards": (4, 12, 12, 3)}])
def test_zarr(options: Any, tmp_path: Path) -> None:
    assert_same(_zarr(tmp_path, COLOUR, **options))


def test_rows_and_channels_first_on_disk(tmp_path: Path) -> None:
    rows = COLOUR.reshape(N, -1)
    array = _hdf5(tmp_path, rows, chunks=(2, 100))
    assert_same(array, image_shape=(12, 12, 3))
    assert extractor(image_shape=(12, 12, 3)).fit(array).n_features_in_ == 432
    assert_same(_zarr(tmp_path, np.moveaxis(COLOUR, 3, 1)))


def test_contents_in_hdf5(tmp_path: Path) -> None:
    array = h5py.File(tmp_path / "files.h5", "w").create_dataset(
        "files", (N,), dtype=h5py.vlen_dtype(np.uint8)
    )
    for i, content in enumerate(CONTENTS):
        array[i] = np.frombuffer(content, np.uint8)
    assert_same([bytes(content) for content in array])


def test_values_on_disk_are_checked(tmp_path: Path) -> None:
    images = COLOUR / 255
    images[3, 1, 1, 1] = np.nan
    with pytest.raises(ValueError, match=r"1 of 5 images, at positions \[3\]"):
        extractor().fit(_hdf5(tmp_path, images, chunks=(2, 12, 12, 3)))


def test_arrays_on_disk_are_never_read_whole() -> None:
    spy = _Spy(np.zeros((1000, 12, 12, 3), np.uint8) + COLOUR[0])
    array = ChunkedArray(Blocks(spy, 50))
    found = extractor(batch_size=64).fit(array).transform(array)
    assert max(spy.read) == 50
    # Once by fit and once by transform, but for a block that a thread drops before another reads.
    assert sum(spy.read) <= 3000
    np.testing.assert_array_equal(found, np.repeat(features(COLOUR)[:1], 1000, axis=0))


def test_rows_are_taken_from_disk() -> None:
    array = ChunkedArray(Blocks(_Spy(COLOUR), 2))
    taken = array.take([4, 0, 3])
    np.testing.assert_array_equal(np.asarray(taken), COLOUR[[4, 0, 3]])
    np.testing.assert_array_equal(taken.take([2, 0])[:], COLOUR[[3, 4]])
    np.testing.assert_array_equal(taken[1], COLOUR[0])
    np.testing.assert_array_equal(array[1:4], COLOUR[1:4])
    np.testing.assert_array_equal(array[::2], COLOUR[::2])
    assert (array.size, array.ndim, len(list(array))) == (COLOUR.size, 4, N)


def test_numpy_files(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", COLOUR)
    np.savez(tmp_path / "one.npz", COLOUR)
    np.savez_compressed(tmp_path / "named.npz", images=COLOUR, labels=LABELS)
    np.savez(tmp_path / "many.npz", a=COLOUR, b=LABELS)
    for name in ("images.npy", "one.npz", "named.npz"):
        assert_same(str(tmp_path / name))
        assert_same(tmp_path / name)
    with pytest.raises(ValueError, match=r"which array of an \.npz .*\['a', 'b'\]: pass numpy"):
        extractor().fit(tmp_path / "many.npz")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="Files with Python objects are not read"):
        extractor().fit(tmp_path / "objects.npy")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "one.npz").read_bytes()[:300])
    (tmp_path / "cut.npy").write_bytes((tmp_path / "images.npy").read_bytes()[:300])
    for name in ("cut.npz", "cut.npy"):
        with pytest.raises((OSError, ValueError), match=r"VGGFeatureExtractor .*cut\.np"):
            extractor().fit(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="finds no file"):
        extractor().fit("missing.npy")


# -- images with labels


def test_labels_of_tables_and_archives(tmp_path: Path) -> None:
    table = {"image": CONTENTS, "label": LABELS}
    np.savez(tmp_path / "both.npz", image=COLOUR, label=LABELS)
    for source in (
        pd.DataFrame(table),
        pl.DataFrame(table),
        pa.table(table),
        tmp_path / "both.npz",
    ):
        X, y = with_labels(source)
        assert_same(X)
        np.testing.assert_array_equal(y, LABELS)
    renamed = pd.DataFrame({"where": CONTENTS, "what": LABELS})
    X, y = with_labels(renamed, image="where", label="what")
    assert list(X) == CONTENTS
    with pytest.raises(ValueError, match=r"Got the names \['where', 'what'\]: set image= to one"):
        with_labels(renamed)
    with pytest.raises(TypeError, match=r"needs a source of images with labels.* Got list"):
        with_labels([1, 2])


def test_labels_in_a_cross_validation() -> None:
    X, y = with_labels(pd.DataFrame({"image": CONTENTS * 2, "label": [*LABELS] * 2}))
    pipeline = make_pipeline(extractor(), DecisionTreeClassifier(random_state=0))
    assert cross_val_score(pipeline, X, y, cv=2).tolist() == [1.0, 1.0]


# -- what is refused


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ({"train": [1]}, r"Got dict with the keys 'train', .*pass one of its values.*X\['train'\]"),
        ((c for c in CONTENTS), r"can be read once only: pass list\(X\)"),
        (CONTENTS[0], r"Got a single one, bytes of length [\d,]+: put it into a list, \[image\]"),
        (io.BytesIO(CONTENTS[0]), r"Got a single one, BytesIO: put it into a list"),
        ({b"a"}, "Got set, which is neither"),
    ],
    ids=range(5),
)
def test_what_holds_no_images_is_named(X: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        extractor().fit(X)


def test_contents_are_not_changed() -> None:
    before = [pickle.dumps(item) for item in (REFERENCES, CONTENTS)]
    with warnings.catch_warnings():
        warnings.simplefilter("error", ImageWarning)
        features(REFERENCES)
        features(CONTENTS)
    assert [pickle.dumps(item) for item in (REFERENCES, CONTENTS)] == before


@pytest.mark.parametrize("name", ["PIL.Image", "pyarrow", "torch.utils.data", "xarray", "datasets"])
def test_libraries_that_another_thread_is_importing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, types.ModuleType(name))  # as empty as at its beginning
    assert len(read_images(CONTENTS)) == len(read_images(COLOUR)) == N


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("name", ["pipe.npy", "pipe.npz"])
def test_a_pipe_in_place_of_a_saved_array_is_an_error(tmp_path: Path, name: str) -> None:
    """Opening it would wait for ever, so it is tried in a process of its own."""
    os.mkfifo(tmp_path / name)
    code = (
        "import sys\n"
        "from sktransfer.inputs.forms.saved import from_saved\n"
        "from sktransfer.evaluation.diagnosis.given import open_features\n"
        "for read in (lambda path: from_saved(path, 'it'), open_features):\n"
        "    try:\n"
        "        read(sys.argv[1])\n"
        "    except (OSError, ValueError) as error:\n"
        "        assert 'named pipe' in str(error), error\n"
        "    else:\n"
        "        raise SystemExit('no error')\n"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / name], check=True, timeout=120)


def test_a_small_archive_that_unpacks_to_much_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    bomb = np.zeros((300 << 10, 32, 32), np.uint8)
    np.savez_compressed(path, images=bomb, labels=np.zeros(len(bomb), np.uint8))
    for read in (lambda: read_images(path), lambda: with_labels(path)):
        with pytest.raises(OSError, match=r"bomb\.npz': its array 'images': it unpacks to"):
            read()

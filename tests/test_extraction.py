"""Features written to files: in order, complete, the same to the byte however often cut off."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sktransfer import VGGFeatureExtractor, cli, extract
from sktransfer.export.extraction import output, run, sources
from sktransfer.export.extraction.progress import Progress, explained
from sktransfer.features.runner import Runner
from sktransfer.inputs.images import ImageList

FORMS = [".npy", ".zarr", ".parquet"]


def _extractor(**params: Any) -> VGGFeatureExtractor:
    defaults = {"pooling": "avg", "input_size": 32, "random_state": 0, "cache": None}
    return VGGFeatureExtractor("block1_pool", weights=None, **(defaults | params))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty images of several forms in two class folders."""
    rng = np.random.default_rng(0)
    for i in range(40):
        place = tmp_path / "images" / ("cats" if i % 2 else "dogs")
        place.mkdir(parents=True, exist_ok=True)
        shape = [(12, 9), (8, 8, 3), (9, 12, 4)][i % 3]
        pixels = rng.integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{i:02d}.png")
    return tmp_path / "images"


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of eight rows, so that few images make several."""
    monkeypatch.setattr(run, "_BLOCK_ROWS", ((np.inf, 8),))


def _read(path: Path) -> np.ndarray:
    if path.suffix == ".npy":
        return np.load(path)
    if path.suffix == ".zarr":
        import zarr

        return zarr.open_group(path, mode="r")["features"][:]
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    return np.stack(table["features"].to_numpy())


def _bytes_of(out: Path) -> dict[str, bytes]:
    """Everything that an extraction left, by name."""
    found = {}
    for path in sorted(out.parent.glob(f"{out.name}*")):
        files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
        for file in files:
            found[str(file.relative_to(out.parent))] = file.read_bytes()
    return found


def _paths(folder: Path) -> list[str]:
    return sorted(map(str, folder.rglob("*.png")))


# -- what is written


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("form", FORMS)
def test_rows_are_what_transform_gives(form: str, folder: Path, tmp_path: Path) -> None:
    done = extract(folder, tmp_path / f"out{form}", extractor=_extractor())
    expected = _extractor().fit_transform(_paths(folder))
    np.testing.assert_array_equal(_read(done.path), expected)
    assert (done.n_inputs, done.n_rows, done.n_features, done.n_failed) == (40, 40, 64, 0)
    assert done.failures_path is None
    assert str(done).endswith("40 rows of 64 features")
    assert sorted(p.name for p in tmp_path.iterdir() if "partial" in p.name) == []


def test_rows_labels_and_recipe_stand_beside_the_output(folder: Path, tmp_path: Path) -> None:
    done = extract(folder, tmp_path / "out.npy", extractor=_extractor())
    with done.rows_path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == _paths(folder)
    assert [row["label"] for row in rows] == ["cats"] * 20 + ["dogs"] * 20
    assert [int(row["position"]) for row in rows] == list(range(40))
    facts = json.loads(done.recipe_path.read_text())
    assert facts["extractor"]["layer"] == "block1_pool"
    assert facts["feature_names"][0] == "block1_pool_avg_f00"
    assert len(facts["identity"]["recipes"]) == 1


@pytest.mark.usefixtures("small_blocks")
def test_parquet_opens_with_pandas_and_polars(folder: Path, tmp_path: Path) -> None:
    import pandas as pd
    import polars as pl
    import pyarrow.parquet as pq

    done = extract(folder, tmp_path / "out.parquet", extractor=_extractor())
    parts = sorted(done.path.iterdir())
    assert [part.name for part in parts] == [f"part-{i:06d}.parquet" for i in range(5)]
    schema = pq.read_schema(parts[0])
    assert str(schema.field("features").type).startswith("fixed_size_list")
    assert schema.metadata[b"feature_names"].split(b"\n")[1] == b"block1_pool_avg_f01"
    expected = _extractor().fit_transform(_paths(folder))
    frame = pd.read_parquet(done.path)
    assert list(frame.columns) == ["position", "path", "label", "features"]
    np.testing.assert_array_equal(np.stack(frame["features"]), expected)
    np.testing.assert_array_equal(
        pl.read_parquet(done.path / "*.parquet")["features"].to_numpy(), expected
    )
    assert frame["label"].tolist() == ["cats"] * 20 + ["dogs"] * 20


@pytest.mark.usefixtures("small_blocks")
def test_parquet_opens_with_duckdb(folder: Path, tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    done = extract(folder, tmp_path / "out.parquet", extractor=_extractor())
    rows = duckdb.sql(f"SELECT position, label, features FROM '{done.path}/*.parquet' ORDER BY 1")
    positions, labels, features = zip(*rows.fetchall(), strict=True)
    assert positions == tuple(range(40))
    assert labels == ("cats",) * 20 + ("dogs",) * 20
    np.testing.assert_array_equal(
        np.array(features, dtype=np.float32), _extractor().fit_transform(_paths(folder))
    )


def test_arrays_and_memory_maps_are_read_in_pieces(tmp_path: Path) -> None:
    X = np.random.default_rng(0).integers(0, 256, (30, 10, 10), dtype=np.uint8)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    labels = np.arange(30) % 3
    done = extract(mapped, tmp_path / "out.npy", extractor=_extractor(batch_size=7), labels=labels)
    np.testing.assert_array_equal(np.load(done.path), _extractor().fit_transform(X))
    lines = done.rows_path.read_text().splitlines()
    assert lines[:3] == ["position,path,label", "0,,0", "1,,1"]


def test_a_fitted_extractor_is_used_as_it_is(tmp_path: Path) -> None:
    X = np.random.default_rng(0).random((6, 8, 8)) * 12
    fitted = _extractor().fit(X * 20)  # white is 255, and would be 16 by these images alone
    done = extract(X, tmp_path / "out.npy", extractor=fitted)
    np.testing.assert_array_equal(np.load(done.path), fitted.transform(X))
    with pytest.raises(ValueError, match="was fitted on images of shape"):
        extract(X[:, :7], tmp_path / "other.npy", extractor=fitted)


@pytest.mark.parametrize(
    "value_range",
    [(0, 0.5), [0, 0.5], np.array([0, 0.5]), np.array([0, 0.5], np.float32), (np.float64(0), 0.5)],
)
def test_an_unfitted_extractor_reads_files_in_its_value_range(
    value_range: Any, tmp_path: Path
) -> None:
    """Files of floats do not tell black and white."""
    rng = np.random.default_rng(0)
    paths = []
    for i in range(3):
        pixels = rng.random((8, 8), dtype=np.float32) / 2
        Image.fromarray(pixels).save(tmp_path / f"{i}.tif")
        paths.append(str(tmp_path / f"{i}.tif"))
    done = extract(paths, tmp_path / "out.npy", extractor=_extractor(value_range=value_range))
    expected = _extractor(value_range=(0, 0.5)).fit_transform(paths)
    np.testing.assert_array_equal(np.load(done.path), expected)
    facts = json.loads(done.recipe_path.read_text())
    assert facts["identity"]["value_range"] == [0, 0.5]
    # Spelled in another way it is the same.
    assert extract(paths, done.path, extractor=_extractor(value_range=(0.0, 0.5))) == done


def test_a_value_range_holds_for_arrays(tmp_path: Path) -> None:
    X = np.random.default_rng(0).integers(0, 17, (6, 8, 8), dtype=np.uint8)
    done = extract(X, tmp_path / "out.npy", extractor=_extractor(value_range=np.array([0, 16])))
    expected = _extractor(value_range=(0, 16)).fit_transform(X)
    np.testing.assert_array_equal(np.load(done.path), expected)


@pytest.mark.parametrize("value_range", [(1,), (0, 0), (0, np.nan), "wide", 7, np.zeros((2, 2))])
def test_a_value_range_that_is_none(value_range: Any, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="The 'value_range' parameter of VGGFeatureExtractor must"):
        extract(_paths(folder), tmp_path / "o.npy", extractor=_extractor(value_range=value_range))
    assert list(tmp_path.glob("o.*")) == []


def test_weights_that_are_missing_are_no_fault_of_the_output(
    folder: Path, tmp_path: Path, shared_data: Path
) -> None:
    weights = tmp_path / "weights.h5"
    shutil.copy(shared_data / "weights" / "vgg16_blocks1-2_notop.h5", weights)
    # Of a size for which no other test has built the network.
    fitted = VGGFeatureExtractor("block1_pool", weights=weights, pooling="avg", input_size=42)
    fitted.fit(_paths(folder)[:1])
    weights.unlink()
    with pytest.raises(OSError, match=r"weights") as caught:
        extract(folder, tmp_path / "out.npy", extractor=fitted)
    assert "cannot write" not in str(caught.value)


@pytest.mark.usefixtures("small_blocks")
def test_zarr_flushes_its_own_files_and_no_others(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, flushed = os.fsync, set()

    def watch(descriptor: int) -> None:
        flushed.add(Path(f"/proc/self/fd/{descriptor}").resolve())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    monkeypatch.setattr(os, "sync", None)
    extract(folder, tmp_path / "out.zarr", extractor=_extractor())
    if Path("/proc/self/fd").exists():
        data = tmp_path / "out.zarr.partial" / "data.zarr"
        assert data / "features" / "c" / "4" / "0" in flushed
        assert data / "position" / "c" / "4" in flushed
        assert data / "zarr.json" in flushed
        assert data in flushed


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_a_system_without_resources_is_no_fault_of_the_image(
    code: int, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = ImageList.load_one

    def fail(self: Any, position: int, value_range: Any) -> Any:
        if self.items[position] == _paths(folder)[30]:
            raise OSError(code, os.strerror(code))
        return load(self, position, value_range)

    out = tmp_path / "out.npy"
    with monkeypatch.context() as patch:
        patch.setattr(ImageList, "load_one", fail)
        with pytest.raises(OSError, match=re.escape(os.strerror(code))):
            extract(folder, out, extractor=_extractor(batch_size=16), on_error="nan")
    done = extract(folder, out, extractor=_extractor(), on_error="nan")
    assert done.n_failed == 0


def test_lists_and_tables_of_paths(folder: Path, tmp_path: Path) -> None:
    names = [str(Path(path).relative_to(tmp_path)) for path in _paths(folder)[:6]]
    (tmp_path / "list.txt").write_text("\n".join([*names, "", ""]))
    rows = [f"{name},k{i}" for i, name in enumerate(names)]
    (tmp_path / "table.csv").write_text("\n".join(["file,kind", *rows]))
    from_list = extract(tmp_path / "list.txt", tmp_path / "list.npy", extractor=_extractor())
    from_table = extract(
        tmp_path / "table.csv",
        tmp_path / "table.npy",
        extractor=_extractor(),
        path_column="file",
        label_column="kind",
    )
    assert from_list.path.read_bytes() == from_table.path.read_bytes()
    expected = _extractor().fit_transform(_paths(folder)[:6])
    np.testing.assert_array_equal(np.load(from_list.path), expected)
    labels = [line.split(",")[2] for line in from_table.rows_path.read_text().splitlines()[1:]]
    assert labels == [f"k{i}" for i in range(6)]


def test_names_that_are_not_utf8_and_duplicates(folder: Path, tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/\xe9.png"
    Path(os.fsdecode(odd)).write_bytes(Path(_paths(folder)[0]).read_bytes())
    paths = [os.fsdecode(odd), os.fsdecode(odd), _paths(folder)[0]]
    for form in (".npy", ".parquet"):
        done = extract(paths, tmp_path / f"out{form}", extractor=_extractor(), labels="xyz")
        rows = _read(done.path)
        assert (rows[0] == rows[1]).all()
        assert (rows[0] == rows[2]).all()
    assert "\\xe9.png,x" in (tmp_path / "out.npy.rows.csv").read_text()


def test_labels_that_are_not_utf8_are_spelled(folder: Path, tmp_path: Path) -> None:
    (folder / "cats").rename(folder / os.fsdecode(b"\xe9t\xe9"))
    names = "\n".join(f"{path},\udce9" for path in _paths(folder)[:2])
    table = tmp_path / "table.csv"
    table.write_text(f"path,label\n{names}", errors="surrogateescape")
    for form in (".npy", ".parquet"):
        done = extract(folder, tmp_path / f"images{form}", extractor=_extractor())
        assert done.n_rows == 40
        extract(table, tmp_path / f"table{form}", extractor=_extractor())
        extract(
            _paths(folder)[:2],
            tmp_path / f"list{form}",
            extractor=_extractor(),
            labels=["a\ud800", "\udce9"],
        )
    assert "\\xe9t\\xe9/01.png,\\xe9t\\xe9" in (tmp_path / "images.npy.rows.csv").read_text()
    assert ",\\xe9\n" in (tmp_path / "table.npy.rows.csv").read_text()
    assert ",a\\ud800\n" in (tmp_path / "list.npy.rows.csv").read_text()


def test_lists_of_paths_are_no_pipes(tmp_path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("no pipes with names here")
    # In a process of its own: a pipe that is opened makes the reader wait for ever.
    code = (
        "import sys\n"
        "from sktransfer.export.extraction.sources import Files\n"
        "try:\n"
        "    list(Files(sys.argv[1], None, 'path', 'label', 'extract'))\n"
        "except OSError as error:\n"
        "    print(error)\n"
    )
    for name in ("list.txt", "list.csv"):
        os.mkfifo(tmp_path / name)
        command = [sys.executable, "-c", code, str(tmp_path / name)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        assert f"extract cannot open '{tmp_path / name}': it is a named pipe" in done.stdout


def test_a_folder_that_leads_into_itself_is_walked_once(folder: Path, tmp_path: Path) -> None:
    (folder / "cats" / "again").symlink_to(folder, target_is_directory=True)
    assert extract(folder, tmp_path / "out.npy", extractor=_extractor()).n_rows == 40


def test_links_that_lead_to_each_other_are_images_that_cannot_be_read(
    folder: Path, tmp_path: Path
) -> None:
    for name, other in (("aa", "ab.png"), ("ab.png", "aa"), ("ac.png", "nowhere.png")):
        (folder / "cats" / name).symlink_to(folder / "cats" / other)
    done = extract(folder, tmp_path / "out.npy", extractor=_extractor(), on_error="nan")
    assert (done.n_rows, done.n_failed) == (42, 2)
    reasons = done.failures_path.read_text().splitlines()
    assert "ab.png," in reasons[1]
    assert "ac.png,no such file" in reasons[2]


# -- text that a spreadsheet would run

_LABELS = [
    "=1+1",
    "+1 for cats",
    "-cats",
    "@SUM(1)",
    "'=1+1",
    "''-1",
    "'-1",
    "'tis",
    "'",
    "-1",
    "+2.5e-3",
    "-.5",
    " =1+1",
    "\t=1",
    "\rcarriage",
    "line\r\nbreaks\r",
    "＝1+1",  # noqa: RUF001 - meant
    "-",
    "",
    'a "quoted", one',
]


def test_labels_that_a_spreadsheet_would_run_are_text_and_are_read_back(
    folder: Path, tmp_path: Path
) -> None:
    paths = (_paths(folder) * 2)[: len(_LABELS)]
    out = tmp_path / "out.npy"
    done = extract(paths, out, extractor=_extractor(), labels=_LABELS)
    with done.rows_path.open(encoding="utf-8", newline="") as file:
        written = [row["label"] for row in csv.DictReader(file)]
    for label, cell in zip(_LABELS, written, strict=True):
        if label in ("-1", "+2.5e-3", "-.5", "'tis", "'", "", _LABELS[-1]) or label[0] == "l":
            assert cell == label
        else:
            assert cell == f"'{label}"
    again = extract(done.rows_path, tmp_path / "again.npy", extractor=_extractor())
    assert again.rows_path.read_bytes() == done.rows_path.read_bytes()
    whole = extract(done.rows_path, tmp_path / "again.parquet", extractor=_extractor())
    import pandas as pd

    assert pd.read_parquet(whole.path)["label"].tolist() == _LABELS
    # What docs/extraction.md advises to those who read it with pandas.
    table = pd.read_csv(done.rows_path, dtype=str, keep_default_na=False)
    bare = table["label"].str.replace(
        r"^'(?='*(\s*[=+\-@＝＋－＠]|[\t\r\n]))",  # noqa: RUF001 - meant
        "",
        regex=True,
    )
    assert bare.tolist() == _LABELS


def test_paths_that_a_spreadsheet_would_run_are_text_and_are_read_back(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["=cmd.png", "-holiday.png", "@home.png", "'-1.png", "-1"]
    for name in names:
        shutil.copy(_paths(folder)[0], name)
    Path("-holiday.png").write_bytes(b"not an image")
    done = extract(names, "out.npy", extractor=_extractor(), on_error="nan")
    assert [line.split(",")[1] for line in done.rows_path.read_text().splitlines()[1:]] == [
        "'=cmd.png",
        "'-holiday.png",
        "'@home.png",
        "''-1.png",
        "-1",
    ]
    assert "\n1,'-holiday.png," in done.failures_path.read_text()
    entries = list(sources.Files(str(done.rows_path), None, "path", "label", "extract"))
    assert [Path(path).name for path, _ in entries] == names


def test_cells_of_a_table_of_ones_own_are_taken_as_they_are(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text(f"path,label\n{_paths(folder)[0]},'=1+1\n")
    done = extract(table, tmp_path / "out.npy", extractor=_extractor())
    assert done.rows_path.read_text().endswith(",''=1+1\n")


def test_labels_with_nul_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"without the character NUL.*'c\\x00t' at position 1"):
        extract(
            _paths(folder)[:2], tmp_path / "o.npy", extractor=_extractor(), labels=["a", "c\0t"]
        )
    X = np.zeros((2, 8, 8), np.uint8)
    with pytest.raises(ValueError, match="without the character NUL"):
        extract(X, tmp_path / "o.npy", extractor=_extractor(), labels=["a", "c\0t"])
    assert list(tmp_path.glob("o.*")) == []


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text on this system")
@pytest.mark.parametrize("form", FORMS)
def test_folders_with_names_that_are_not_utf8(
    form: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xe9t\xe9"))
    (odd / os.fsdecode(b"\xfc")).mkdir(parents=True)
    shutil.copy(_paths(folder)[0], odd / os.fsdecode(b"\xfc") / "a.png")
    done = extract(odd, odd / f"out{form}", extractor=_extractor())
    print(done)
    assert "\\xe9t\\xe9" in capsys.readouterr().out
    if done.rows_path is not None:
        assert done.rows_path.read_text().endswith("/\\xfc/a.png,\\xfc\n")
    else:
        import pyarrow.parquet as pq

        with (done.path / "part-000000.parquet").open("rb") as file:
            assert pq.read_table(file)["label"].to_pylist() == ["\\xfc"]


# -- images that cannot be read


@pytest.fixture
def broken(folder: Path) -> list[int]:
    """Break three of the forty images, and return their positions."""
    positions = [0, 17, 39]
    for position in positions:
        Path(_paths(folder)[position]).write_bytes(b"not an image")
    return positions


@pytest.mark.parametrize("is_listed", [False, True])
def test_addresses_are_refused_before_anything_is_fetched(is_listed: bool, tmp_path: Path) -> None:
    images: Any = ["https://user:word@example.org/a.png?key=secret"]
    if is_listed:
        images = tmp_path / "images.txt"
        images.write_text("https://user:word@example.org/a.png?key=secret\n")
    for allow_remote in (False, True):
        with pytest.raises(ValueError, match="extract reads files of this machine only") as caught:
            extract(images, tmp_path / "out.npy", extractor=_extractor(allow_remote=allow_remote))
        assert "https://example.org/a.png'" in str(caught.value)
        assert "allow_remote=True" in str(caught.value)
    assert not list(tmp_path.glob("out*"))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("form", FORMS)
def test_nan_keeps_the_row(form: str, folder: Path, broken: list[int], tmp_path: Path) -> None:
    done = extract(folder, tmp_path / f"out{form}", extractor=_extractor(), on_error="nan")
    rows = _read(done.path)
    assert np.isnan(rows).all(axis=1).nonzero()[0].tolist() == broken
    good = [path for i, path in enumerate(_paths(folder)) if i not in broken]
    np.testing.assert_array_equal(np.delete(rows, broken, axis=0), _extractor().fit_transform(good))
    with done.failures_path.open() as file:
        failed = list(csv.DictReader(file))
    assert [int(row["position"]) for row in failed] == broken
    assert {row["reason"] for row in failed} == {"not an image that Pillow can read"}
    assert "3 of 40 images could not be read" in str(done)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("form", FORMS)
def test_skip_drops_the_row_and_positions_say_which(
    form: str, folder: Path, broken: list[int], tmp_path: Path
) -> None:
    done = extract(folder, tmp_path / f"out{form}", extractor=_extractor(), on_error="skip")
    left = [i for i in range(40) if i not in broken]
    good = [_paths(folder)[i] for i in left]
    np.testing.assert_array_equal(_read(done.path), _extractor().fit_transform(good))
    if form == ".parquet":
        import pyarrow.parquet as pq

        positions = pq.read_table(done.path)["position"].to_pylist()
    else:
        with done.rows_path.open() as file:
            positions = [int(row["position"]) for row in csv.DictReader(file)]
    assert positions == left
    if form == ".zarr":
        import zarr

        assert zarr.open_group(done.path, mode="r")["position"][:].tolist() == left


@pytest.mark.usefixtures("small_blocks", "broken")
def test_raise_names_them_and_goes_on_after_they_are_mended(folder: Path, tmp_path: Path) -> None:
    sound = Path(_paths(folder)[1]).read_bytes()
    out = tmp_path / "out.npy"
    with pytest.raises(OSError, match=r"(?s)cannot:.*01\.png.*Repair them and make the same call"):
        extract(folder, out, extractor=_extractor(batch_size=16))
    assert not out.exists()
    for position in (0, 17, 39):
        Path(_paths(folder)[position]).write_bytes(sound)
    assert extract(folder, out, extractor=_extractor(batch_size=16)).n_rows == 40


def test_files_that_vanish_are_failures(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = run._begin

    def vanish(*args: Any) -> None:
        begin(*args)
        Path(_paths(folder)[5]).unlink()

    monkeypatch.setattr(run, "_begin", vanish)
    done = extract(folder, tmp_path / "out.npy", extractor=_extractor(), on_error="nan")
    assert "no such file" in done.failures_path.read_text()


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="who may read everything"
)
def test_files_and_folders_that_may_not_be_read(folder: Path, tmp_path: Path) -> None:
    Path(_paths(folder)[5]).chmod(0)
    done = extract(folder, tmp_path / "out.npy", extractor=_extractor(), on_error="nan")
    assert "no permission to read it" in done.failures_path.read_text()
    (folder / "cats").chmod(0)
    with pytest.raises(OSError, match=r"cannot list the images in .*Permission denied.*cats"):
        extract(folder, tmp_path / "other.npy", extractor=_extractor())
    (folder / "cats").chmod(0o755)


def test_a_folder_that_vanishes_while_it_is_listed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = os.scandir

    def vanish(path: str) -> Any:
        if str(path).endswith("dogs"):
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", vanish)
    with pytest.raises(OSError, match=r"cannot list the images in .*No such file.*dogs"):
        extract(folder, tmp_path / "out.npy", extractor=_extractor())
    assert list(tmp_path.glob("out*")) == []


# -- interruptions


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("on_error", ["skip", "nan"])
def test_interrupted_anywhere_the_result_is_the_same_to_the_byte(
    form: str,
    on_error: str,
    folder: Path,
    broken: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run is cut off before and after every block is written, and then finished."""
    whole = tmp_path / "whole" / f"out{form}"
    whole.parent.mkdir()
    extractor = _extractor(batch_size=16)
    extract(folder, whole, extractor=extractor, on_error=on_error)
    out = tmp_path / "cut" / f"out{form}"
    out.parent.mkdir()
    commit, finish = Progress.commit, output._write_csv
    n_cuts = 0

    def cut_after(self: Progress, *args: Any) -> None:
        commit(self, *args)
        raise KeyboardInterrupt

    def cut_before(self: Progress, *args: Any) -> None:
        raise KeyboardInterrupt

    def cut_at_the_end(*args: Any) -> None:
        finish(*args)
        raise KeyboardInterrupt

    for place, name, cut in [
        (Progress, "commit", cut_before),
        *[(Progress, "commit", cut_after)] * 7,
        (output, "_write_csv", cut_at_the_end),
    ]:
        with monkeypatch.context() as patch:
            patch.setattr(place, name, cut)
            try:
                extract(folder, out, extractor=extractor, on_error=on_error)
            except KeyboardInterrupt:
                n_cuts += 1
                assert not out.exists()
    extract(folder, out, extractor=extractor, on_error=on_error)
    assert n_cuts >= 6
    assert _bytes_of(out) == _bytes_of(whole)


def _interrupt_after(monkeypatch: pytest.MonkeyPatch, n_blocks: int) -> None:
    """Have a run end when so many blocks are written."""
    commit = Progress.commit

    def cut(self: Progress, block: int, *args: Any) -> None:
        commit(self, block, *args)
        if block == n_blocks - 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "commit", cut)


def _file_of_block(out: Path, block: int) -> tuple[Path, int]:
    """Return the unfinished file that holds a block of eight rows, and where in it."""
    data = out.with_name(f"{out.name}.partial") / f"data{out.suffix}"
    if out.suffix == ".npy":
        return data, 128 + block * 8 * 64 * 4
    if out.suffix == ".zarr":
        return data / "features" / "c" / str(block) / "0", 0
    return data / f"part-{block:06d}.parquet", 0


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("damage", ["missing", "short", "changed", "all gone"])
def test_rows_that_were_lost_or_changed_are_computed_again(
    form: str, damage: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / "whole" / f"out{form}"
    whole.parent.mkdir()
    extract(folder, whole, extractor=_extractor())
    out = tmp_path / f"out{form}"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        _interrupt_after(patch, 3)
        extract(folder, out, extractor=_extractor(batch_size=16))
    n_kept = 8
    path, place = _file_of_block(out, 1)
    content = bytearray(path.read_bytes())
    if damage == "all gone":
        n_kept = 0
        data = tmp_path / f"out{form}.partial" / f"data{form}"
        shutil.rmtree(data) if data.is_dir() else data.unlink()
    elif damage == "missing" and form != ".npy":
        path.unlink()
    elif damage == "changed":
        content[place + len(content[place:]) // 3] ^= 1
        path.write_bytes(content)
    else:
        path.write_bytes(content[: place + 20])
    with pytest.warns(UserWarning, match=rf"continues after the {n_kept} rows before it: \d bl"):
        extract(folder, out, extractor=_extractor())
    assert _bytes_of(out) == _bytes_of(whole)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE blocks SET n_rows = n_rows + 1 WHERE block = 1",
        "UPDATE blocks SET n_read = n_read + 1 WHERE block = 1",
        "UPDATE blocks SET n_rows = 'many' WHERE block = 1",
        "UPDATE blocks SET n_rows = 9223372036854775807, n_read = -5 WHERE block = 1",
        "UPDATE blocks SET seal = 7 WHERE block = 1",
        "UPDATE blocks SET block = -1 WHERE block = 1",
        "DELETE FROM blocks WHERE block = 1",
        "INSERT INTO failures VALUES (9, 'nothing')",
        "UPDATE failures SET position = 10 WHERE position = 11",
        "UPDATE failures SET reason = x'ff' WHERE position = 11",
    ],
)
def test_a_record_that_was_changed_costs_rows_and_no_errors(
    statement: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(_paths(folder)[11]).write_bytes(b"not an image")
    whole = extract(folder, tmp_path / "whole.npy", extractor=_extractor(), on_error="skip")
    out = tmp_path / "out.npy"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        _interrupt_after(patch, 4)
        extract(folder, out, extractor=_extractor(batch_size=16), on_error="skip")
    with sqlite3.connect(tmp_path / "out.npy.partial" / "progress.sqlite") as db:
        db.execute(statement)
    db.close()
    with pytest.warns(UserWarning, match=r"continues after the [08] rows before it"):
        done = extract(folder, out, extractor=_extractor(), on_error="skip")
    assert out.read_bytes() == whole.path.read_bytes()
    assert done.rows_path.read_bytes() == whole.rows_path.read_bytes()
    assert done.failures_path.read_bytes() == whole.failures_path.read_bytes()


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("form", FORMS)
def test_rows_that_vanish_during_a_run_are_an_error_and_then_computed_again(
    form: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / f"out{form}"
    commit = Progress.commit

    def lose(self: Progress, block: int, *args: Any) -> None:
        commit(self, block, *args)
        if block == 4:
            path, place = _file_of_block(out, 2)
            os.truncate(path, place) if form == ".npy" else path.unlink()

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "commit", lose)
        with pytest.raises(OSError, match=r"should hold 40 rows, 40 were written, and (16|32) are"):
            extract(folder, out, extractor=_extractor())
    assert not out.exists()
    with pytest.warns(UserWarning, match="continues after the 16 rows"):
        extract(folder, out, extractor=_extractor())
    np.testing.assert_array_equal(_read(out), _extractor().fit_transform(_paths(folder)))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("form", FORMS)
def test_blocks_behind_the_last_row_are_removed(
    form: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run is cut off before its last block counts; then the images of that block vanish."""
    out = tmp_path / f"out{form}"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        _interrupt_after(patch, 5)
        extract(folder, out, extractor=_extractor(), on_error="skip")
    with sqlite3.connect(tmp_path / f"out{form}.partial" / "progress.sqlite") as db:
        db.execute("DELETE FROM blocks WHERE block = 4")
    db.close()
    for path in _paths(folder)[32:]:
        os.truncate(path, 0)
    extract(folder, out, extractor=_extractor(), on_error="skip")
    assert _read(out).shape == (32, 64)
    whole = tmp_path / "whole" / f"out{form}"
    whole.parent.mkdir()
    extract(folder, whole, extractor=_extractor(), on_error="skip")
    assert _bytes_of(out) == _bytes_of(whole)


@pytest.mark.usefixtures("small_blocks")
def test_rows_of_zeros_are_written_to_zarr_like_any_others(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Runner.stream

    def blacken(*args: Any) -> Any:
        for listed, found, unreadable in stream(*args):
            yield listed, np.zeros_like(found), unreadable

    monkeypatch.setattr(Runner, "stream", blacken)
    done = extract(folder, tmp_path / "out.zarr", extractor=_extractor())
    assert (done.path / "features" / "c" / "4" / "0").is_file()
    assert _read(done.path).shape == (40, 64)
    assert not _read(done.path).any()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_killed_at_random_moments_the_result_is_the_same(folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from sktransfer import VGGFeatureExtractor, extract\n"
        "from sktransfer.export.extraction import run\n"
        "run._BLOCK_ROWS = ((1e9, 8),)\n"
        "vgg = VGGFeatureExtractor('block1_pool', weights=None, pooling='avg', input_size=32,\n"
        "    random_state=0, batch_size=16)\n"
        "print('begun', flush=True)\n"
        "extract(sys.argv[1], sys.argv[2], extractor=vgg)\n"
    )
    whole = extract(folder, tmp_path / "whole.npy", extractor=_extractor())
    out = tmp_path / "out.npy"
    rng = np.random.default_rng(0)
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"}
    for attempt in range(20):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(folder), str(out)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        assert process.stdout is not None
        process.stdout.readline()
        if attempt < 5:  # then it is left alone
            time.sleep(rng.uniform(0, 1.5))
            process.kill()
        process.wait()
        process.stdout.close()
        if out.exists():
            break
    assert out.read_bytes() == whole.path.read_bytes()


def test_a_complete_output_is_not_computed_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = extract(folder, tmp_path / "out.npy", extractor=_extractor())
    monkeypatch.setattr(run, "_run", None)
    assert extract(folder, tmp_path / "out.npy", extractor=_extractor()) == done


def test_other_recipes_and_inputs_are_refused(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.npy"
    extract(folder, out, extractor=_extractor())
    before = _bytes_of(out)
    with pytest.raises(FileExistsError, match=r"differs in (weights|.*pooling)"):
        extract(folder, out, extractor=_extractor(pooling="max"))
    with pytest.raises(FileExistsError, match="differs in on_error"):
        extract(folder, out, extractor=_extractor(), on_error="nan")
    Path(_paths(folder)[0]).unlink()
    with pytest.raises(FileExistsError, match="differs in inputs"):
        extract(folder, out, extractor=_extractor())
    assert _bytes_of(out) == before
    (tmp_path / "mine.npy").write_bytes(b"precious")
    with pytest.raises(FileExistsError, match="without a record of its recipe"):
        extract(folder, tmp_path / "mine.npy", extractor=_extractor())
    assert (tmp_path / "mine.npy").read_bytes() == b"precious"


@pytest.mark.usefixtures("small_blocks")
def test_an_unfinished_run_of_another_recipe_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.npy"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        _interrupt_after(patch, 1)
        extract(folder, out, extractor=_extractor())
    with pytest.raises(ValueError, match=r"unfinished run in .* which differs in pooling"):
        extract(folder, out, extractor=_extractor(pooling="max"))
    assert extract(folder, out, extractor=_extractor()).n_rows == 40


def _interrupt(*args: Any) -> None:
    raise KeyboardInterrupt


def _break_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _break_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _break_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def _break_journal(path: Path) -> None:
    os.mkfifo(f"{path}-journal")


def _write(content: bytes) -> Any:
    return lambda path: path.write_bytes(content)


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


def _scribble(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)


def _query(statement: str) -> Any:
    def change(path: Path) -> None:
        with sqlite3.connect(path) as db:
            db.executescript(statement)
        db.close()

    return change


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on this system")
@pytest.mark.parametrize(
    "damage",
    [
        _break_fifo,
        _break_folder,
        _break_link,
        _break_journal,
        _write(b"not a database at all" * 500),
        _write(b"\0" * 4096),
        _cut,
        _scribble,
        _query("CREATE TABLE mine (x)"),
        _query("DROP TABLE blocks"),
        _query(
            "DROP TABLE inputs; CREATE VIEW inputs AS WITH RECURSIVE n (position) AS "
            "(SELECT 0 UNION ALL SELECT position + 1 FROM n) SELECT position, 1, 2 FROM n;"
        ),
        _query("UPDATE facts SET value = 'no JSON'"),
        _query("UPDATE facts SET value = '[1, 2]'"),
        _query(f"UPDATE facts SET value = '{'[' * 100_000}'"),
        _query("UPDATE facts SET value = x'ff00'"),
        _query("UPDATE facts SET value = CAST(x'ff00' AS TEXT)"),
        _query("UPDATE facts SET name = 'other'"),
        _query("UPDATE inputs SET path = 'text' WHERE position = 30"),
        _query("UPDATE inputs SET path = 7 WHERE position = 30"),
        _query("UPDATE inputs SET path = x'00' WHERE position = 30"),
        _query("UPDATE inputs SET label = x'ff' WHERE position = 30"),
        _query("UPDATE inputs SET label = NULL WHERE position = 30"),
        _query("UPDATE inputs SET position = 9223372036854775807 WHERE position = 39"),
        _query("UPDATE inputs SET position = -1 WHERE position = 39"),
        _query("DELETE FROM inputs WHERE position = 39"),
        _query("INSERT INTO inputs VALUES (40, x'41', NULL, NULL)"),
    ],
)
@pytest.mark.usefixtures("small_blocks")
def test_a_record_that_cannot_be_read_is_one_error(
    damage: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.npy"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        _interrupt_after(patch, 3)
        extract(folder, out, extractor=_extractor())
    damage(tmp_path / "out.npy.partial" / "progress.sqlite")
    with pytest.raises(
        ValueError, match=r"(?s)cannot resume .*progress\.sqlite'.*Remove the folder .*partial'"
    ):
        extract(folder, out, extractor=_extractor())
    assert not out.exists()
    shutil.rmtree(tmp_path / "out.npy.partial")  # the cure
    assert extract(folder, out, extractor=_extractor()).n_rows == 40


@pytest.mark.parametrize(
    "recipes", [None, 5, "text", ["no JSON"], [[1]], [json.dumps(7)], [json.dumps([1])]]
)
def test_a_recipe_of_an_unexpected_type_differs(recipes: Any, folder: Path, tmp_path: Path) -> None:
    done = extract(folder, tmp_path / "out.npy", extractor=_extractor())
    facts = json.loads(done.recipe_path.read_text())
    facts["identity"]["recipes"] = recipes
    done.recipe_path.write_text(json.dumps(facts))
    with pytest.raises(FileExistsError, match="differs in the layers"):
        extract(folder, done.path, extractor=_extractor())
    for facts in ([], {"identity": []}, {"identity": None}, 7):
        done.recipe_path.write_text(json.dumps(facts))
        with pytest.raises(FileExistsError, match="without a record of its recipe"):
            extract(folder, done.path, extractor=_extractor())


def test_a_record_that_is_busy_or_full_is_no_damage(folder: Path, tmp_path: Path) -> None:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    message = r"cannot write to .*disk is full.*What is written is kept"
    with pytest.raises(OSError, match=message), explained(tmp_path):
        raise error


def test_two_processes_do_not_write_one_output(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.npy"
    with output.work_folder(out, "extract"), pytest.raises(OSError, match="another process"):
        extract(folder, out, extractor=_extractor())


def test_a_lock_on_a_file_without_its_name_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening and locking, another process finishes and removes folder and lock."""
    import filelock

    out, removed = tmp_path / "out.npy", []
    acquire = filelock.FileLock.acquire

    def late(self: Any, *args: Any, **kwargs: Any) -> Any:
        held = acquire(self, *args, **kwargs)
        if not removed:
            removed.append(shutil.rmtree(tmp_path / "out.npy.partial"))
        return held

    monkeypatch.setattr(filelock.FileLock, "acquire", late)
    with output.work_folder(out, "extract") as place:
        assert removed
        assert (place / "lock").exists()
        with pytest.raises(OSError, match="another process"), output.work_folder(out, "extract"):
            pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("small_blocks")
def test_an_output_that_another_process_just_completed_is_taken(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.npy"
    lock = output._lock

    def wait(place: Path) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(output, "_lock", lock)
            extract(folder, out, extractor=_extractor())
        monkeypatch.setattr(run, "_run", None)
        return lock(place)

    monkeypatch.setattr(output, "_lock", wait)
    assert extract(folder, out, extractor=_extractor()).n_rows == 40
    assert not (tmp_path / "out.npy.partial").exists()


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("form", FORMS)
def test_what_a_killed_run_left_is_removed_and_nothing_else(
    form: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the output came to its place, and before the folder was removed."""
    out = tmp_path / f"out{form}"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(output, "_read_complete", _interrupt)
        patch.setattr(output, "_holds_rows", lambda data: True)  # a kill would not clear up
        extract(folder, out, extractor=_extractor())
    partial = tmp_path / f"out{form}.partial"
    assert (partial / "progress.sqlite").exists()
    with output.work_folder(out, "extract"):  # another process may be removing it
        (partial / "recipe.json").touch()
        extract(folder, out, extractor=_extractor())
        assert (partial / "recipe.json").exists()
    extract(folder, out, extractor=_extractor())
    assert not partial.exists()

    other = tmp_path / f"other{form}"
    mine = tmp_path / f"other{form}.partial" / "mine" / "notes.txt"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        _interrupt_after(patch, 1)
        extract(folder, other, extractor=_extractor())
    mine.parent.mkdir()
    mine.write_text("precious")
    extract(folder, other, extractor=_extractor())
    assert mine.read_text() == "precious"
    assert [path.name for path in mine.parent.parent.iterdir()] == ["mine"]


@pytest.mark.usefixtures("small_blocks")
def test_a_full_disk_loses_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = Progress.commit

    def fill_up(self: Progress, block: int, n_read: int, *args: Any) -> None:
        if n_read > 16:
            raise OSError(28, "No space left on device")
        commit(self, block, n_read, *args)

    out = tmp_path / "out.npy"
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "commit", fill_up)
        with pytest.raises(OSError, match=r"No space left.*What is written is kept: free disk"):
            extract(folder, out, extractor=_extractor(batch_size=16))
    progress = Progress(tmp_path / "out.npy.partial" / "progress.sqlite")
    assert progress.n_rows == 16
    progress.close()
    done = extract(folder, out, extractor=_extractor(batch_size=16))
    np.testing.assert_array_equal(np.load(done.path), _extractor().fit_transform(_paths(folder)))


def test_a_file_that_cannot_grow_loses_nothing(
    folder: Path, tmp_path: Path, small_blocks: None
) -> None:
    """The system itself refuses to write on, in the middle of a block."""
    resource = pytest.importorskip("resource")
    extractor = _extractor(pooling=None, batch_size=16)  # half a MiB for each block
    out = tmp_path / "out.npy"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_200_000, hard))
    try:
        with pytest.raises(OSError, match=r"cannot write to .*What is written is kept"):
            extract(folder, out, extractor=extractor)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    progress = Progress(tmp_path / "out.npy.partial" / "progress.sqlite")
    assert progress.n_rows == 16
    progress.close()
    done = extract(folder, out, extractor=extractor)
    np.testing.assert_array_equal(np.load(done.path), extractor.fit_transform(_paths(folder)))


def test_a_target_that_is_read_only(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *args: Any, **kwargs: Any) -> None:
        raise OSError(30, "Read-only file system", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", refuse)
        with pytest.raises(OSError, match=r"cannot write .*Read-only file system.*Choose a folder"):
            extract(folder, tmp_path / "out.npy", extractor=_extractor())
    (tmp_path / "out.npy.partial").write_text("a file where the folder would be")
    with pytest.raises(FileExistsError, match=r"cannot write .*out\.npy\.partial' is there, and"):
        extract(folder, tmp_path / "out.npy", extractor=_extractor())


# -- files of others


def _tree(folder: Path) -> dict[str, bytes | str | None]:
    """Everything below a folder, links as what they say."""
    return {
        str(path.relative_to(folder)): str(path.readlink())
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["file", "folder", "link", "lost link"])
def test_an_output_that_appears_during_the_run_is_kept(
    kind: str, form: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, elsewhere = tmp_path / f"out{form}", tmp_path / "elsewhere"
    elsewhere.write_bytes(b"precious")

    def appear(*args: Any) -> None:
        commit(*args)
        if kind == "file":
            out.write_bytes(b"precious")
        elif kind == "folder":
            out.mkdir()
            (out / "mine").write_bytes(b"precious")
        else:
            out.symlink_to(elsewhere if kind == "link" else tmp_path / "nowhere")

    commit = Progress.commit
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "commit", appear)
        with pytest.raises(
            FileExistsError, match=r"appeared during the run.*kept in .*out\..*partial"
        ):
            extract(folder, out, extractor=_extractor())
    left = {name: data for name, data in _tree(tmp_path).items() if name.startswith(out.name)}
    beside = [name for name in left if name.startswith((f"{out.name}.json", f"{out.name}.rows"))]
    assert beside == []
    with pytest.raises(FileExistsError, match="without a record of its recipe"):
        extract(folder, out, extractor=_extractor())
    assert {name: data for name, data in _tree(tmp_path).items() if name in left} == left
    assert elsewhere.read_bytes() == b"precious"
    out.rename(tmp_path / "moved")
    monkeypatch.setattr(Progress, "commit", None)  # nothing is computed again
    assert extract(folder, out, extractor=_extractor()).n_rows == 40


def test_an_output_that_appears_at_the_last_moment_is_kept(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.npy"
    place = output.place_new

    def appear(source: Path, target: Path) -> None:
        if target == out:
            out.write_bytes(b"precious")
        place(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(output, "place_new", appear)
        with pytest.raises(FileExistsError, match="appeared during the run"):
            extract(folder, out, extractor=_extractor())
    assert out.read_bytes() == b"precious"
    # Its record beside it would make it pass for the output.
    with pytest.raises(FileExistsError, match="without a record of its recipe"):
        extract(folder, out, extractor=_extractor())


@pytest.mark.parametrize("links", ["hard links", "no hard links"])
def test_placing_never_replaces(
    links: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> None:
        raise OSError(errno.EPERM, "no links here")

    if links == "no hard links":
        monkeypatch.setattr(os, "link", refuse)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"new")
    target.symlink_to(tmp_path / "nowhere")
    for _ in range(2):
        with pytest.raises(FileExistsError):
            output.place_new(source, target)
        assert source.read_bytes() == b"new"
        target.unlink()
        target.write_bytes(b"old")
    target.unlink()
    output.place_new(source, target)
    assert target.read_bytes() == b"new"
    assert not source.exists()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("ending", ["json", "rows.csv", "failed.csv"])
@pytest.mark.parametrize("moment", ["before", "during"])
def test_files_beside_the_output_are_kept(
    moment: str,
    ending: str,
    form: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if (form, ending) == (".parquet", "rows.csv"):
        pytest.skip("not written")
    out = tmp_path / f"out{form}"
    mine = tmp_path / f"out{form}.{ending}"
    commit = Progress.commit

    def appear(*args: Any) -> None:
        commit(*args)
        mine.write_bytes(b"precious")

    if moment == "before":
        mine.write_bytes(b"precious")
        monkeypatch.setattr(run, "_run", lambda *args: pytest.fail("computed"))
    else:
        monkeypatch.setattr(Progress, "commit", appear)
    with pytest.raises(FileExistsError, match=rf"names that extract writes.*{ending}' is there"):
        extract(folder, out, extractor=_extractor())
    assert mine.read_bytes() == b"precious"
    assert not out.exists()
    assert (tmp_path / f"out{form}.partial").exists() == (moment == "during")


@pytest.mark.usefixtures("small_blocks", "broken")
@pytest.mark.parametrize("form", FORMS)
def test_interrupted_between_the_last_files_the_result_is_the_same(
    form: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / "whole" / f"out{form}"
    whole.parent.mkdir()
    extract(folder, whole, extractor=_extractor(), on_error="skip")
    place = output.place_new
    for n_placed in range(5):
        out = tmp_path / f"cut{n_placed}" / f"out{form}"
        out.parent.mkdir()
        calls: list[Path] = []

        def cut(source: Path, target: Path) -> None:
            if len(calls) == n_placed:  # noqa: B023 - called in this turn of the loop only
                os.link(source, target) if source.is_file() else None  # linked, not yet moved
                raise KeyboardInterrupt
            calls.append(target)  # noqa: B023
            place(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(output, "place_new", cut)
            try:
                extract(folder, out, extractor=_extractor(), on_error="skip")
            except KeyboardInterrupt:
                assert n_placed <= len(_bytes_of(whole))
        extract(folder, out, extractor=_extractor(), on_error="skip")
        assert _bytes_of(out) == _bytes_of(whole)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["folder", "link", "lost link"])
def test_a_folder_of_others_is_not_taken_over(
    kind: str, form: str, folder: Path, tmp_path: Path
) -> None:
    partial, elsewhere = tmp_path / f"out{form}.partial", tmp_path / "elsewhere"
    place = partial if kind == "folder" else elsewhere
    if kind != "lost link":
        place.mkdir()
        names = ["rows.csv", "recipe.json", "failed.csv", "lock", "progress.sqlite", "data.npy"]
        for name in names:
            (place / name).write_bytes(b"precious")
        (place / "description.zarr").mkdir()
        (place / "description.zarr" / "mine").write_bytes(b"precious")
    if kind != "folder":
        partial.symlink_to(elsewhere)
    before = _tree(tmp_path)
    with pytest.raises(
        FileExistsError, match=r"partial' is there, and is not a folder that extract.*Move or"
    ):
        extract(folder, tmp_path / f"out{form}", extractor=_extractor())
    assert _tree(tmp_path) == before


def test_an_empty_folder_or_lock_is_taken(folder: Path, tmp_path: Path) -> None:
    """A run that was killed just after it began leaves them."""
    partial = tmp_path / "out.npy.partial"
    partial.mkdir()
    extract(folder, tmp_path / "out.npy", extractor=_extractor())
    assert not partial.exists()
    partial = tmp_path / "other.npy.partial"
    partial.mkdir()
    (partial / "lock").touch()
    extract(folder, tmp_path / "other.npy", extractor=_extractor())
    assert not partial.exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on this system")
@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("kind", ["link", "pipe"])
@pytest.mark.parametrize(
    ("form", "name"),
    [
        (".npy", "data.npy"),
        (".npy", "rows.csv"),
        (".npy", "failed.csv"),
        (".npy", "recipe.json"),
        (".npy", "lock"),
        (".zarr", "data.zarr"),
        (".zarr", "data.zarr/features"),
        (".zarr", "data.zarr/features/zarr.json"),
        (".zarr", "description.zarr"),
        (".parquet", "data.parquet"),
        (".parquet", "data.parquet/part-000001.parquet"),
    ],
)
def test_links_and_pipes_in_the_folder_are_refused(
    form: str,
    name: str,
    kind: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, partial = tmp_path / f"out{form}", tmp_path / f"out{form}.partial"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        _interrupt_after(patch, 3)
        extract(folder, out, extractor=_extractor())
    odd, mine = partial / name, tmp_path / "mine"
    if odd.is_dir():
        odd.rename(mine)
    else:
        odd.unlink(missing_ok=True)
        mine.write_bytes(b"precious")
    if kind == "link":
        odd.symlink_to(mine)
    else:
        os.mkfifo(odd)
    before = _tree(tmp_path)
    with pytest.raises(ValueError, match=r"cannot resume .*is a link, or another kind of file"):
        extract(folder, out, extractor=_extractor())
    assert _tree(tmp_path) == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on this system")
def test_a_record_that_is_a_pipe_is_none(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out.npy").write_bytes(b"precious")
    os.mkfifo(tmp_path / "out.npy.json")
    with pytest.raises(FileExistsError, match="without a record of its recipe"):
        extract(folder, tmp_path / "out.npy", extractor=_extractor())


def test_a_run_that_wrote_no_row_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    extractor = _extractor().fit(_paths(folder)[:1])
    out = tmp_path / "out.npy"
    with pytest.raises(OSError, match=r"(?s)nope\.png.*same call again; or set on_error"):
        extract([str(tmp_path / "nope.png")], out, extractor=extractor)
    assert [path.name for path in tmp_path.iterdir()] == ["images"]
    assert extract(folder, out, extractor=extractor).n_rows == 40


@pytest.mark.parametrize("name", ["a\0.npy", "a" * 252 + ".npy", "a" * 245 + ".npy"])
def test_names_that_no_file_can_have(name: str, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'out' parameter of extract must be a name that a file"):
        extract(folder, tmp_path / name, extractor=_extractor())
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


# -- inputs that change


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("position", [3, 10, 30])
def test_rows_of_files_that_changed_are_computed_again(
    position: int, form: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / f"out{form}"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        _interrupt_after(patch, 3)
        extract(folder, out, extractor=_extractor(batch_size=16))
    pixels = np.random.default_rng(1).integers(0, 256, (9, 9), dtype=np.uint8)
    Image.fromarray(pixels).save(_paths(folder)[position])
    if position < 24:  # among the rows that are written
        n_kept = position // 8 * 8
        with pytest.warns(
            UserWarning,
            match=rf"changed since.*continues after the {n_kept} rows before them: [23]",
        ):
            done = extract(folder, out, extractor=_extractor())
    else:
        done = extract(folder, out, extractor=_extractor())
    np.testing.assert_array_equal(_read(out), _extractor().fit_transform(_paths(folder)))
    assert extract(folder, out, extractor=_extractor()) == done  # says nothing


@pytest.mark.usefixtures("small_blocks")
def test_rows_of_files_that_are_gone_are_kept(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, out = _paths(folder), tmp_path / "out.npy"
    expected = _extractor().fit_transform(paths)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        _interrupt_after(patch, 3)
        extract(paths, out, extractor=_extractor(batch_size=16), on_error="nan")
    Path(paths[3]).unlink()
    extract(paths, out, extractor=_extractor().fit(paths[:1]), on_error="nan")
    np.testing.assert_array_equal(np.load(out), expected)


def test_a_complete_output_of_changed_files_is_said_so(folder: Path, tmp_path: Path) -> None:
    done = extract(folder, tmp_path / "out.npy", extractor=_extractor())
    before = _bytes_of(done.path)
    os.utime(_paths(folder)[7], ns=(0, 1))
    with pytest.warns(UserWarning, match=r"input files have changed.*compute it again, remove it"):
        assert extract(folder, done.path, extractor=_extractor()) == done
    assert _bytes_of(done.path) == before
    facts = json.loads(done.recipe_path.read_text())
    del facts["files"]  # by a version that did not look at them
    done.recipe_path.write_text(json.dumps(facts))
    extract(folder, done.path, extractor=_extractor())


# -- bad input


@pytest.mark.parametrize(
    ("images", "out", "params", "error", "message"),
    [
        ("images", "out.csv", {}, ValueError, r"must end with \.npy, \.zarr, \.parquet"),
        ("images", "no/out.npy", {}, FileNotFoundError, "be in a folder that exists"),
        ("images", "out.npy", {"on_error": "ignore"}, ValueError, "'raise', 'skip' or 'nan'"),
        ("images", "out.npy", {"extractor": 1}, TypeError, "must be a VGGFeatureExtractor"),
        ("images", "out.npy", {"labels": [1]}, ValueError, "goes with a list of paths"),
        ("nothing", "out.npy", {}, FileNotFoundError, "no such file or folder"),
        ("empty", "out.npy", {}, ValueError, "needs at least one image"),
        ("empty.txt", "out.npy", {}, ValueError, "needs at least one image"),
        ("table.csv", "out.npy", {}, ValueError, r"column 'path' .* columns \['a', 'b'\]"),
        ("hole.csv", "out.npy", {}, ValueError, "Got none in line 3"),
        ("field.csv", "out.npy", {}, ValueError, r"cannot read line 3 of .*: field larger than"),
        ("quote.csv", "out.npy", {}, ValueError, r"line 2\d+ has more than [\d,]+ characters"),
        ("line.txt", "out.npy", {}, ValueError, r"line 2 has more than [\d,]+ characters"),
        ("nul.txt", "out.npy", {}, ValueError, r"has a NUL character in line 1: it is in UTF-16"),
        ("zip.txt", "out.npy", {}, ValueError, r"which is a zip archive: unpack it first"),
        (["\ud800.png"], "out.npy", {}, ValueError, r"needs valid file names\. Got '\\"),
        (["a.png"], "out.npy", {"labels": [1, 2]}, ValueError, "1 images and 2 labels"),
        (["a.png", "b.png"], "out.npy", {}, OSError, r"2 files, none of which can.*no such file"),
    ],
)
def test_bad_input_is_one_error_and_leaves_nothing(
    images: Any,
    out: str,
    params: dict[str, Any],
    error: type[Exception],
    message: str,
    tmp_path: Path,
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.txt").touch()
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    (tmp_path / "hole.csv").write_text("path,label\nx.png,1\n,2\n")
    (tmp_path / "field.csv").write_text(f"path,label\nx.png,1\n{'x' * 200_000},2\n")
    rows = '"a\n","b\n",' * 200_000  # between quotes a row goes on over any number of lines
    (tmp_path / "quote.csv").write_text(f"path,label\n{rows}")
    (tmp_path / "line.txt").write_text("a.png\n" + "x" * (3 << 20))
    (tmp_path / "nul.txt").write_text("a.png", encoding="utf-16-le")
    (tmp_path / "zip.txt").write_bytes(b"PK\x03\x04")
    before = sorted(tmp_path.rglob("*"))
    if isinstance(images, str):
        images = tmp_path / images
    with pytest.raises(error, match=message):
        extract(images, tmp_path / out, **({"extractor": _extractor()} | params))
    assert sorted(tmp_path.rglob("*")) == before


def _fifo(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on this system")
@pytest.mark.parametrize(
    ("name", "make", "error", "message"),
    [
        ("list.txt", _fifo, OSError, r"cannot open .*list\.txt': it is a named pipe"),
        ("list.csv", _fifo, OSError, r"cannot open .*list\.csv': it is a named pipe"),
        ("list.txt", _write(b"x" * 2_000_000), ValueError, "more than 1,048,576 characters"),
        ("list.csv", _write(b"x" * 2_000_000), ValueError, "more than 1,048,576 characters"),
        (
            "list.csv",
            _write(b'path\n"' + b"x\n" * 200_000),
            ValueError,
            r"cannot read line .*list\.csv': field larger .* quote may not be closed",
        ),
        (
            "list.csv",
            _write(b"path,label\na.png,c\0t\n"),
            ValueError,
            r"list\.csv', which has a NUL character in line 2",
        ),
    ],
)
def test_lists_that_are_none(
    name: str, make: Any, error: type[Exception], message: str, tmp_path: Path
) -> None:
    make(tmp_path / name)
    with pytest.raises(error, match=message):
        extract(tmp_path / name, tmp_path / "out.npy", extractor=_extractor())


def test_images_in_memory_are_sent_to_transform(tmp_path: Path) -> None:
    images = [np.zeros((4, 4), np.uint8), np.zeros((5, 4), np.uint8)]
    with pytest.raises(TypeError, match="which are in memory already: transform"):
        extract(images, tmp_path / "out.npy", extractor=_extractor())


def test_missing_packages_are_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(ImportError, match=r"needs the package 'zarr'.*sktransfer\[files\]"):
        extract(folder, tmp_path / "out.zarr", extractor=_extractor())


def test_paths_are_listed_one_by_one(folder: Path) -> None:
    """A folder is never listed as a whole: its iterator gives the first file at once."""
    files = sources.Files(str(folder), None, "path", "label", "extract")
    path, label = next(iter(files))
    assert (Path(path).name, label) == ("01.png", "cats")


# -- the command line


def test_the_command_writes_and_says_what(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.npy"
    network = ["--layer", "block1_pool", "--pooling", "avg", "--weights", "random"]
    arguments = ["extract", str(folder), "--out", str(out), *network, "--input-size", "32"]
    assert cli.main(arguments) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{out}: 40 rows of 64 features\n"
    assert "40/40" in captured.err
    np.testing.assert_array_equal(np.load(out), _extractor().fit_transform(_paths(folder)))
    assert (
        cli.main(
            [
                "extract",
                *_paths(folder)[:2],
                "--out",
                str(tmp_path / "two.npy"),
                *network,
                "--input-size",
                "32",
                "--quiet",
            ]
        )
        == 0
    )
    assert np.load(tmp_path / "two.npy").shape == (2, 64)
    assert cli.main(["extract", str(tmp_path / "none"), "--out", str(out), *network]) == 2
    assert "no such file or folder" in capsys.readouterr().err

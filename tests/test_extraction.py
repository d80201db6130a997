"""Features written to files: in order, complete, the same to the byte however often cut off."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sktransfer import VGGFeatureExtractor, cli, extract
from sktransfer.extraction import output, run, sources
from sktransfer.extraction.progress import Progress

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


# -- images that cannot be read


@pytest.fixture
def broken(folder: Path) -> list[int]:
    """Break three of the forty images, and return their positions."""
    positions = [0, 17, 39]
    for position in positions:
        Path(_paths(folder)[position]).write_bytes(b"not an image")
    return positions


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


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_killed_at_random_moments_the_result_is_the_same(folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from sktransfer import VGGFeatureExtractor, extract\n"
        "from sktransfer.extraction import run\n"
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
        patch.setattr(Progress, "entries", _interrupt)
        extract(folder, out, extractor=_extractor())
    with pytest.raises(ValueError, match=r"unfinished run in .* which differs in pooling"):
        extract(folder, out, extractor=_extractor(pooling="max"))
    assert extract(folder, out, extractor=_extractor()).n_rows == 40


def _interrupt(*args: Any) -> None:
    raise KeyboardInterrupt


def test_two_processes_do_not_write_one_output(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.npy"
    with output.work_folder(out, "extract"), pytest.raises(OSError, match="another process"):
        extract(folder, out, extractor=_extractor())


@pytest.mark.usefixtures("small_blocks")
def test_a_full_disk_loses_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = Progress.commit

    def fill_up(self: Progress, n_read: int, *args: Any) -> None:
        if n_read > 16:
            raise OSError(28, "No space left on device")
        commit(self, n_read, *args)

    out = tmp_path / "out.npy"
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "commit", fill_up)
        with pytest.raises(OSError, match=r"No space left.*What is written is kept: make room"):
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
    with pytest.raises(OSError, match=r"cannot write .*File exists"):
        extract(folder, tmp_path / "out.npy", extractor=_extractor())


# -- bad input


@pytest.mark.parametrize(
    ("images", "out", "params", "error", "message"),
    [
        ("images", "out.csv", {}, ValueError, r"must end with \.npy, \.zarr, \.parquet"),
        ("images", "no/out.npy", {}, FileNotFoundError, "lie in a folder that exists"),
        ("images", "out.npy", {"on_error": "ignore"}, ValueError, "'raise', 'skip' or 'nan'"),
        ("images", "out.npy", {"extractor": 1}, TypeError, "must be a VGGFeatureExtractor"),
        ("images", "out.npy", {"labels": [1]}, ValueError, "goes with a list of paths"),
        ("nothing", "out.npy", {}, FileNotFoundError, "no such file or folder"),
        ("empty", "out.npy", {}, ValueError, "needs at least one image"),
        ("empty.txt", "out.npy", {}, ValueError, "needs at least one image"),
        ("table.csv", "out.npy", {}, ValueError, r"column 'path' .* columns \['a', 'b'\]"),
        ("hole.csv", "out.npy", {}, ValueError, "Got none in line 3"),
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
    before = sorted(tmp_path.rglob("*"))
    if isinstance(images, str):
        images = tmp_path / images
    with pytest.raises(error, match=message):
        extract(images, tmp_path / out, **({"extractor": _extractor()} | params))
    assert sorted(tmp_path.rglob("*")) == before


def test_images_in_memory_are_sent_to_transform(tmp_path: Path) -> None:
    images = [np.zeros((4, 4), np.uint8), np.zeros((5, 4), np.uint8)]
    with pytest.raises(TypeError, match="which stand in memory already: transform"):
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

"""The parsers: for each, valid inputs as bytes, changes that suit its format, and how to run it.

A parser may succeed or raise the package's own errors, as `judge` holds them to be. What it returns
is checked here. No network is built, and no engine runs.
"""

from __future__ import annotations

import gzip
import io
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, cached_property, partial
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import numpy as np

from sktransfer.datasets.loaders import read_labelled_images, read_pixel_csv
from sktransfer.export.extraction.output import find_complete
from sktransfer.export.extraction.progress import NAME, Progress, explained
from sktransfer.export.extraction.sources import fingerprint, list_entries, read_source
from sktransfer.features.loading import empty_inputs, load_all
from sktransfer.features.preprocessing import ASPECTS, Resizing, preprocess
from sktransfer.features.store import FeatureStore
from sktransfer.features.store_use import StoreUse
from sktransfer.files import hdf5, isolated
from sktransfer.inputs.images import read_images
from sktransfer.networks import plan_cut
from sktransfer.training.finetuning.checkpoint import TrainingState, TuningCheckpoint
from sktransfer.training.pretraining import training
from sktransfer.training.pretraining.result import find_result
from sktransfer.training.pretraining.storage import write_weights
from sktransfer.weights import has_recipe, read_weights_and_record
from tests.fuzz import structures

WHO = "fuzz"
#: A change of an input that keeps its format.
Change = Callable[[Random, bytes], bytes]


class WrongResult(Exception):
    """A parser took an input, and what it gave is not what it promises."""


class Target:
    """One parser.

    The input is written to a file of its own folder, `fuzzed` with the `suffix`. An error must name
    it, or what `named` says instead.
    """

    name: ClassVar[str]
    suffix: ClassVar[str] = ""
    named: ClassVar[str] = "fuzzed"
    #: Whether files beside the input are expected, as a store has them.
    has_company: ClassVar[bool] = False
    #: Whether the file is read in a process of its own, which may crash, hang or want memory.
    is_isolated: ClassVar[bool] = False
    changes: ClassVar[tuple[Change, ...]] = ()

    @cached_property
    def seeds(self) -> list[bytes]:
        """Valid inputs, among which no two are alike."""
        with tempfile.TemporaryDirectory() as folder:
            return list(dict.fromkeys(self.make_seeds(Path(folder))))

    def make_seeds(self, folder: Path) -> list[bytes]:
        """Make valid inputs, with files in a folder if that is easier."""
        raise NotImplementedError

    def prepare(self, path: Path) -> None:
        """Put beside the input what belongs there."""

    def run(self, path: Path) -> None:
        """Parse, and check what comes out."""
        raise NotImplementedError


def check(condition: Any, reason: str) -> None:
    """Hold a parser to what it promises of its result."""
    if not condition:
        raise WrongResult(reason)


# -- images


def _image_bytes() -> list[bytes]:
    """Write small images in every form that Pillow writes and reads."""
    from PIL import Image, features

    noise = np.random.default_rng(0).integers(0, 256, (5, 7, 4), dtype=np.uint8)
    colour = Image.fromarray(noise[..., :3])
    alpha = Image.fromarray(noise)
    grey = Image.fromarray(noise[..., 0])
    palette = colour.quantize(16)
    deep = Image.fromarray(noise[..., 0].astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112] = 6
    strip = Image.new("L", (60_000, 1))
    wanted: list[tuple[str, Image.Image, dict[str, Any]]] = [
        *(("PNG", image, {}) for image in (colour, alpha, grey, palette, deep, strip)),
        ("PNG", grey.convert("1"), {}),
        ("PNG", alpha.convert("LA"), {}),
        ("PNG", palette, {"transparency": b"\0\x80\xff"}),
        ("PNG", grey, {"transparency": 3}),
        ("PNG", colour, {"exif": exif, "dpi": (72, 72)}),
        ("PNG", colour, {"save_all": True, "append_images": [colour.transpose(0)]}),
        *(("JPEG", image, {}) for image in (colour, grey, colour.convert("CMYK"))),
        ("JPEG", colour, {"exif": exif, "progressive": True}),
        ("MPO", colour, {"save_all": True, "append_images": [colour]}),
        ("GIF", palette, {"save_all": True, "append_images": [palette], "transparency": 0}),
        *(("TIFF", image, {}) for image in (colour, alpha, grey, palette, deep)),
        ("TIFF", colour, {"compression": "tiff_lzw", "exif": exif}),
        ("TIFF", grey.convert("1"), {"compression": "group4"}),
        ("TIFF", colour, {"compression": "jpeg"}),
        ("TIFF", colour, {"compression": "tiff_deflate", "big_tiff": True}),
        ("TIFF", Image.fromarray(noise[..., 0].astype(np.float32)), {}),
        ("TIFF", Image.fromarray(noise[..., 0].astype(np.int32)), {}),
        *((kind, colour, {}) for kind in ("BMP", "PPM", "TGA", "PCX", "SGI", "DDS", "DIB", "ICO")),
        *((kind, grey, {}) for kind in ("BMP", "PPM", "TGA", "IM", "SGI")),
        ("TGA", colour, {"compression": "tga_rle"}),
        ("PPM", deep, {}),
        ("SPIDER", Image.fromarray(noise[..., 0].astype(np.float32)), {}),
        ("MSP", grey.convert("1"), {}),
        ("XBM", grey.convert("1"), {}),
        ("BLP", palette, {}),
        ("ICNS", colour.resize((16, 16)), {}),
        ("EPS", colour, {}),
    ]
    if features.check("webp"):
        wanted += [("WEBP", colour, {}), ("WEBP", alpha, {"lossless": True})]
    if features.check("jpg_2000"):
        wanted += [("JPEG2000", colour, {}), ("JPEG2000", grey, {"no_jp2": True})]
    if features.check("avif"):
        wanted.append(("AVIF", colour, {}))
    written = []
    for kind, image, options in wanted:
        file = io.BytesIO()
        image.save(file, kind, **options)
        written.append(file.getvalue())
    wide = b"P5 7 5 1023\n" + bytes(70)
    return [*written, wide, b"P3 1 1 255\n1 2 3\n", b"P6 170000000 1 255\n"]


def _png_if_png(rng: Random, data: bytes) -> bytes:
    return structures.mutate_png(rng, data) if data.startswith(b"\x89PNG") else data


def _load(images: Any, n_bytes: int) -> None:
    """Load one image as transform does, up to the network's input."""
    images.check_files()
    resizing = Resizing(32, ASPECTS[n_bytes % 3], "bilinear", antialias=True)
    prepare, room = partial(preprocess, resizing=resizing), partial(empty_inputs, size=32)
    ((rows, inputs),) = load_all([(images, range(1))], None, prepare, room)
    check(rows == range(1), "one image gives other than one row")
    check(inputs.shape == (1, 32, 32, 3), f"the shape of an input: {inputs.shape}")
    check(np.isfinite(inputs).all(), "an input is not finite")


class ImageFiles(Target):
    """Image files, which are told apart by their content."""

    name = "images"
    changes = (_png_if_png,)

    def make_seeds(self, folder: Path) -> list[bytes]:
        return _image_bytes()

    def run(self, path: Path) -> None:
        n_bytes = path.stat().st_size
        # Every other one with a range given, without which 32-bit files are refused.
        value_range: Any = "auto" if n_bytes % 2 else (0, 65535)
        _load(read_images([str(path)], value_range=value_range, who=WHO), n_bytes)


class PilImages(Target):
    """PIL images in memory: opened, loaded, converted, or put together by hand."""

    name = "pil"
    named = "image 0"

    def make_seeds(self, folder: Path) -> list[bytes]:
        files = _image_bytes()
        opened = [bytes([how, 0]) + file for file in files for how in (0, 0, 1, 2, 3)]
        made = [
            bytes([how, mode, 3, 4]) + bytes(range(40)) for how in (4, 5, 6) for mode in range(12)
        ]
        return opened + made

    def run(self, path: Path) -> None:
        data = path.read_bytes()
        try:
            image = _build_pil(data)
        except Exception:
            return  # the user's own call has failed
        if image is not None:
            value_range: Any = "auto" if len(data) % 2 else (0, 65535)
            _load(read_images([image], value_range=value_range, who=WHO), len(data))


_MODES = ("1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "LA", "PA", "I;16")


def _build_pil(data: bytes) -> Any:
    from PIL import Image

    how, choice, content = data[0] % 8, data[1], data[2:]
    mode = _MODES[choice % len(_MODES)]
    if how < 4:
        image = Image.open(io.BytesIO(content))
        if how == 0:
            return image
        if image.width * image.height > 1 << 20:
            return None
        image.load()
        if how == 2:
            return image.copy()
        return image.convert(mode) if how == 3 else image
    width, height, filling = content[0] % 32, content[1] % 32, content[2:] or b"\0"
    n_bytes = len(Image.new(mode, (width, height)).tobytes())
    pixels = (filling * (n_bytes // len(filling) + 1))[:n_bytes]
    image = Image.frombytes(mode, (width, height), pixels)
    if how == 5:
        odd = (filling[:1], filling, filling[0], (1, 2, 3), (300,), None, "text", -1, 1.5, [1])
        image.info["transparency"] = odd[filling[0] % len(odd)]
    elif how == 6:
        image.info["exif"] = b"Exif\0\0" + filling
        image.getexif()[0x0112] = filling[0] % 12
    elif how == 7 and mode in ("P", "PA", "L"):
        image.putpalette(filling[:768], ("RGB", "RGBA", "L")[filling[0] % 3])
    return image


# -- weights and what HDF5 records of them


@contextmanager
def read_here() -> Iterator[None]:
    """Read HDF5 files in this process: a hundred times as fast, with the same function."""

    def ask(request: Mapping[str, Any]) -> Iterator[Any]:
        try:
            for item in hdf5.answer(json.loads(json.dumps(request))):
                yield json.loads(json.dumps(item)) if isinstance(item, dict) else item
        except (MemoryError, hdf5.RefusedError):
            raise
        except Exception as error:  # as the program hands it on
            raise ValueError(str(error)[:1000]) from error

    kept = isolated.ask
    isolated.ask = ask
    try:
        yield
    finally:
        isolated.ask = kept


def isolate_briefly() -> None:
    """Give the process that reads such files less time than an input has here."""
    isolated.CPU_SECONDS = 2
    isolated.SECONDS = 8


class WeightsFiles(Target):
    """HDF5 files of weights, as the reading process reads them."""

    name = "weights"
    suffix = ".h5"
    is_isolated = True
    changes = (structures.mutate_hdf5,)
    _cut = plan_cut("block1_conv1")

    def make_seeds(self, folder: Path) -> list[bytes]:
        import h5py

        made = []
        pair = np.zeros((3, 3, 3, 64), np.float32), np.zeros(64, np.float32)
        plain = folder / "plain.h5"
        write_weights(plain, {"block1_conv1": pair}, {"input_size": 32, "recipe": "{}"})
        made.append(plain.read_bytes())
        for version, layout in (("earliest", "named"), ("latest", "nameless"), ("latest", "model")):
            path = folder / "other.h5"
            with h5py.File(path, "w", libver=version) as file:
                if layout == "model":
                    group = file.create_group("model_weights/block1_conv1")
                    names = [f"block1_conv1/{kind}:0" for kind in ("kernel", "bias")]
                    group.attrs["weight_names"] = np.array([each.encode() for each in names])
                else:
                    group = file.create_group("layers/conv2d/vars")
                    if layout == "named":
                        group.attrs["name"] = "block1_conv1"
                    names = ["0", "1"]
                for each, values in zip(names, pair, strict=True):
                    group.create_dataset(each, data=values, compression="gzip", chunks=values.shape)
            made.append(path.read_bytes())
        return made

    def run(self, path: Path) -> None:
        has_recipe(path)
        weights, size, _ = read_weights_and_record(path, self._cut, who=WHO)
        check(size is None or size >= 32, f"an input size: {size}")
        self._check(weights)

    def _check(self, weights: Any) -> None:
        check(list(weights) == ["block1_conv1"], f"layers: {list(weights)}")
        shapes = [values.shape for values in weights["block1_conv1"]]
        check(shapes == [(3, 3, 3, 64), (64,)], f"shapes: {shapes}")
        for values in weights["block1_conv1"]:
            check(values.dtype == np.float32 and np.isfinite(values).all(), "weights not finite")


class PretrainingRecipes(Target):
    """What a file of pretrained weights records of how it was made."""

    name = "recipe"
    suffix = ".h5"
    is_isolated = True
    changes = (structures.mutate_hdf5,)
    _identity: ClassVar[dict[str, Any]] = {
        "format": 2,
        "n_images": 64,
        "n_classes": 5,
        "sizes": [32],
    }

    def make_seeds(self, folder: Path) -> list[bytes]:
        path = folder / "weights.h5"
        pair = np.zeros((3, 3, 3, 4), np.float32), np.zeros(4, np.float32)
        history = [{"step": 1, "loss": 0.5, "accuracy": None}]
        facts = {
            "input_size": 32,
            "license": "BSD-3-Clause",
            "recipe": json.dumps(self._identity | {"made_with": {"keras": "3.0"}}),
            "accuracy": 0.5,
            "history": json.dumps(history),
            "sha256": "0" * 64,
        }
        write_weights(path, {"block1_conv1": pair}, facts)
        return [path.read_bytes()]

    def run(self, path: Path) -> None:
        found = find_result(path, self._identity)
        assert found is not None
        check(isinstance(found.history, list), "a history that is no list")
        check(type(found.n_images) is int and found.n_images > 0, "a wrong number of images")
        check(isinstance(found.accuracy, float) and 0 <= found.accuracy <= 1, "a wrong accuracy")
        check(isinstance(found.weights_sha256, str), "a hash that is no text")
        str(found)


# -- data sets


class Archives(Target):
    """Archives of labelled images."""

    name = "npz"
    suffix = ".npz"
    changes = (structures.mutate_npz,)

    def make_seeds(self, folder: Path) -> list[bytes]:
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (6, 3, 4), dtype=np.uint8)
        labels: list[Any] = [[6, 8, 8, 6, 8, 6], list("abcabc"), np.array(list(b"abcabc"))]
        made = []
        for save, label in zip((np.savez, np.savez_compressed, np.savez), labels, strict=True):
            file = io.BytesIO()
            save(file, images=images, labels=np.array(label))
            made.append(file.getvalue())
        return made

    def run(self, path: Path) -> None:
        found = read_labelled_images(path)
        check(len(found.data) == len(found.target) > 0, "other than one label per image")
        check(found.data.dtype.kind in "buif", "images that are no numbers")
        check(set(found.target_names) == set(found.target), "names that are not the labels")


_TABLE = "label,pixel0,pixel1,pixel2,pixel3\n6,0,255,0,9\n8,1,2,3,4\n7,0,0,0,0\n"


class PixelTables(Target):
    """CSV files of pixels with a column of labels."""

    name = "csv"
    suffix = ".csv"
    changes = (structures.mutate_table, structures.mutate_table)

    def make_seeds(self, folder: Path) -> list[bytes]:
        others = (
            'a,"label",b,c\r\n0.5,"cat",1,2\r\n\r\n1,dog,-3,1e3\r\n',
            "pixel0,label\n1,1\n2,0",
            "\ufefflabel,pixel0\n\u00e9,1\n",
        )
        return [_TABLE.encode(), gzip.compress(_TABLE.encode(), mtime=0), *map(str.encode, others)]

    def run(self, path: Path) -> None:
        found = read_pixel_csv(path)
        check(len(found.data) == len(found.target) > 0, "other than one label per row")
        check(found.data.shape[1] == len(found.feature_names), "other than one name per column")
        check(found.data.dtype in (np.uint8, np.float64), f"the type of pixels: {found.data.dtype}")
        check(np.isfinite(found.data).all(), "pixels that are not finite")
        raw = path.read_bytes()
        if not raw.startswith(b"\x1f\x8b"):
            # As Python reads lines of a text file.
            lines = io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8-sig").readlines()
            n_rows = sum(bool(line.strip()) for line in lines) - 1
            check(len(found.data) == n_rows, f"rows other than lines: {len(found.data)}, {n_rows}")


class Lists(Target):
    """Text files of a path in each line, as an extraction takes them."""

    name = "list_text"
    suffix = ".txt"
    changes = (structures.mutate_table,)

    def make_seeds(self, folder: Path) -> list[bytes]:
        return [b"a.png\nb/c.jpg\n", "\ufeff\u00e9.png\r\n\r\n/x y.tif".encode(), b"\xe9.png\n"]

    def run(self, path: Path) -> None:
        source = read_source(
            str(path),
            labels=None,
            path_column="path",
            label_column="label",
            image_shape=None,
            value_range="auto",
            who=WHO,
        )
        entries = list(list_entries(source, None))
        digest, n_inputs = fingerprint(source, list_entries(source, None))
        check(n_inputs == len(entries), "entries that are not counted")
        check((digest, n_inputs) == fingerprint(source, entries), "a list that changes")
        for entry, label in entries:
            check(isinstance(entry, str) and entry, "a path that is no text")
            check(label is None or isinstance(label, str), "a label that is no text")


class ListTables(Lists):
    """CSV files with a column of paths, as an extraction takes them."""

    name = "list_csv"
    suffix = ".csv"

    def make_seeds(self, folder: Path) -> list[bytes]:
        return [
            b"path,label\na.png,cat\nb/c.jpg,dog\n",
            '\ufeff"label","path"\r\n"a,b","\u00e9.png"\r\n'.encode(),
            b'id,path\n1,"a\nb.png"\n2,\xe9.png\n',
        ]


# -- states of unfinished runs


class ProgressFiles(Target):
    """How far an extraction has come."""

    name = "progress"
    suffix = ".sqlite"
    named = "inputs"  # the folder of the run
    has_company = True
    changes = (structures.mutate_sql, structures.mutate_sql)
    _identity: ClassVar[dict[str, Any]] = {"format": 1, "on_error": "skip", "recipes": ["{}"]}
    _entries: ClassVar[list[tuple[str, str | None]]] = [
        ("a.png", "cat"),
        ("b.png", None),
        (b"\xe9.png".decode("utf-8", "surrogateescape"), "x"),
    ]

    def make_seeds(self, folder: Path) -> list[bytes]:
        path = folder / NAME
        _small_pages(path)
        progress = Progress(path)
        progress.begin(self._identity, self._entries)
        begun = path.read_bytes()
        progress.commit(0, 2, 1, {1: "no such file"}, self._digest(0, 1))
        progress.commit(1, 3, 2, {}, self._digest(1, 1))
        progress.close()
        return [begun, path.read_bytes()]

    def _digest(self, block: int, n_rows: int) -> bytes:
        return bytes([block, n_rows % 256]) * 8

    def run(self, path: Path) -> None:
        path.rename(path.with_name(NAME))
        with explained(path.parent):
            progress = Progress(path.with_name(NAME))
            try:
                self._go_on(progress)
            finally:
                progress.close()

    def _go_on(self, progress: Progress) -> None:
        """Do what the next run does, in its order."""
        identity = progress.identity
        if identity is None:
            progress.begin(self._identity, self._entries)
        else:
            progress.check_inputs(self._entries)
        progress.roll_back(self._digest, verbose=0)
        counts = (progress.n_read, progress.n_rows)
        check(counts in ((0, 0), (2, 1), (3, 2)), f"counts: {counts}")
        check(progress.n_inputs == 3, "a wrong number of inputs")
        check(progress.entries(0, 3) == self._entries, "other inputs")
        failures = list(progress.failures())
        known = [(1, "b.png", "no such file")]
        check(failures == (known if counts[0] else []), f"failures: {failures}")
        rows = [position for position, _, _ in progress.rows(with_failed=False)]
        check(rows == ([0, 2] if counts[0] else [0, 1, 2]), f"rows: {rows}")


class ExtractionRecords(Target):
    """The record beside a finished extraction."""

    name = "record"
    suffix = ".npy.json"
    has_company = True
    changes = (structures.mutate_json_bytes, structures.mutate_json_bytes)
    _identity: ClassVar[dict[str, Any]] = {
        "format": 1,
        "inputs": "0" * 32,
        "on_error": "raise",
        "recipes": ['{"size":32,"weights":"0"}'],
        "value_range": "auto",
    }

    def make_seeds(self, folder: Path) -> list[bytes]:
        facts = {"n_inputs": 3, "n_rows": 3, "n_features": 2, "n_failed": 0}
        names = {"sktransfer": "1.0", "feature_names": ["a", "b"]}
        other = self._identity | {"recipes": ['{"size":64,"weights":"0"}'], "on_error": "nan"}
        return [
            json.dumps(facts | names | {"identity": identity}).encode()
            for identity in (self._identity, other)
        ]

    def prepare(self, path: Path) -> None:
        path.with_name("fuzzed.npy").touch()

    def run(self, path: Path) -> None:
        found = find_complete(path.with_name("fuzzed.npy"), self._identity, WHO)
        assert found is not None
        counts = (found.n_inputs, found.n_rows, found.n_features, found.n_failed)
        check(all(type(n) is int and n >= 0 for n in counts), f"counts: {counts}")
        str(found)


def _state_bytes(facts: dict[str, Any], groups: dict[str, list[np.ndarray]], folder: Path) -> bytes:
    from sktransfer.training.checkpoints import write_state

    path = folder / "state.npz"
    write_state(path, facts, groups)
    return path.read_bytes()


class Checkpoints(Target):
    """The state of fine-tuning."""

    name = "checkpoint"
    suffix = ".npz"
    changes = (structures.mutate_npz, structures.mutate_npz)

    def make_seeds(self, folder: Path) -> list[bytes]:
        arrays = [np.zeros((2, 3), np.float32), np.ones(3, np.float32)]
        made = []
        for best in ([], arrays):
            state = TrainingState(
                phase=1,
                epoch=2,
                arrays=arrays,
                optimizers=[[np.array(3)], arrays],
                best=best,
                best_loss=0.5,
                n_without_gain=1,
                history=[
                    {"phase": phase, "epoch": epoch, "loss": 0.5}
                    for epoch, phase in enumerate(("head", "trunk", "trunk"), start=1)
                ],
            )
            TuningCheckpoint(folder, "run", WHO).save(state)
            made.append((folder / "run.npz").read_bytes())
        return made

    def run(self, path: Path) -> None:
        checkpoint = TuningCheckpoint(path.parent, path.stem, WHO)
        state = checkpoint.load([("head", 1), ("trunk", 3)], 0)
        assert state is not None
        arrays = [np.zeros((2, 3), np.float32), np.ones(3, np.float32)]
        checkpoint.check_arrays(state, arrays, [[np.array(3)], arrays])
        counts = (state.phase, state.epoch, state.n_without_gain)
        check(all(type(n) is int and n >= 0 for n in counts), f"counts: {counts}")
        check(isinstance(state.best_loss, float), "a loss that is no number")
        check(isinstance(state.history, list), "a history that is no list")
        check(all(isinstance(row, dict) for row in state.history), "a history of other than rows")
        for arrays in (state.arrays, state.best, *state.optimizers):
            check(all(isinstance(each, np.ndarray) for each in arrays), "other than arrays")


class _Variable:
    """What stands for a variable of Keras, which refuses another shape."""

    shape = (2, 3)

    def assign(self, values: Any) -> None:
        if np.shape(values) != self.shape:
            raise ValueError(f"The shape of the target variable is {self.shape}")


class PretrainingStates(Target):
    """The state of pretraining."""

    name = "pretraining"
    suffix = ".npz"
    changes = (structures.mutate_npz, structures.mutate_npz)
    _identity: ClassVar[dict[str, Any]] = {"format": 2, "n_images": 64}

    def make_seeds(self, folder: Path) -> list[bytes]:
        run = training.Run(
            step=3, seconds=1.5, loss=0.5, n_right=2, n_seen=6, history=[{"step": 1}]
        )
        variables = {"variables": [np.zeros((2, 3), np.float32)] * 2}
        return [_state_bytes({"identity": self._identity, "run": vars(run)}, variables, folder)]

    def run(self, path: Path) -> None:
        run = training.PretrainingCheckpoint(path, self._identity).load([_Variable(), _Variable()])  # type: ignore[list-item]
        counts = (run.step, run.n_right, run.n_seen)
        check(all(type(n) is int and n >= 0 for n in counts), f"counts: {counts}")
        check(isinstance(run.seconds, int | float), "a time that is no number")
        check(isinstance(run.history, list), "a history that is no list")


# -- the store

_WIDTH = 6


def _small_pages(path: Path) -> None:
    """Begin a database of pages that are small, so that much of a small file matters."""
    with_pages = sqlite3.connect(path)
    with_pages.execute("PRAGMA page_size = 1024")
    with_pages.execute("CREATE TABLE dropped (x)")
    with_pages.execute("DROP TABLE dropped")
    with_pages.close()


@cache
def _row(recipe: str, image: bytes) -> np.ndarray:
    """Return the only row that is right."""
    return np.random.default_rng([*recipe.encode(), *image]).random(_WIDTH, dtype=np.float32)


class Stores(Target):
    """Databases of features, of which no wrong row may come."""

    name = "store"
    has_company = True
    changes = (structures.mutate_sql, structures.mutate_sql)
    _recipes = ("one recipe", "another")
    _images = tuple(bytes([i]) * 16 for i in range(5))
    _new = tuple(bytes([i]) * 16 for i in range(5, 8))
    _file = "features-0001.sqlite"

    def make_seeds(self, folder: Path) -> list[bytes]:
        _small_pages(folder / self._file)
        with FeatureStore(folder).open() as use:
            self._write(use, self._images)
        return [(folder / self._file).read_bytes()]

    def _write(self, use: StoreUse, images: tuple[bytes, ...]) -> None:
        for recipe in self._recipes:
            use.write(recipe, images, np.array([_row(recipe, image) for image in images]))

    def _read(self, use: StoreUse, images: tuple[bytes, ...]) -> None:
        for recipe in self._recipes:
            out = np.zeros((len(images), _WIDTH), np.float32)
            found = use.read(recipe, images, out)
            for image, is_found, row in zip(images, found, out, strict=True):
                wrong = is_found and not np.array_equal(row, _row(recipe, image))
                check(not wrong, f"a wrong row: {recipe!r}, {image[0]}")

    def run(self, path: Path) -> None:
        path.rename(path.with_name(self._file))
        store = FeatureStore(path.parent, max_bytes=1 << 24)
        with store.open() as use:
            self._read(use, self._images)
            self._write(use, self._new)
        with store.open() as use:
            self._read(use, self._images + self._new)
        info = store.info()
        check(type(info.n_rows) is int and info.n_rows >= 0, "a wrong number of rows")
        str(info)


class StoreLogs(Stores):
    """The logs of such databases, which hold what was written last."""

    name = "store_log"
    changes = ()

    def make_seeds(self, folder: Path) -> list[bytes]:
        (self._database,) = super().make_seeds(folder)
        # A second connection keeps the log, which the last one to close removes.
        kept = sqlite3.connect(folder / self._file)
        kept.execute("SELECT count(*) FROM entry").fetchone()
        with FeatureStore(folder).open() as use:
            self._write(use, self._new)
        log = (folder / f"{self._file}-wal").read_bytes()
        kept.close()
        return [log]

    def run(self, path: Path) -> None:
        path.rename(path.with_name(f"{self._file}-wal"))
        path.write_bytes(self._database)
        super().run(path)


TARGETS: dict[str, Target] = {
    kind.name: kind()
    for kind in (
        *(ImageFiles, PilImages, WeightsFiles, PretrainingRecipes, Archives, PixelTables, Lists),
        *(ListTables, ProgressFiles, ExtractionRecords, Checkpoints, PretrainingStates),
        *(Stores, StoreLogs),
    )
}


def clear(folder: Path) -> None:
    """Empty a folder."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink()

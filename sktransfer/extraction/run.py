"""Extract: inputs listed once, features computed as a stream, written block by block.

The folder `OUT.partial` holds the record of the run and what is written so far. What stands there
is moved to its place when it is complete: a file under the name of the output is a whole one.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from sktransfer.computing import Task, stream_features
from sktransfer.decoding import decode, explain
from sktransfer.extraction.output import Extraction, differences, find_complete, finish, work_folder
from sktransfer.extraction.progress import Progress
from sktransfer.extraction.sources import (
    Entry,
    Files,
    UnreadableImages,
    fingerprint,
    list_entries,
    read_source,
)
from sktransfer.extraction.writers import WRITERS, Row, Writer
from sktransfer.extractor import MAX_CALIBRATION, VGGFeatureExtractor
from sktransfer.images import ArrayImages, Images

ON_ERROR = ("raise", "skip", "nan")

# Part of what identifies an output; a change of how blocks are cut or written must change it.
_FORMAT = 1
# A block is what an interruption may cost: neither minutes of computing nor millions of files.
_BLOCK_BYTES = 64 << 20
_BLOCK_ROWS = ((64, 8192), (math.inf, 1024))


def extract(
    images: Any,
    out: str | os.PathLike,
    *,
    extractor: VGGFeatureExtractor | None = None,
    labels: Sequence[Any] | None = None,
    on_error: str = "raise",
    path_column: str = "path",
    label_column: str = "label",
    verbose: int = 0,
) -> Extraction:
    """Write the features of any number of images to a file, in constant memory.

    Files are decoded by all processors while the network runs on those before. One row per input,
    in their order. A run that was interrupted at any point, by ``Ctrl-C``, ``kill -9`` or a power
    cut, goes on when the same call is made again, and the result is the same to the byte.

    Parameters
    ----------
    images : path-like, sequence of paths, or array-like
        A folder, whose images are taken at any depth; a text file with a path in each line; a
        ``.csv`` file with a column of paths; a sequence of paths; or an array of pixels as an
        extractor takes it, such as a memory map. Paths in files are relative to the file's folder.
    out : path-like
        Where features go, by its ending: ``.npy``, ``.zarr`` or ``.parquet`` (a folder of parts).
    extractor : VGGFeatureExtractor or None, default=None
        What computes the features, fitted or not; never changed. None takes its defaults. Its
        `cache` is not used: the output is where features are kept.
    labels : sequence or None, default=None
        A label for each of a sequence of paths or of an array, written beside the features. Images
        in folders have the name of the topmost folder below `images`, rows of a CSV file their
        `label_column`.
    on_error : {'raise', 'skip', 'nan'}, default='raise'
        What an image means that cannot be read: an error, with what was written before it kept; no
        row; or a row of NaN.
    path_column, label_column : str, default='path' and 'label'
        Columns of a CSV file; that of labels may be missing.
    verbose : int, default=0
        Above 0, a progress bar with images per second and the time left.

    Returns
    -------
    Extraction
        What was written, and where.

    Raises
    ------
    OSError
        If images cannot be read, or the output cannot be written; what was written is kept.
    ValueError, TypeError
        If a parameter is wrong, the inputs are not those of the interrupted run, or there is an
        output of another recipe.
    ImportError
        If the package that writes this kind of file is not installed.

    See Also
    --------
    VGGFeatureExtractor.transform : The same in memory.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from sktransfer import VGGFeatureExtractor, extract
    >>> X = np.random.default_rng(0).integers(0, 256, (5, 8, 8), dtype=np.uint8)
    >>> extractor = VGGFeatureExtractor(
    ...     "block1_pool", weights=None, pooling="avg", input_size=32, random_state=0
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     done = extract(X, Path(folder, "features.npy"), extractor=extractor)
    ...     np.load(done.path).shape
    (5, 64)
    """
    who = "extract"
    out = Path(out)
    _check_parameters(out, extractor, on_error, who)
    extractor = VGGFeatureExtractor() if extractor is None else extractor
    source = read_source(
        images,
        labels=labels,
        path_column=path_column,
        label_column=label_column,
        image_shape=extractor.image_shape,
        value_range=extractor.value_range,
        who=who,
    )
    digest, n_inputs = fingerprint(source, list_entries(source, labels))
    if n_inputs == 0:
        raise ValueError(f"{who} needs at least one image. Got {images!r}, which holds none.")
    fitted = _fit(extractor, source, n_inputs, who)
    value_range = fitted.value_range_
    if isinstance(source, ArrayImages):
        value_range = fitted._check_new(source)
    task = fitted._task(*fitted._fitted_network(), value_range)
    identity = {
        "format": _FORMAT,
        "inputs": digest,
        "on_error": on_error,
        "recipes": list(task.recipes),
        # Files have one each, by their bit depth, where none is given.
        "value_range": fitted.value_range if isinstance(source, Files) else value_range,
    }
    identity = json.loads(json.dumps(identity))  # as it is read back: tuples become lists
    done = find_complete(out, identity, who)
    if done is not None:
        return done
    with work_folder(out, who) as folder:
        progress = Progress(folder / "progress.sqlite")
        try:
            _begin(progress, identity, list_entries(source, labels), folder, who)
            names = fitted.get_feature_names_out().tolist()
            writer = WRITERS[out.suffix](folder / f"data{out.suffix}", _block_rows(task), names)
            pieces = _pieces(source, fitted, task, progress)
            _run(pieces, task, writer, progress, verbose, folder)
            done = finish(out, writer, progress, fitted, names)
        except UnreadableImages:
            raise
        except (OSError, sqlite3.OperationalError) as error:
            raise OSError(
                f"{who} cannot write to {str(folder)!r}: {error}. What is written is kept: make "
                "room or mend the fault, and make the same call again to go on."
            ) from error
        finally:
            progress.close()
        shutil.rmtree(folder)
    return done


def _check_parameters(out: Path, extractor: Any, on_error: Any, who: str) -> None:
    if out.suffix not in WRITERS:
        raise ValueError(
            f"The 'out' parameter of {who} must end with {', '.join(WRITERS)}. Got {str(out)!r} "
            "instead."
        )
    if not out.absolute().parent.is_dir():
        raise FileNotFoundError(
            f"The 'out' parameter of {who} must lie in a folder that exists. Got {str(out)!r}: "
            "make its folder first."
        )
    if on_error not in ON_ERROR:
        raise ValueError(
            f"The 'on_error' parameter of {who} must be 'raise', 'skip' or 'nan'. Got "
            f"{on_error!r} instead."
        )
    if not (extractor is None or isinstance(extractor, VGGFeatureExtractor)):
        raise TypeError(
            f"The 'extractor' parameter of {who} must be a VGGFeatureExtractor or None. Got "
            f"{extractor!r} instead."
        )


def _fit(
    extractor: VGGFeatureExtractor, source: Files | ArrayImages, n_inputs: int, who: str
) -> VGGFeatureExtractor:
    """Return the extractor fitted: on all pixels of an array, on few files of many."""
    try:
        check_is_fitted(extractor)
    except NotFittedError:
        extractor = clone(extractor)
    else:
        return extractor
    if isinstance(source, ArrayImages):
        return extractor.fit(source.data)
    calibrates = extractor.precision == "int8" and extractor.calibration is None
    n_sample = min(n_inputs, MAX_CALIBRATION if calibrates else 1)
    return extractor.fit(_sample(source, n_inputs, n_sample, who))


def _sample(source: Files, n_inputs: int, n_sample: int, who: str) -> list[str]:
    """Take files that can be read, evenly spread: the same in every run."""
    sample: list[str] = []
    reason = ""
    for position, (path, _) in enumerate(source):
        if len(sample) == n_sample:
            break
        if position < len(sample) * n_inputs // n_sample:
            continue
        try:
            decode(path)
        except (OSError, ValueError) as error:
            reason = reason or f"{path!r}: {explain(error)}"
        else:
            sample.append(path)
    if not sample:
        raise UnreadableImages(
            f"{who} needs images that can be read. Got {n_inputs:,} files, none of which can. The "
            f"first is {reason}."
        )
    return sample


def _block_rows(task: Task) -> int:
    most = next(rows for size, rows in _BLOCK_ROWS if task.cut.input_size <= size)
    return max(1, min(most, _BLOCK_BYTES // (4 * task.cut.n_features)))


def _begin(
    progress: Progress, identity: dict[str, Any], entries: Iterable[Entry], folder: Path, who: str
) -> None:
    """Begin a run, or check that this one goes on with what was begun."""
    begun = progress.identity
    if begun is None:
        progress.begin(identity, entries)
    elif begun != identity:
        raise ValueError(
            f"{who} found an unfinished run in {str(folder)!r}, which differs in "
            f"{differences(begun, identity)}. Make the same call as then to go on with its "
            f"{progress.n_rows:,} rows, or remove the folder to begin anew."
        )


def _run(
    pieces: Iterable[tuple[list[Row], Images]],
    task: Task,
    writer: Writer,
    progress: Progress,
    verbose: int,
    folder: Path,
) -> None:
    """Compute what is missing, and write it block by block."""
    from tqdm.auto import tqdm

    assert progress.identity is not None
    on_error = progress.identity["on_error"]
    rows = np.empty((_block_rows(task), task.cut.n_features), dtype=np.float32)
    entries: list[Row] = []
    failures: dict[int, str] = {}
    n_read, n_rows = progress.n_read, progress.n_rows

    def save() -> None:
        nonlocal n_rows
        if entries:
            writer.write(n_rows // len(rows), rows[: len(entries)], entries)
        n_rows += len(entries)
        progress.commit(n_read, n_rows, failures)
        entries.clear()
        failures.clear()

    with tqdm(
        total=progress.n_inputs, initial=n_read, unit="image", desc="extract", disable=not verbose
    ) as bar:
        for listed, found, unreadable in stream_features(pieces, task):
            if unreadable and on_error == "raise":
                _raise_unreadable([(listed[i][1], why) for i, why in unreadable.items()], folder)
            for i, entry in enumerate(listed):
                n_read = entry[0] + 1
                if i in unreadable:
                    failures[entry[0]] = unreadable[i]
                if i not in unreadable or on_error == "nan":
                    rows[len(entries)] = found[i]
                    entries.append(entry)
                if len(entries) == len(rows):
                    save()
            bar.update(len(listed))
        if entries or failures:
            save()


def _pieces(
    source: Files | ArrayImages, fitted: VGGFeatureExtractor, task: Task, progress: Progress
) -> Iterator[tuple[list[Row], Images]]:
    """Yield the inputs that are not done with, as many at a time as are computed at once."""
    size = task.chunk_size()
    for start in range(progress.n_read, progress.n_inputs, size):
        stop = min(start + size, progress.n_inputs)
        listed = [(start + i, *entry) for i, entry in enumerate(progress.entries(start, stop))]
        if isinstance(source, ArrayImages):
            yield listed, source.take(slice(start, stop))
        else:
            yield listed, fitted._read([path for _, path, _ in listed])


def _raise_unreadable(unreadable: list[tuple[str, str]], folder: Path) -> None:
    lines = "\n".join(f"  {path!r}: {reason}" for path, reason in unreadable)
    raise UnreadableImages(
        "extract needs image files that exist and can be read without loss. These cannot:\n"
        f"{lines}\nRepair them and make the same call again, which goes on with what is written in "
        f"{str(folder)!r}; or remove that folder and set on_error='skip' or 'nan' (--on-error), "
        "which lists all such files in a report."
    )

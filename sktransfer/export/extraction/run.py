"""Extract: list the inputs once, compute features as a stream, write them block by block.

The folder `OUT.partial` holds the record of the run and the blocks written so far. Files are moved
to their places when they are complete: a file under the name of the output is always complete.
"""

from __future__ import annotations

import errno
import json
import math
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from sktransfer.base import name_extractor_in
from sktransfer.export.extraction.output import (
    Extraction,
    check_beside,
    differences,
    find_complete,
    finish,
    partial_folder,
    warn_of_changes,
    work_folder,
)
from sktransfer.export.extraction.progress import NAME, Progress, explained
from sktransfer.export.extraction.sources import (
    Entry,
    Files,
    UnreadableImages,
    fingerprint,
    list_entries,
    read_source,
    spell,
)
from sktransfer.export.extraction.writers import WRITERS, Row, Writer
from sktransfer.extractor import VGGFeatureExtractor
from sktransfer.features.estimator import FeatureExtractor
from sktransfer.features.fitted import check_images, check_parameters, get_reader, get_runner
from sktransfer.features.fitting import MAX_CALIBRATION
from sktransfer.inputs.decoding import decode, explain, raise_if_exhausted
from sktransfer.inputs.images import ArrayImages, Images
from sktransfer.inputs.reader import Reader
from sktransfer.inputs.scale import ValueRange
from sktransfer.networks import AnyCut
from sktransfer.networks.outputs import side_of

ON_ERROR = ("raise", "skip", "nan")

# Part of what identifies an output; a change of how blocks are cut or written must change it.
_FORMAT = 1
# An interruption costs one block: neither minutes of computing nor millions of files.
_BLOCK_BYTES = 64 << 20
_BLOCK_ROWS = ((64, 8192), (math.inf, 1024))


def extract(
    images: Any,
    out: str | os.PathLike,
    *,
    extractor: FeatureExtractor | None = None,
    labels: Sequence[Any] | None = None,
    on_error: str = "raise",
    path_column: str = "path",
    label_column: str = "label",
    verbose: int = 0,
) -> Extraction:
    """Write the features of any number of images to a file, in constant memory.

    All cores decode files while the network runs on the previous ones. There is one row per input,
    in the order of the inputs. If a run was interrupted by ``Ctrl-C``, ``kill -9`` or a power cut,
    make the same call again: it resumes, and the result is the same byte for byte. Rows that were
    lost or changed in between are computed again, with a warning.

    Parameters
    ----------
    images : path-like, sequence of paths, or array-like
        A folder with images at any depth; a text file with one path per line; a ``.csv`` file with
        a column of paths; a sequence of paths; or an array of pixels in any form that the
        extractor accepts, such as a memory map. Paths in files are relative to the file's folder.
    out : path-like
        The output. Its ending sets the format: ``.npy``, ``.zarr`` or ``.parquet`` (a folder of
        parts).
    extractor : VGGFeatureExtractor, ImageFeatureExtractor or None, default=None
        Computes the features, fitted or not; never changed. None means its defaults. Its `cache`
        is not used, because the output holds the features.
    labels : sequence or None, default=None
        A label for each path of a sequence or each image of an array, written with the features.
        The label of images in folders is the name of the topmost folder below `images`, that of
        rows of a CSV file is in `label_column`.
    on_error : {'raise', 'skip', 'nan'}, default='raise'
        How to handle an image that cannot be read: raise an error and keep the rows written
        before; write no row; or write a row of NaN.
    path_column, label_column : str, default='path' and 'label'
        Columns of a CSV file; that of labels may be missing.
    verbose : int, default=0
        Above 0, a progress bar with images per second and the time left.

    Returns
    -------
    Extraction
        The files written, and the number of rows.

    Raises
    ------
    OSError
        If images cannot be read, or the output cannot be written; rows written before are kept.
    ValueError, TypeError
        If a parameter is invalid, the inputs are not those of the interrupted run, its record is
        damaged, or there is an output of another recipe.
    ImportError
        If the package for this file format is not installed.

    See Also
    --------
    VGGFeatureExtractor.transform : Return features in memory.

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
    check_parameters(extractor)
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
        value_range = check_images(fitted, source)
    identity = {
        "format": _FORMAT,
        "inputs": digest,
        "on_error": on_error,
        "recipes": get_runner(fitted).recipes(),
        # Files have one each, by their bit depth, where none is given.
        "value_range": _file_range(fitted) or "auto" if isinstance(source, Files) else value_range,
    }
    identity = json.loads(json.dumps(identity))  # as it is read back: tuples become lists
    done = find_complete(out, identity, who)
    if done is not None:
        _remove_leftovers(out, who)
        warn_of_changes(out, list_entries(source, labels), who)
        return done
    return _complete(out, identity, source, labels, fitted, value_range, verbose, who)


def _complete(
    out: Path,
    identity: dict[str, Any],
    source: Files | ArrayImages,
    labels: Sequence[Any] | None,
    fitted: FeatureExtractor,
    value_range: ValueRange | None,
    verbose: int,
    who: str,
) -> Extraction:
    """Start a run or continue it, and bring it to its end."""
    reader, runner = get_reader(fitted), get_runner(fitted)
    names = fitted.get_feature_names_out().tolist()
    block_rows = _block_rows(runner.cut)
    with work_folder(out, who) as folder:
        done = find_complete(out, identity, who)  # which another process may just have written
        if done is not None:
            return done
        with explained(folder):
            writer = WRITERS[out.suffix](folder / f"data{out.suffix}", block_rows, names)
            progress = Progress(folder / NAME)
        with closing(progress):
            with explained(folder):
                check_beside(out, progress.placed, who)
                _begin(progress, identity, list_entries(source, labels), folder, who)
                _keep_sound_blocks(progress, writer, folder, verbose, who)
            pieces = _pieces(source, reader, runner.chunk_size(), progress, folder)
            rows = np.empty((block_rows, runner.cut.n_features), dtype=np.float32)
            with closing(runner.stream(pieces, value_range)) as stream:
                _run(stream, rows, writer, progress, verbose, folder)
            with explained(folder):
                done = finish(out, writer, progress, fitted, names)
    return done


def _check_parameters(out: Path, extractor: Any, on_error: Any, who: str) -> None:
    if out.suffix not in WRITERS:
        raise ValueError(
            f"The 'out' parameter of {who} must end with {', '.join(WRITERS)}. Got {str(out)!r} "
            "instead."
        )
    try:
        # The longest of the names.
        out.with_name(f"{out.name}.failed.csv").lstat()
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError) or error.errno == errno.ENAMETOOLONG:
            raise ValueError(
                f"The 'out' parameter of {who} must be a name that a file can have, also with "
                f"'.failed.csv' behind it. Got {str(out)!r}: {error}. Choose another name."
            ) from error
    if not out.absolute().parent.is_dir():
        raise FileNotFoundError(
            f"The 'out' parameter of {who} must be in a folder that exists. Got {str(out)!r}: "
            "create its folder first."
        )
    if on_error not in ON_ERROR:
        raise ValueError(
            f"The 'on_error' parameter of {who} must be 'raise', 'skip' or 'nan'. Got "
            f"{on_error!r} instead."
        )
    if not (extractor is None or isinstance(extractor, FeatureExtractor)):
        raise TypeError(
            f"The 'extractor' parameter of {who} must be a VGGFeatureExtractor, an "
            f"ImageFeatureExtractor or None. Got {extractor!r} instead."
            f"{name_extractor_in(extractor)}"
        )


def _fit(
    extractor: FeatureExtractor, source: Files | ArrayImages, n_inputs: int, who: str
) -> FeatureExtractor:
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
    return extractor.fit(_sample(source, n_inputs, n_sample, _file_range(extractor), who))


def _remove_leftovers(out: Path, who: str) -> None:
    """Remove what a run left that was cut off after its output was whole."""
    if partial_folder(out).exists():
        with suppress(OSError, ValueError), work_folder(out, who):
            pass


def _file_range(extractor: FeatureExtractor) -> ValueRange | None:
    """Return the values of black and white in files as the user gave them; None for 'auto'."""
    if isinstance(extractor.value_range, str):
        return None
    black, white = extractor.value_range
    return float(black), float(white)


def _sample(
    source: Files, n_inputs: int, n_sample: int, value_range: ValueRange | None, who: str
) -> list[str]:
    """Take files that can be read, evenly spread: the same in every run."""
    sample: list[str] = []
    reason = ""
    for position, (path, _) in enumerate(source):
        if len(sample) == n_sample:
            break
        if position < len(sample) * n_inputs // n_sample:
            continue
        try:
            decode(path, value_range)
        except (OSError, ValueError) as error:
            raise_if_exhausted(error)
            reason = reason or f"{path!r}: {explain(error)}"
        else:
            sample.append(path)
    if not sample:
        raise UnreadableImages(
            f"{who} needs images that can be read. Got {n_inputs:,} files, none of which can. The "
            f"first is {reason}."
        )
    return sample


def _block_rows(cut: AnyCut) -> int:
    most = next(rows for size, rows in _BLOCK_ROWS if side_of(cut.input_size) <= size)
    return max(1, min(most, _BLOCK_BYTES // (4 * cut.n_features)))


def _begin(
    progress: Progress, identity: dict[str, Any], entries: Iterable[Entry], folder: Path, who: str
) -> None:
    """Start a run, or check that this one continues what was started."""
    begun = progress.identity
    if begun is None:
        progress.begin(identity, entries)
    elif begun == identity:
        n_lost = progress.check_inputs(entries)
        if n_lost:
            warnings.warn(
                f"{who} found input files that have changed since their rows were written to "
                f"{str(folder)!r}, and continues after the {progress.n_rows:,} rows before them: "
                f"{n_lost} blocks are computed again.",
                stacklevel=4,
            )
    else:
        raise ValueError(
            f"{who} found an unfinished run in {str(folder)!r}, which differs in "
            f"{differences(begun, identity)}. Repeat the original call to continue with its "
            f"{progress.n_rows:,} rows, or remove the folder to start again."
        )


def _keep_sound_blocks(
    progress: Progress, writer: Writer, folder: Path, verbose: int, who: str
) -> None:
    """Go back to the last block before one that is missing, cut short or changed."""
    n_lost = progress.roll_back(writer.digest, verbose=verbose)
    if n_lost:
        warnings.warn(
            f"{who} found a block of rows in {str(folder)!r} that is not what was written, and "
            f"continues after the {progress.n_rows:,} rows before it: {n_lost} blocks are computed "
            "again. If no program has changed them, check the disk.",
            stacklevel=4,
        )


def _run(
    stream: Iterable[tuple[list[Row], np.ndarray, dict[int, str]]],
    rows: np.ndarray,
    writer: Writer,
    progress: Progress,
    verbose: int,
    folder: Path,
) -> None:
    """Compute what is missing, and write it block by block."""
    from tqdm.auto import tqdm

    assert progress.identity is not None
    on_error = progress.identity["on_error"]
    entries: list[Row] = []
    failures: dict[int, str] = {}
    n_read, n_rows = progress.n_read, progress.n_rows

    def save() -> None:
        nonlocal n_rows
        block, digest = -(-n_rows // len(rows)), b""
        with explained(folder):
            if entries:
                writer.write(block, rows[: len(entries)], entries)
                digest = writer.digest(block, len(entries)) or b""
            n_rows += len(entries)
            progress.commit(block, n_read, n_rows, failures, digest)
        entries.clear()
        failures.clear()

    with tqdm(
        total=progress.n_inputs, initial=n_read, unit="image", desc="extract", disable=not verbose
    ) as bar:
        for listed, found, unreadable in stream:
            if unreadable and on_error == "raise":
                names = [(listed[i][1], why) for i, why in unreadable.items()]
                _raise_unreadable(names, folder if n_rows else None)
            for i, entry in enumerate(listed):
                n_read = entry[0] + 1
                if i in unreadable:
                    failures[entry[0]] = spell(unreadable[i])
                if i not in unreadable or on_error == "nan":
                    rows[len(entries)] = found[i]
                    entries.append(entry)
                if len(entries) == len(rows):
                    save()
            bar.update(len(listed))
        if entries or failures:
            save()


def _pieces(
    source: Files | ArrayImages,
    reader: Reader,
    size: int,
    progress: Progress,
    folder: Path,
) -> Iterator[tuple[list[Row], Images]]:
    """Yield the inputs that are not done with, so many at a time."""
    for start in range(progress.n_read, progress.n_inputs, size):
        stop = min(start + size, progress.n_inputs)
        with explained(folder):
            entries = progress.entries(start, stop)
        listed = [(start + i, *entry) for i, entry in enumerate(entries)]
        if isinstance(source, ArrayImages):
            yield listed, source.take(slice(start, stop))
        else:
            yield listed, reader.read([path for _, path, _ in listed])


def _raise_unreadable(unreadable: list[tuple[str, str]], folder: Path | None) -> None:
    """Name the files, and the folder of the rows written before them; None if there are none."""
    lines = "\n".join(f"  {path!r}: {reason}" for path, reason in unreadable)
    kept = f", which continues with what is written in {str(folder)!r}" if folder else ""
    first = "remove that folder and " if folder else ""
    raise UnreadableImages(
        "extract needs image files that exist and can be read without loss. These cannot:\n"
        f"{lines}\nRepair them and make the same call again{kept}; or {first}set "
        "on_error='skip' or 'nan' (--on-error), which lists all such files in a report."
    )

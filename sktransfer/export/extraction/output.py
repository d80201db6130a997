"""The files of an extraction: the output, and next to it its rows, failures and recipe."""

from __future__ import annotations

import json
import os
import stat
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sktransfer._version import __version__
from sktransfer.datasets.bunches import spell
from sktransfer.export.extraction.progress import NAME as PROGRESS, DamagedProgress, Progress
from sktransfer.export.extraction.sources import ROWS_HEADER, Entry, hash_states
from sktransfer.export.extraction.writers import Writer, hash_file, remove
from sktransfer.extractor import VGGFeatureExtractor
from sktransfer.files.placing import place_new
from sktransfer.files.regular import open_regular
from sktransfer.results.tables import write_csv

_LOCK = "lock"
# Shows that the folder is ours. It is made under the lock before any other file, and goes last.
_MARK = "made-by-sktransfer"
_FILES = ("rows.csv", "failed.csv", "recipe.json")
_DESCRIPTION = "description.zarr"
# How often a lock may be removed in the moment in which it is taken.
_ATTEMPTS = 100

# Counts in the record beside an output.
_COUNTS = ("n_inputs", "n_rows", "n_features", "n_failed")


@dataclass(frozen=True)
class Extraction:
    """The result of an extraction: its files and counts.

    Attributes
    ----------
    path : Path
        The output.
    n_inputs : int
        Number of inputs.
    n_rows : int
        Number of rows in the output.
    n_features : int
        Number of features in each row.
    n_failed : int
        Number of images that could not be read.
    rows_path : Path or None
        A CSV file with position, path and label of every row; None if the output holds them.
    failures_path : Path or None
        A CSV file with position, path and reason of every image that could not be read.
    recipe_path : Path
        A JSON file with everything that determined the features.
    """

    path: Path
    n_inputs: int
    n_rows: int
    n_features: int
    n_failed: int
    rows_path: Path | None
    failures_path: Path | None
    recipe_path: Path

    def __str__(self) -> str:
        """Describe the output, and what is missing."""
        text = f"{spell(str(self.path))}: {self.n_rows:,} rows of {self.n_features:,} features"
        if self.n_failed:
            text += (
                f"; {self.n_failed:,} of {self.n_inputs:,} images could not be read, see "
                f"{spell(str(self.failures_path))}"
            )
        return text


@contextmanager
def work_folder(out: Path, who: str) -> Iterator[Path]:
    """Create or find the folder of an unfinished run, and lock it against other processes.

    If there is no error, or no row was written, the folder is removed at the end, except for
    files in it that are not of an extraction. The lock is a file in the folder; the operating
    system releases it when its process ends.

    Parameters
    ----------
    out : Path
        The output.
    who : str
        The function named in errors.

    Yields
    ------
    Path
        The folder.

    Raises
    ------
    OSError
        If another process works in it, it cannot be made, or something else has its name.
    DamagedProgress
        If there is a link or something else that is not a plain file in it.
    """
    from filelock import Timeout

    folder = partial_folder(out)
    try:
        lock = _lock(folder)
    except Timeout as error:
        raise OSError(
            f"{who} cannot write {str(out)!r}: another process is writing it. Wait for that one, "
            "or choose another name."
        ) from error
    except FileExistsError as error:
        raise FileExistsError(
            f"{who} cannot write {str(out)!r}: {str(folder)!r} is there, and is not a folder that "
            f"{who} of this version made. Move or remove it, or choose another name."
        ) from error
    except (OSError, NotImplementedError) as error:  # the latter where there are no locks
        raise OSError(
            f"{who} cannot write {str(out)!r}: {error}. Choose a folder that can be written to, or "
            "remove the cause; what an earlier call wrote is kept."
        ) from error
    is_done = False
    try:
        yield folder
        is_done = True
    finally:
        with suppress(OSError):  # nothing depends on what may be left
            is_done = is_done or not _holds_rows(folder / f"data{out.suffix}")
            if is_done:
                _clear(folder, out.suffix)
        lock.release()
        if is_done:
            with suppress(OSError):  # other files are in it, or another process has begun
                folder.rmdir()


def _lock(folder: Path) -> Any:
    """Lock the folder, which another process may be removing now."""
    from filelock import FileLock

    path = folder / _LOCK
    for _ in range(_ATTEMPTS):
        with suppress(FileExistsError):
            folder.mkdir()
        lock = FileLock(path)
        try:
            _check_own(folder)
            _check_kinds(folder)
            path.touch()
            before = path.stat().st_ino
            lock.acquire(timeout=0)
            if path.stat().st_ino == before:
                (folder / _MARK).touch()
                return lock
        except FileNotFoundError:
            pass
        # What is locked has lost its name, by which others would find it.
        lock.release()
    raise OSError(f"the lock {str(path)!r} is removed again and again")


def _check_own(folder: Path) -> None:
    """Check that an extraction made this folder, or that it is a new one."""
    if not stat.S_ISDIR(folder.lstat().st_mode):
        raise FileExistsError(str(folder))
    mark = folder / _MARK
    if mark.exists():
        return
    names = [path.name for path in folder.iterdir()]
    # Another process may have marked it in between.
    if names and not mark.exists() and (names != [_LOCK] or (folder / _LOCK).lstat().st_size):
        raise FileExistsError(str(folder))


def _check_kinds(folder: Path) -> None:
    """Refuse links, through which a run would change other files, and what may block."""
    suffix = folder.with_suffix("").suffix
    folders = {_DESCRIPTION} if suffix == ".npy" else {_DESCRIPTION, f"data{suffix}"}
    for name in (_LOCK, _MARK, *_FILES, _DESCRIPTION, f"data{suffix}"):
        path = folder / name
        with suppress(FileNotFoundError):
            mode = path.lstat().st_mode
            is_sound = stat.S_ISDIR(mode) if name in folders else stat.S_ISREG(mode)
            odd = path if not is_sound else _find_odd(path) if name in folders else None
            if odd is not None:
                raise DamagedProgress(
                    folder / PROGRESS, f"{str(odd)!r} is a link, or another kind of file"
                )


def _find_odd(folder: Path) -> Path | None:
    """Find something in a folder, at any depth, that is neither a plain file nor a folder."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                odd = _find_odd(Path(entry.path))
                if odd is not None:
                    return odd
            elif not entry.is_file(follow_symlinks=False):
                return Path(entry.path)
    return None


def _holds_rows(data: Path) -> bool:
    return any(data.iterdir()) if data.is_dir() else data.exists()


def _clear(folder: Path, suffix: str) -> None:
    """Remove only the files of an extraction from its folder, the lock last."""
    for path in folder.glob(f"{PROGRESS}*"):
        path.unlink()
    for name in (f"data{suffix}", _DESCRIPTION, *_FILES):
        remove(folder / name)
    for name in (_MARK, _LOCK):
        (folder / name).unlink(missing_ok=True)


def finish(
    out: Path,
    writer: Writer,
    progress: Progress,
    fitted: VGGFeatureExtractor,
    names: list[str],
) -> Extraction:
    """Complete the output and the files next to it, and move them to their places.

    The output itself comes last: if it exists, all files do. After an interruption, call it again.

    Parameters
    ----------
    out : Path
        The output.
    writer : Writer
        The writer of its blocks.
    progress : Progress
        The record of the run, in which all inputs are done.
    fitted : VGGFeatureExtractor
        The extractor of the features.
    names : list of str
        Their names.

    Returns
    -------
    Extraction
        The result.
    """
    folder = partial_folder(out)
    identity = progress.identity
    assert identity is not None
    with_failed = identity["on_error"] == "nan"
    n_rows = progress.n_inputs - (0 if with_failed else progress.n_failed)
    n_held = writer.finish(n_rows)
    if not n_rows == n_held == progress.n_rows:
        raise OSError(
            f"it should hold {n_rows:,} rows, {progress.n_rows:,} were written, and {n_held:,} are "
            "there: another program has changed it"
        )
    # What a run left that was cut off here. It may differ now, if a file was repaired since.
    check_beside(out, progress.placed, "extract")
    for name in _names_beside(out):
        _beside(out, name).unlink(missing_ok=True)
    beside = {}
    if out.suffix != ".parquet":
        listed = progress.rows(with_failed=with_failed)
        rows = ((position, spell(path), label and spell(label)) for position, path, label in listed)
        beside["rows.csv"] = _write_csv(folder / "rows.csv", ROWS_HEADER, rows)
    if progress.n_failed:
        failed = ((position, spell(path), why) for position, path, why in progress.failures())
        header = ("position", "path", "reason")
        beside["failed.csv"] = _write_csv(folder / "failed.csv", header, failed)
    facts = {
        "sktransfer": __version__,
        "extractor": {
            name: value if isinstance(value, str | int | float | bool | None) else repr(value)
            for name, value in sorted(fitted.get_params().items())
        },
        "engine": fitted.engine_,
        "weights_sha256": fitted.weights_sha256_,
        "n_inputs": progress.n_inputs,
        "n_rows": n_rows,
        "n_features": len(names),
        "n_failed": progress.n_failed,
        "files": progress.hash_states(),
        "identity": identity,
        "feature_names": names,
    }
    beside["json"] = folder / "recipe.json"
    beside["json"].write_text(json.dumps(facts, indent=1), encoding="utf-8")
    _place(out, folder, beside, progress)
    return _read_complete(out)


def _place(out: Path, folder: Path, beside: Mapping[str, Path], progress: Progress) -> None:
    """Move the files to their places, where nothing is replaced that has come there meanwhile."""
    targets = {path: _beside(out, name) for name, path in beside.items()}
    placed: list[Path] = []
    try:
        if os.path.lexists(out):
            raise FileExistsError(str(out))
        # Before they are there, so that a later run knows them as this one's.
        progress.record_placed({name: hash_file(path) for name, path in beside.items()})
        for source, target in (targets | {folder / f"data{out.suffix}": out}).items():
            place_new(source, target)
            placed.append(target)
    except FileExistsError as error:
        for path in placed:  # beside a foreign output, they would make it look like ours
            path.unlink()
        raise FileExistsError(
            f"extract cannot move its result to {str(out)!r}: a file of this name, or of one "
            "beside it, has appeared during the run, and is never replaced. The rows are kept in "
            f"{str(folder)!r}: move that file away and make the same call again."
        ) from error


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        write_csv(file, header, rows)
    return path


def _names_beside(out: Path) -> list[str]:
    """Name the endings of the files that are written next to an output."""
    return ["json", "failed.csv"] + (["rows.csv"] if out.suffix != ".parquet" else [])


def check_beside(out: Path, placed: Mapping[str, Any], who: str) -> None:
    """Check that there are no other files than this run's where it will write next to the output.

    Parameters
    ----------
    out : Path
        The output, which does not exist.
    placed : mapping
        Hashes of the files that this run has put there.
    who : str
        The function named in errors.

    Raises
    ------
    FileExistsError
        If there are.
    """
    for name in _names_beside(out):
        path = _beside(out, name)
        if os.path.lexists(path) and not (name in placed and hash_file(path) == placed[name]):
            raise FileExistsError(
                f"The 'out' parameter of {who} must name a file without others of the names that "
                f"{who} writes next to it. Got {str(out)!r}, and {str(path)!r} is there: choose "
                "another name, or move or remove that file."
            )


def _beside(out: Path, ending: str) -> Path:
    return out.with_name(f"{out.name}.{ending}")


def partial_folder(out: Path) -> Path:
    """Name the folder that holds an output until it is complete."""
    return out.with_name(f"{out.name}.partial")


def find_complete(out: Path, identity: dict[str, Any], who: str) -> Extraction | None:
    """Return the output if the same one exists; raise an error for another one.

    Parameters
    ----------
    out : Path
        The output.
    identity : dict
        The inputs and the recipe of this run.
    who : str
        The function named in errors.

    Returns
    -------
    Extraction or None
        The existing result; None if there is none.

    Raises
    ------
    FileExistsError
        If it is something else.
    """
    if not os.path.lexists(out):
        return None
    try:
        facts = _read_facts(out)
        former = facts["identity"]
        former.keys()
        if any(type(facts[name]) is not int or facts[name] < 0 for name in _COUNTS):
            raise ValueError("a count is not a whole number")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FileExistsError(
            f"The 'out' parameter of {who} must name a file that does not exist, or one that the "
            f"same call wrote. Got {str(out)!r}, which exists without a record of its recipe: "
            "choose another name, or remove it."
        ) from error
    if former != identity:
        raise FileExistsError(
            f"The 'out' parameter of {who} must name a file that does not exist, or one that the "
            f"same call wrote. Got {str(out)!r}, which differs in "
            f"{differences(former, identity)}: choose another name, or remove it."
        )
    return _read_complete(out)


def differences(former: dict[str, Any], identity: dict[str, Any]) -> str:
    """Name the differences of two runs, down to the parts of a recipe."""
    names = []
    for name in identity:
        if former.get(name) == identity[name]:
            continue
        if name != "recipes":
            names.append(name)
            continue
        pairs = zip(_parse(former.get(name)), _parse(identity[name]), strict=False)
        inside = {key for a, b in pairs for key in b if a.get(key) != b[key]}
        names += sorted(inside) or ["the layers"]
    return ", ".join(names)


def _parse(recipes: Any) -> list[dict[str, Any]]:
    """Parse recipes, which may come from a file that was changed: none where they are none."""
    try:
        parsed = [json.loads(recipe) for recipe in recipes]
    except (TypeError, ValueError, RecursionError):
        return []
    return parsed if all(isinstance(recipe, dict) for recipe in parsed) else []


def warn_of_changes(out: Path, entries: Iterable[Entry], who: str) -> None:
    """Warn if files were changed since a complete output was made of them."""
    facts = _read_facts(out)
    if "files" in facts and facts["files"] != hash_states(entries):
        warnings.warn(
            f"{who} found that input files have changed, or are gone, since {str(out)!r} was made "
            "(by their sizes and times), and leaves it as it is. To compute it again, remove it "
            f"and {str(_beside(out, '*'))!r}, and make the same call.",
            stacklevel=3,
        )


def _read_facts(out: Path) -> Any:
    with open_regular(_beside(out, "json")) as file:
        return json.loads(file.read().decode("utf-8"))


def _read_complete(out: Path) -> Extraction:
    facts = _read_facts(out)
    rows, failed = _beside(out, "rows.csv"), _beside(out, "failed.csv")
    return Extraction(
        path=out,
        n_inputs=facts["n_inputs"],
        n_rows=facts["n_rows"],
        n_features=facts["n_features"],
        n_failed=facts["n_failed"],
        rows_path=None if out.suffix == ".parquet" else rows,
        failures_path=failed if facts["n_failed"] else None,
        recipe_path=_beside(out, "json"),
    )

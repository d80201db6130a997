"""What an extraction leaves behind: the output, and beside it its rows, failures and recipe."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sktransfer._version import __version__
from sktransfer.extraction.progress import Progress
from sktransfer.extraction.sources import spell
from sktransfer.extraction.writers import Writer
from sktransfer.extractor import VGGFeatureExtractor


@dataclass(frozen=True)
class Extraction:
    """What was extracted, and where it is; printed, a sentence.

    Attributes
    ----------
    path : Path
        The output.
    n_inputs : int
        Images that there were.
    n_rows : int
        Rows in the output.
    n_features : int
        Features in each.
    n_failed : int
        Images that could not be read.
    rows_path : Path or None
        A CSV file with position, path and label of every row; None where the output holds them.
    failures_path : Path or None
        A CSV file with position, path and reason of every image that could not be read.
    recipe_path : Path
        A JSON file with everything that decided the features.
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
        """Say what there is, and what is missing."""
        text = f"{self.path}: {self.n_rows:,} rows of {self.n_features:,} features"
        if self.n_failed:
            text += (
                f"; {self.n_failed:,} of {self.n_inputs:,} images could not be read, see "
                f"{self.failures_path}"
            )
        return text


@contextmanager
def work_folder(out: Path, who: str) -> Iterator[Path]:
    """Make the folder of an unfinished run, or find it, and keep other processes out of it.

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
        If another process works in it, or it cannot be made.
    """
    from filelock import FileLock, Timeout

    folder = _partial(out)
    lock = FileLock(folder / "lock", timeout=0)
    try:
        folder.mkdir(exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise OSError(
            f"{who} cannot write {str(out)!r}: another process is writing it. Wait for that one, "
            "or choose another name."
        ) from error
    except OSError as error:
        raise OSError(
            f"{who} cannot write {str(out)!r}: {error}. Choose a folder that can be written to, or "
            "mend the fault; what an earlier call wrote is kept."
        ) from error
    try:
        yield folder
    finally:
        lock.release()


def finish(
    out: Path,
    writer: Writer,
    progress: Progress,
    fitted: VGGFeatureExtractor,
    names: list[str],
) -> Extraction:
    """Complete the output and what stands beside it, and move all to their places.

    The output itself comes last: where it is, all is. Interrupted before, this can be done again.

    Parameters
    ----------
    out : Path
        The output.
    writer : Writer
        What wrote its blocks.
    progress : Progress
        The record of the run, in which all inputs are done with.
    fitted : VGGFeatureExtractor
        What computed the features.
    names : list of str
        Their names.

    Returns
    -------
    Extraction
        What is there now.
    """
    folder = _partial(out)
    identity = progress.identity
    assert identity is not None
    writer.finish(progress.n_rows)
    if out.suffix != ".parquet":
        listed = progress.rows(with_failed=identity["on_error"] == "nan")
        rows = ((position, spell(path), label) for position, path, label in listed)
        _write_csv(folder, out, "rows.csv", ("position", "path", "label"), rows)
    _beside(out, "failed.csv").unlink(missing_ok=True)
    if progress.n_failed:
        failed = ((position, spell(path), why) for position, path, why in progress.failures())
        _write_csv(folder, out, "failed.csv", ("position", "path", "reason"), failed)
    facts = {
        "sktransfer": __version__,
        "extractor": {
            name: value if isinstance(value, str | int | float | bool | None) else repr(value)
            for name, value in sorted(fitted.get_params().items())
        },
        "engine": fitted.engine_,
        "weights_sha256": fitted.weights_sha256_,
        "n_inputs": progress.n_inputs,
        "n_rows": progress.n_rows,
        "n_features": len(names),
        "n_failed": progress.n_failed,
        "identity": identity,
        "feature_names": names,
    }
    recipe = folder / "recipe.json"
    recipe.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    recipe.replace(_beside(out, "json"))
    (folder / f"data{out.suffix}").replace(out)
    return _read_complete(out)


def _write_csv(
    folder: Path, out: Path, name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Write a table beside the output, which appears under its name when it is whole."""
    path = folder / name
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    path.replace(_beside(out, name))


def _beside(out: Path, ending: str) -> Path:
    return out.with_name(f"{out.name}.{ending}")


def _partial(out: Path) -> Path:
    return out.with_name(f"{out.name}.partial")


def find_complete(out: Path, identity: dict[str, Any], who: str) -> Extraction | None:
    """Return the output if it is there and the same; refuse to overwrite another one.

    Parameters
    ----------
    out : Path
        The output.
    identity : dict
        What is to be extracted, with which recipe.
    who : str
        The function named in errors.

    Returns
    -------
    Extraction or None
        What is there; None where nothing is.

    Raises
    ------
    FileExistsError
        If it is something else.
    """
    if not out.exists():
        return None
    try:
        former = json.loads(_beside(out, "json").read_text(encoding="utf-8"))["identity"]
    except (OSError, ValueError, KeyError) as error:
        raise FileExistsError(
            f"The 'out' parameter of {who} must name a file that does not exist, or one that the "
            f"same call wrote. Got {str(out)!r}, which is there, without a record of its recipe "
            "beside it: choose another name, or remove it."
        ) from error
    if former != identity:
        raise FileExistsError(
            f"The 'out' parameter of {who} must name a file that does not exist, or one that the "
            f"same call wrote. Got {str(out)!r}, which differs in "
            f"{differences(former, identity)}: choose another name, or remove it."
        )
    # A run may have been cut off between its last two steps.
    shutil.rmtree(_partial(out), ignore_errors=True)
    return _read_complete(out)


def differences(former: dict[str, Any], identity: dict[str, Any]) -> str:
    """Name what differs between two runs, down to the parts of a recipe.

    Parameters
    ----------
    former, identity : dict
        What identifies them.

    Returns
    -------
    str
        The names, separated by commas.
    """
    names = []
    for name in identity:
        if former.get(name) == identity[name]:
            continue
        if name != "recipes":
            names.append(name)
            continue
        pairs = [
            (json.loads(a), json.loads(b))
            for a, b in zip(former.get(name, []), identity[name], strict=False)
        ]
        inside = {key for a, b in pairs for key in b if a.get(key) != b[key]}
        names += sorted(inside) or ["the layers"]
    return ", ".join(names)


def _read_complete(out: Path) -> Extraction:
    facts = json.loads(_beside(out, "json").read_text(encoding="utf-8"))
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

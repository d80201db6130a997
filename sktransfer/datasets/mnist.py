"""MNIST from OpenML: fetched through scikit-learn, and checked to be MNIST."""

from __future__ import annotations

import gzip
import http.client
import os
import urllib.error
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from sktransfer.datasets.bunches import (
    check_pair,
    check_parameters,
    pack_pair,
    require_pandas,
    spell_label,
    to_uint8,
)

# What OpenML's data set 554 holds.
_MNIST_ID = 554
_MNIST_PIXELS = 784
_MNIST_COUNTS = (6903, 7877, 6990, 7141, 6824, 6313, 6876, 7293, 6825, 6958)
_WITHOUT_OPENML = (
    "Without it: load_digit_pair has scikit-learn's embedded digits, and read_pixel_csv reads "
    "train.csv of Kaggle's 'digit recognizer'."
)


def fetch_mnist_pair(
    digits: Sequence[Any] = (8, 6),
    *,
    data_home: str | os.PathLike | None = None,
    return_X_y: bool = False,
    as_frame: bool = False,
    n_retries: int = 3,
    delay: float = 1.0,
) -> Any:
    """Fetch two of the ten digits of MNIST from OpenML, once.

    The first call downloads all 70,000 grey images of 28 x 28 pixels (about 15 MB) through
    :func:`sklearn.datasets.fetch_openml`, which keeps them and compares their hash at every call;
    later calls need no network. Size, values and the number of images of each digit are checked
    here.

    Parameters
    ----------
    digits : tuple of two int, default=(8, 6)
        The digits, from 0 to 9. The first is the positive class.
    data_home : str, path-like or None, default=None
        Where scikit-learn keeps its downloads; None is ``~/scikit_learn_data``.
    return_X_y : bool, default=False
        Whether to return `(data, target)` alone.
    as_frame : bool, default=False
        Whether `data` is a pandas DataFrame and `target` a Series.
    n_retries : int, default=3
        How often a failed download is tried again.
    delay : float, default=1.0
        Seconds between two tries.

    Returns
    -------
    data : Bunch
        With the attributes that :func:`load_digit_pair` describes, here

        data : {ndarray, DataFrame} of shape (n_images, 784)
            Rows of pixels: uint8, 0 (black) to 255 (white), in MNIST's order, its 60,000 training
            images first.
        images : ndarray of shape (n_images, 28, 28)
            The same pixels as images.
        feature_names : list of str
            ``pixel1`` to ``pixel784``, row by row.
        frame : DataFrame or None
            `data` and the column ``class`` in one, with ``as_frame=True``.
    (data, target) : tuple
        With ``return_X_y=True``.

    Raises
    ------
    OSError
        If OpenML cannot be reached, or what it sends is not MNIST. The message says what to do.
    ValueError, TypeError
        If `digits` are not two different digits.

    See Also
    --------
    load_digit_pair : Small digits, without a network.
    read_pixel_csv : The same images in Kaggle's file.

    Notes
    -----
    Reading takes about 0.5 GB of memory with pandas, and without it 0.8 GB and far more time.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document
    recognition", 1998, Proceedings of the IEEE 86(11).

    Examples
    --------
    >>> from sktransfer.datasets.loaders import fetch_mnist_pair
    >>> X, y = fetch_mnist_pair((8, 6), return_X_y=True)  # doctest: +SKIP
    >>> X.shape, y.sum()  # doctest: +SKIP
    ((13701, 784), 6825)
    """
    who = "fetch_mnist_pair"
    check_parameters(
        who,
        data_home=data_home,
        return_X_y=return_X_y,
        as_frame=as_frame,
        n_retries=n_retries,
        delay=delay,
    )
    wanted = check_pair(digits, who, "sklearn.datasets.fetch_openml(data_id=554) has all ten.")
    if as_frame:
        require_pandas(who)
    pixels, labels, source = _fetch(data_home, n_retries, delay)
    return pack_pair(
        pixels,
        labels,
        wanted,
        source,
        where="MNIST",
        who=who,
        target_column="class",
        return_X_y=return_X_y,
        as_frame=as_frame,
    )


def _fetch(
    data_home: str | os.PathLike | None, n_retries: int, delay: float
) -> tuple[np.ndarray, np.ndarray, Bunch]:
    """Return all pixels as uint8, all labels as int, and what they came in."""
    from sklearn import datasets

    try:
        import pandas  # noqa: F401 - only whether it is there

        parser = "auto"
    except ImportError:
        parser = "liac-arff"
    cache = Path("~/scikit_learn_data" if data_home is None else data_home, "openml")
    try:
        cache = Path(datasets.get_data_home(data_home), "openml")
        _refuse_pipes(cache)
        source = datasets.fetch_openml(
            data_id=_MNIST_ID,
            data_home=data_home,
            as_frame=False,
            parser=parser,
            # pandas would infer int64, twice the memory, and with pandas 3.1 the labels' categories
            # become numbers, with which scikit-learn 1.9.1 fails (its issue 34892).
            read_csv_kwargs={"dtype": np.float32},
            n_retries=n_retries,
            delay=delay,
        )
    except (
        urllib.error.URLError,
        http.client.HTTPException,
        ConnectionError,
        TimeoutError,
    ) as error:
        raise OSError(
            "fetch_mnist_pair needs an internet connection to fetch MNIST from openml.org (data "
            f"set {_MNIST_ID}) for the first time. The download failed: {error}. Try again later, "
            "or check the connection and, behind a proxy, the environment variable HTTPS_PROXY. "
            f"{_WITHOUT_OPENML}"
        ) from error
    except (
        # All errors of bytes that are not the data set: another hash, no JSON, cut gzip.
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        RecursionError,
        EOFError,
        zlib.error,
        gzip.BadGzipFile,
    ) as error:
        raise _not_mnist(f"{type(error).__name__}: {error}", cache) from error
    except OSError as error:
        raise OSError(
            f"The 'data_home' parameter of fetch_mnist_pair must be a folder that can be written "
            f"to, with room for 100 MB. Got {str(cache.parent)!r}: {error}. Make the folder "
            "writable, or pass another."
        ) from error
    return *_check(source, cache), source


def _refuse_pipes(cache: Path) -> None:
    """Refuse what is no file where scikit-learn keeps its downloads: a pipe would block it."""
    for path in cache.rglob("*"):
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise OSError(f"{str(path)!r} is a pipe, a socket or a device")


def _not_mnist(reason: str, cache: Path) -> OSError:
    return OSError(
        f"The data from openml.org (data set {_MNIST_ID}) are not those that fetch_mnist_pair "
        f"expects: {reason.rstrip('.')}. Try again; if that does not help, delete {str(cache)!r} "
        f"first, where scikit-learn caches the download. {_WITHOUT_OPENML}"
    )


def _check(source: Bunch, cache: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels as uint8 and labels as int, if they are MNIST's."""
    raw = np.asarray(source.data)
    expected = (sum(_MNIST_COUNTS), _MNIST_PIXELS)
    if raw.shape != expected:
        raise _not_mnist(f"{expected} rows and columns expected, {raw.shape} received", cache)
    if raw.dtype.kind == "O":
        raw = raw.astype(np.float64)
    pixels = to_uint8(raw)
    if pixels is None:
        raise _not_mnist("some pixels are not integers from 0 to 255", cache)
    keys = np.array([spell_label(label) for label in np.asarray(source.target)])
    counts = Counter(keys.tolist())
    known = {str(digit): n for digit, n in enumerate(_MNIST_COUNTS)}
    if counts != known:
        differ = sorted(key for key in known.keys() | counts if counts[key] != known.get(key, 0))
        shown = ", ".join(
            f"{counts[key]} of {key!r} instead of {known.get(key, 0)}" for key in differ
        )
        raise _not_mnist(f"it has {shown}", cache)
    return pixels, keys.astype(np.int64)

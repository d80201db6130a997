"""Loaders of labelled images: scikit-learn's digits, MNIST, CSV files, archives, folders.

Every loader follows scikit-learn's conventions for data sets, and all of them select digits by the
same rule: of two digits the first is 1 and the second is 0.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from sktransfer.datasets.bunches import (
    check_digits,
    check_pair,
    check_parameters,
    describe,
    pack,
    pack_pair,
    require_pandas,
    select,
)
from sktransfer.datasets.csv_files import read_table
from sktransfer.datasets.folders import list_classes
from sktransfer.datasets.mnist import fetch_mnist_pair
from sktransfer.datasets.npz_files import read_labelled_archive

__all__ = [
    "fetch_mnist_pair",
    "list_images",
    "load_digit_pair",
    "read_labelled_images",
    "read_pixel_csv",
]


def load_digit_pair(
    digits: Sequence[Any] = (8, 6), *, return_X_y: bool = False, as_frame: bool = False
) -> Any:
    """Load two of the ten digits that come with scikit-learn.

    Grey images of 8 x 8 pixels, about 180 of each digit, in the order of
    :func:`sklearn.datasets.load_digits`. Nothing is downloaded.

    Parameters
    ----------
    digits : tuple of two int, default=(8, 6)
        The digits, from 0 to 9. The first is the positive class.
    return_X_y : bool, default=False
        Whether to return `(data, target)` alone.
    as_frame : bool, default=False
        Whether `data` is a pandas DataFrame and `target` a Series.

    Returns
    -------
    data : Bunch
        With these attributes:

        data : {ndarray, DataFrame} of shape (n_images, 64)
            Rows of pixels. They are float64 with values 0 (black) to 16 (white): for uint8, white
            would be 255.
        target : {ndarray, Series} of shape (n_images,)
            1 for the first digit, 0 for the second.
        images : ndarray of shape (n_images, 8, 8)
            The same pixels as images.
        feature_names : list of str
            ``pixel_0_0`` (row, column) to ``pixel_7_7``.
        target_names : ndarray of shape (2,)
            The digits as int, so that ``target_names[target]`` are the original labels.
        frame : DataFrame or None
            `data` and `target` in one, with ``as_frame=True``.
        DESCR : str
            Description and source of the data.
    (data, target) : tuple
        With ``return_X_y=True``.

    Raises
    ------
    ValueError, TypeError
        If `digits` are not two different digits.

    See Also
    --------
    fetch_mnist_pair : Larger images, and more of them.
    sklearn.datasets.load_digits : All ten digits.

    Examples
    --------
    >>> from sktransfer.datasets.loaders import load_digit_pair
    >>> digits = load_digit_pair((8, 6))
    >>> digits.data.shape, digits.images.shape
    ((355, 64), (355, 8, 8))
    >>> digits.target[:4], digits.target_names[digits.target[:4]]
    (array([0, 1, 0, 1]), array([6, 8, 6, 8]))
    """
    from sklearn.datasets import load_digits

    who = "load_digit_pair"
    check_parameters(who, return_X_y=return_X_y, as_frame=as_frame)
    wanted = check_pair(digits, who, "sklearn.datasets.load_digits has all ten.")
    source = load_digits()
    return pack_pair(
        source.data,
        source.target,
        wanted,
        source,
        where="scikit-learn's digits",
        who=who,
        target_column="target",
        return_X_y=return_X_y,
        as_frame=as_frame,
    )


def read_pixel_csv(
    path: str | os.PathLike,
    *,
    digits: Sequence[Any] | None = None,
    return_X_y: bool = False,
    as_frame: bool = False,
) -> Any:
    r"""Read a CSV file of pixels with a label column, such as Kaggle's "digit recognizer".

    The file has one image per line below a header ``label,pixel0,pixel1,...``. Every column except
    ``label`` is a pixel, in the order of the file; the label may be in any column. The file is
    read in pieces, so that memory holds little more than the images returned.

    Parameters
    ----------
    path : str or path-like
        The file, ``.csv`` or ``.csv.gz``, as UTF-8.
    digits : tuple of two or more labels or None, default=None
        Keep only these labels; ``8`` and ``'8'`` mean the same. Of two, the first is the positive
        class. None keeps all.
    return_X_y : bool, default=False
        Whether to return `(data, target)` alone.
    as_frame : bool, default=False
        Whether `data` is a pandas DataFrame and `target` a Series.

    Returns
    -------
    data : Bunch
        With these attributes:

        data : {ndarray, DataFrame} of shape (n_images, n_pixels)
            Rows of pixels: uint8 if the whole file holds integers from 0 to 255 only, else
            float64.
        target : {ndarray, Series} of shape (n_images,)
            Of two `digits` 1 for the first and 0 for the second; else the labels, as int if all of
            them are integers and as str if not.
        images : ndarray of shape (n_images, side, side) or None
            The same pixels as images, if their number is a square.
        feature_names : list of str
            The names of the pixel columns.
        target_names : ndarray of shape (n_classes,)
            The labels. With two `digits`, ``target_names[target]`` are the labels in the file;
            otherwise they are sorted.
        frame : DataFrame or None
            `data` and the column ``label`` in one, with ``as_frame=True``.
        DESCR : str
            The file and what was read from it.
    (data, target) : tuple
        With ``return_X_y=True``.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be decompressed.
    ValueError, TypeError
        If it holds anything except labels and pixels (the error names line and column), or
        `digits` are not in it.

    See Also
    --------
    read_labelled_images : Also reads archives and folders.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sktransfer.datasets.loaders import read_pixel_csv
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "train.csv")
    ...     lines = ["label,pixel0,pixel1,pixel2,pixel3", "6,0,255,0,9", "8,1,2,3,4", "7,0,0,0,0"]
    ...     _ = path.write_text("\n".join(lines))
    ...     X, y = read_pixel_csv(path, digits=(8, 6), return_X_y=True)
    >>> X
    array([[  0, 255,   0,   9],
           [  1,   2,   3,   4]], dtype=uint8)
    >>> y
    array([0, 1])
    """
    who = "read_pixel_csv"
    check_parameters(who, path=path, return_X_y=return_X_y, as_frame=as_frame)
    wanted = None if digits is None else check_digits(digits, who)
    if as_frame:
        require_pandas(who)
    name = os.fspath(path)
    columns, pixels, labels = read_table(path, wanted, who)
    _, target, target_names = select(labels, wanted, who, repr(name))
    return pack(
        pixels,
        target,
        who=who,
        feature_names=columns,
        target_column="label",
        target_names=target_names,
        DESCR=describe(len(target), wanted, name),
        return_X_y=return_X_y,
        as_frame=as_frame,
    )


def list_images(folder: str | os.PathLike, *, return_X_y: bool = False) -> Any:
    """List the image files in a folder of class folders.

    Each folder inside is a class, and all images in it or its subfolders belong to this class. No
    file is opened. Image files end with .png, .jpg, .jpeg, .bmp, .tif, .tiff or .webp, in upper or
    lower case; other files, hidden files and folders, and files outside the class folders are
    ignored. Links to folders are followed, but never back to a folder that contains them.

    Parameters
    ----------
    folder : str or path-like
        The folder that holds the class folders.
    return_X_y : bool, default=False
        Whether to return `(paths, labels)`, which you can pass to a pipeline.

    Returns
    -------
    data : Bunch
        With these attributes:

        filenames : ndarray of shape (n_images,)
            Paths that start with `folder`, sorted by class, then folder and file name.
        target : ndarray of shape (n_images,)
            Numbers of the classes.
        target_names : ndarray of shape (n_classes,)
            Names of the class folders that hold images, sorted.
        DESCR : str
            The folder and its content.
    (paths, labels) : tuple of list of str and ndarray of str
        With ``return_X_y=True``: the same paths, and the name of the class folder of each.

    Raises
    ------
    OSError
        If there is no such folder, or it is a file.
    ValueError
        If it contains no class folders, or they contain no images.

    Warns
    -----
    UserWarning
        If some class folders contain no images; the warning names them.

    See Also
    --------
    sklearn.datasets.load_files : The same for texts.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sktransfer.datasets.loaders import list_images
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("dogs/2.png", "cats/1.jpg", "cats/0.JPG"):
    ...         file = Path(folder, name)
    ...         file.parent.mkdir(exist_ok=True)
    ...         file.touch()
    ...     paths, labels = list_images(folder, return_X_y=True)
    >>> [Path(path).name for path in paths]
    ['0.JPG', '1.jpg', '2.png']
    >>> labels
    array(['cats', 'cats', 'dogs'], dtype='<U4')
    """
    who = "list_images"
    check_parameters(who, folder=folder, return_X_y=return_X_y)
    paths, labels = list_classes(folder, who)
    if return_X_y:
        return paths, labels
    target_names, target = np.unique(labels, return_inverse=True)
    return Bunch(
        filenames=np.array(paths),
        target=target,
        target_names=target_names,
        DESCR=describe(len(paths), None, os.fspath(folder)),
    )


def read_labelled_images(
    source: str | os.PathLike, *, digits: Sequence[Any] | None = None
) -> Bunch:
    """Read labelled images from a CSV file, an archive or a folder, whichever it is.

    Parameters
    ----------
    source : str or path-like
        One of these:

        - a ``.csv`` or ``.csv.gz`` file, as :func:`read_pixel_csv` reads it;
        - an ``.npz`` archive with images in the array ``images``, ``X``, ``x`` or ``data`` and
          labels in ``digit``, ``label``, ``labels``, ``y`` or ``target``; of several, the first
          counts. Nothing pickled is loaded;
        - a folder of class folders, as :func:`list_images` lists it.
    digits : tuple of two or more labels or None, default=None
        Keep these labels only, class folders included; ``8`` and ``'8'`` mean the same. Of two,
        the first is the positive class. None keeps all.

    Returns
    -------
    Bunch
        With these attributes, of which `data` and `target` are what a pipeline takes:

        data : ndarray or list of str
            Rows of pixels from a CSV file, the array as it is from an archive, and paths from a
            folder.
        target : ndarray of shape (n_images,)
            Of two `digits` 1 for the first and 0 for the second; else the labels.
        target_names : ndarray of shape (n_classes,)
            The labels. Of two `digits`, ``target_names[target]`` is what the source says; else
            they are sorted.
        DESCR : str
            The source and what was read from it.

    Raises
    ------
    OSError
        If there is no such file or folder, or it is damaged.
    ValueError, TypeError
        If it holds no labelled images, or `digits` are not among its labels.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from sktransfer.datasets.loaders import read_labelled_images
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "digits.npz")
    ...     np.savez(path, images=np.zeros((4, 28, 28), np.uint8), digit=[6, 8, 7, 8])
    ...     digits = read_labelled_images(path, digits=(8, 6))
    >>> digits.data.shape, digits.target, digits.target_names
    ((3, 28, 28), array([0, 1, 1]), array([6, 8]))
    """
    who = "read_labelled_images"
    check_parameters(who, source=source)
    wanted = None if digits is None else check_digits(digits, who)
    path = Path(source)
    ending = path.name.lower()
    if os.path.isdir(source):  # noqa: PTH112
        paths, labels = list_classes(source, who)
        rows, target, target_names = select(labels, wanted, who, repr(os.fspath(source)))
        data: Any = list(itertools.compress(paths, rows))
    elif ending.endswith((".csv", ".csv.gz")):
        table = read_pixel_csv(source, digits=digits)
        data, target, target_names = table.data, table.target, table.target_names
    elif ending.endswith(".npz"):
        images, labels = read_labelled_archive(path, who)
        rows, target, target_names = select(labels, wanted, who, repr(os.fspath(source)))
        data = images[rows]
    else:
        kinds = "a .csv, .csv.gz or .npz file, or a folder of class folders"
        if not os.path.exists(source):  # noqa: PTH110 - to Path an empty name is this folder
            raise FileNotFoundError(
                f"{who} needs {kinds}. Got {os.fspath(source)!r}: no such file or folder."
            )
        raise ValueError(
            f"{who} needs {kinds}. Got {os.fspath(source)!r}, which is none of these: a single "
            "image has no label, and other tables can be saved as CSV with a 'label' column."
        )
    return Bunch(
        data=data,
        target=target,
        target_names=target_names,
        DESCR=describe(len(target), wanted, os.fspath(source)),
    )

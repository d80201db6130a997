"""Images as text in base64, as in JSON and in CSV files."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Any

# RFC 2397, as browsers write it.
_DATA_URL = re.compile(r"data:[^,]*;base64,")


def from_base64(X: Iterable[Any]) -> list[bytes]:
    """Decode image files that are given as text in base64.

    Estimators read text as paths of files, so text in base64 has to be decoded first.

    Parameters
    ----------
    X : iterable of str or bytes
        A list, an array or a column of pandas, polars or pyarrow. Each entry is the content of an
        image file in base64 of RFC 4648, or such a content as a URL of the scheme `data`.

    Returns
    -------
    list of bytes
        The content of each file, as every estimator of this package takes it.

    Raises
    ------
    ValueError
        If an entry is not base64, naming its position.

    Examples
    --------
    >>> from sktransfer import from_base64
    >>> from_base64(["R0lGODlh", "data:image/gif;base64,R0lGODlh"])
    [b'GIF89a', b'GIF89a']
    """
    if isinstance(X, str | bytes):
        raise TypeError(
            f"from_base64 needs a list of texts. Got a single {type(X).__name__}: pass [text]."
        )
    contents = []
    for position, item in enumerate(X):
        text = item.as_py() if hasattr(item, "as_py") else item
        if isinstance(text, bytes):
            text = text.decode("latin-1")
        if not isinstance(text, str):
            raise TypeError(
                f"from_base64 needs text in base64 at every position. Got {type(text).__name__} at "
                f"position {position}."
            )
        try:
            start = _DATA_URL.match(text)
            plain = "".join(text[start.end() if start else 0 :].split())
            contents.append(base64.b64decode(plain, validate=True))
        except (binascii.Error, ValueError) as error:
            raise ValueError(
                f"from_base64 needs text in base64 at every position. Got {text[:20]!r} at "
                f"position {position}: {error}."
            ) from error
    return contents

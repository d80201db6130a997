"""pyarrow: arrays and tables of pixels, paths and contents of files."""

from __future__ import annotations

import numpy as np
import pytest
from clients.cases import COLOUR, CONTENTS, LABELS, assert_same

from sktransfer import with_labels

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
LIBRARY = "pyarrow"
TRIED = "arrays, tables and batches of contents, structs, tensors and pixels; `with_labels`"


def test_arrays_and_tables_of_contents() -> None:
    references = [{"bytes": content, "path": None} for content in CONTENTS]
    for array in (pa.array(CONTENTS), pa.array(CONTENTS, pa.large_binary()), pa.array(references)):
        assert_same(array)
        assert_same(pa.table({"image": array}))
    assert_same(pa.chunked_array([CONTENTS[:2], CONTENTS[2:]]))


def test_tensors_and_rows() -> None:
    grey = np.ascontiguousarray(COLOUR[..., 0])
    assert_same(pa.FixedShapeTensorArray.from_numpy_ndarray(grey), grey)
    rows = grey.reshape(len(grey), -1)
    assert_same(pa.table({f"p{i}": column for i, column in enumerate(rows.T)}), grey)


def test_labels() -> None:
    X, y = with_labels(pa.table({"image": CONTENTS, "label": LABELS}))
    assert_same(X)
    np.testing.assert_array_equal(y, LABELS)

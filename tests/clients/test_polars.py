"""polars: series and frames of pixels, paths and contents of files."""

from __future__ import annotations

import numpy as np
import pytest
from clients.cases import COLOUR, CONTENTS, LABELS, assert_same, extractor
from sklearn.compose import ColumnTransformer

from sktransfer import with_labels

pl = pytest.importorskip("polars", reason="polars is not installed")
LIBRARY = "polars"
TRIED = "series and frames of contents, structs and pixels; a `ColumnTransformer`; `set_output`"


def test_columns_of_contents() -> None:
    references = [{"bytes": content, "path": None} for content in CONTENTS]
    for values in (CONTENTS, references):
        assert_same(pl.Series(values))
        assert_same(pl.DataFrame({"image": values}))


def test_frames_of_pixels() -> None:
    grey = COLOUR[..., 0]
    assert_same(pl.DataFrame(grey.reshape(len(grey), -1)), grey)


def test_a_column_beside_others() -> None:
    frame = pl.DataFrame({"image": CONTENTS, "label": LABELS})
    found = ColumnTransformer([("image", extractor(), "image")]).fit_transform(frame)
    np.testing.assert_array_equal(found, extractor().fit_transform(COLOUR))
    X, y = with_labels(frame)
    assert_same(X)
    np.testing.assert_array_equal(y, LABELS)


def test_features_as_a_frame() -> None:
    found = extractor().set_output(transform="polars").fit_transform(COLOUR)
    assert isinstance(found, pl.DataFrame)
    assert found.columns[0] == "block1_pool_avg_f00"


def test_lazy_frames_have_to_be_collected() -> None:
    with pytest.raises(TypeError, match=r"needs images in memory\. Got a LazyFrame: pass X\.coll"):
        extractor().fit(pl.LazyFrame({"image": CONTENTS}))

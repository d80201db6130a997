"""Hugging Face's `datasets`."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clients.cases import COLOUR, CONTENTS, LABELS, N, assert_same, extractor, features
from PIL import Image
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

from sktransfer import with_labels

datasets = pytest.importorskip("datasets", reason="datasets is not installed")
LIBRARY = "datasets"
TRIED = (
    "`Dataset` and its columns, decoded or not; formats, pandas, polars, Arrow, "
    "`IterableDataset`; `map`, also in workers; `with_labels`"
)


def _dataset(**more: Any) -> Any:
    columns = {
        "image": [{"bytes": content, "path": None} for content in CONTENTS],
        "label": LABELS,
    }
    kinds = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    kinds |= dict.fromkeys(more, datasets.Image())
    return datasets.Dataset.from_dict(columns | more, features=datasets.Features(kinds))


FORMS = {
    "dataset": lambda d: d,
    "column": lambda d: d["image"],
    "selected column": lambda d: d.select_columns("image"),
    "not decoded": lambda d: d.cast_column("image", datasets.Image(decode=False)),
    "pandas format": lambda d: d.with_format("pandas"),
    "numpy format": lambda d: d.with_format("numpy"),
    "transform": lambda d: d.with_transform(lambda batch: batch),
    "pandas": lambda d: d.to_pandas()["image"],
    "polars": lambda d: d.to_polars()["image"],
    "Arrow": lambda d: d.with_format("arrow")[:]["image"],
    "iterable": lambda d: d.to_iterable_dataset(),
    "list of rows": lambda d: list(d["image"]),
}


@pytest.mark.parametrize("form", FORMS)
def test_images_with_labels_beside_them(form: str) -> None:
    assert_same(FORMS[form](_dataset()))


def test_arrays_and_their_transform() -> None:
    kinds = datasets.Features({"x": datasets.Array3D((12, 12, 3), "uint8")})
    assert_same(datasets.Dataset.from_dict({"x": COLOUR.tolist()}, features=kinds))


def test_rows_in_another_order() -> None:
    order = [3, 0, 4]
    assert_same(_dataset().select(order), COLOUR[order])


def test_16_bits_are_kept() -> None:
    deep = np.full((12, 12), 25700, np.uint16)
    files = []
    for value in (0, 120):
        files.append(io.BytesIO())
        Image.fromarray(deep + np.uint16(value)).save(files[-1], "png")
    items = [{"bytes": file.getvalue(), "path": None} for file in files]
    kinds = datasets.Features({"image": datasets.Image()})
    found = features(datasets.Dataset.from_dict({"image": items}, features=kinds))
    assert (found[0] != found[1]).any()


def test_images_and_labels() -> None:
    shuffled = _dataset().shuffle(seed=1)
    X, y = with_labels(shuffled)
    assert_same(X, features_of(shuffled))
    assert y.tolist() == shuffled["label"][:]
    X, y = with_labels(_dataset().to_iterable_dataset())
    assert_same(X)
    np.testing.assert_array_equal(y, LABELS)


def features_of(dataset: Any) -> np.ndarray:
    return np.stack([np.asarray(image) for image in dataset["image"]])


def test_cross_validation() -> None:
    twice = datasets.concatenate_datasets([_dataset()] * 2)
    X, y = with_labels(twice)
    pipeline = make_pipeline(extractor(), DecisionTreeClassifier(random_state=0))
    assert cross_val_score(pipeline, X, y, cv=2, error_score="raise").tolist() == [1.0, 1.0]


def test_one_of_two_columns_has_to_be_chosen() -> None:
    mask = [{"bytes": content, "path": None} for content in CONTENTS]
    with pytest.raises(
        ValueError, match=r"the columns of images \['image', 'mask'\].*X\['image'\]"
    ):
        extractor().fit(_dataset(mask=mask))
    assert_same(_dataset(mask=mask)["mask"])
    text = datasets.Dataset.from_dict({"path": ["a"], "label": [1]})
    with pytest.raises(ValueError, match="no column of the feature Image, of the columns"):
        extractor().fit(text)


def test_all_splits_at_once_are_refused() -> None:
    both = datasets.DatasetDict(train=_dataset(), test=_dataset())
    with pytest.raises(TypeError, match=r"DatasetDict with the keys 'train', 'test'.*X\['train'\]"):
        extractor().fit(both)


def test_a_damaged_image_is_named() -> None:
    dataset = _dataset(other=[{"bytes": b"no image\0", "path": None}] * N)
    with pytest.raises(OSError, match=r"5 of 5 cannot:\s+image 0, bytes of length 9: not an image"):
        extractor().fit(dataset["other"])


def test_map_with_features_and_workers() -> None:
    fitted = extractor(engine="ncnn").fit(COLOUR)
    before = fitted.transform(COLOUR)

    def add(batch: dict[str, Any]) -> dict[str, Any]:
        return {"features": fitted.transform(batch["image"])}

    mapped = _dataset().map(add, batched=True, batch_size=2)
    np.testing.assert_array_equal(np.asarray(mapped["features"][:], np.float32), before)


def test_map_in_forked_workers() -> None:
    # In a process of its own, in which nothing has run: a forked child of this one is refused.
    code = """
import sys, warnings
import numpy as np
from clients.test_datasets import COLOUR, _dataset, extractor

warnings.simplefilter("ignore")
fitted = extractor(engine=sys.argv[1]).fit(COLOUR)
mapped = _dataset().map(
    lambda batch: {"features": fitted.transform(batch["image"])},
    batched=True, batch_size=2, num_proc=2,
)
found = np.asarray(mapped["features"][:], np.float32)
assert (found == fitted.transform(COLOUR)).all()
try:
    _dataset().map(
        lambda batch: {"again": fitted.transform(batch["image"])}, batched=True, num_proc=2
    )
except RuntimeError as error:
    print(error)
"""
    tests = str(Path(__file__).parents[1])
    path = os.pathsep.join([tests, str(Path(tests).parent), os.environ.get("PYTHONPATH", "")])
    for engine in ("ncnn", "keras"):
        found = subprocess.run(
            [sys.executable, "-c", code, engine],
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert found.returncode == 0, found.stderr
        assert "num_proc before anything is computed in this process" in found.stdout

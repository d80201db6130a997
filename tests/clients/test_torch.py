"""PyTorch's tensors, data sets and loaders: the library itself, or what looks like it."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from clients.cases import COLOUR, LABELS, N, assert_same, extractor, features
from PIL import Image

from sktransfer import with_labels

LIBRARY = "torch"
TRIED = (
    "tensors, data sets, loaders, torchvision's `ImageFolder`; a stand-in where torch is not "
    "installed"
)
FIRST = np.moveaxis(COLOUR, 3, 1)


class _Tensor:
    """What is used of a tensor, and refuses NumPy where a tensor does."""

    def __init__(self, values: np.ndarray, dtype: str, needs_grad: bool = False) -> None:
        self.values, self.dtype, self.requires_grad = values, f"torch.{dtype}", needs_grad
        self.shape, self.ndim = values.shape, values.ndim

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, i: int) -> _Tensor:
        return _Tensor(self.values[i], self.dtype.removeprefix("torch."), self.requires_grad)

    def detach(self) -> _Tensor:
        return _Tensor(self.values, self.dtype.removeprefix("torch."))

    def cpu(self) -> _Tensor:
        return self

    def float(self) -> _Tensor:
        return _Tensor(self.values, "float32")

    def numpy(self) -> np.ndarray:
        if self.requires_grad or self.dtype == "torch.bfloat16":
            raise RuntimeError("Can't call numpy() on Tensor that requires grad or holds bfloat16")
        return self.values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.numpy()


class _Dataset:
    pass


class _IterableDataset(_Dataset):
    pass


class _DataLoader:
    batch_sampler = None

    def __init__(self, dataset: Any, batch_size: int | None = 1) -> None:
        self.dataset, self.batch_size = dataset, batch_size

    def __iter__(self) -> Iterator[Any]:
        if self.batch_size is None:
            yield from (self.dataset[i] for i in range(len(self.dataset)))
            return
        for start in range(0, len(self.dataset), self.batch_size):
            rows = range(start, min(start + self.batch_size, len(self.dataset)))
            images, labels = zip(*(self.dataset[i] for i in rows), strict=True)
            images = np.stack([image.numpy() for image in images])
            yield [_Tensor(images, "uint8"), _Tensor(np.array(labels), "int64")]

    def __len__(self) -> int:
        return -(-len(self.dataset) // (self.batch_size or 1))


@pytest.fixture(params=["stand-in", "torch"])
def torch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """PyTorch, or a module with the few names of it that count."""
    if request.param == "torch":
        return pytest.importorskip("torch", reason="torch is not installed")
    if find_spec("torch") is not None:
        pytest.skip("torch is there, and needs no stand-in")
    module, utils, data = (types.ModuleType(f"torch{end}") for end in ("", ".utils", ".utils.data"))
    module.Tensor, module.utils, utils.data = _Tensor, utils, data
    data.Dataset, data.IterableDataset, data.DataLoader = _Dataset, _IterableDataset, _DataLoader
    for each in (module, utils, data):
        monkeypatch.setitem(sys.modules, each.__name__, each)
    return module


def _tensor(torch: Any, values: np.ndarray, kind: str = "uint8", needs_grad: bool = False) -> Any:
    if torch.Tensor is _Tensor:
        return _Tensor(values, kind, needs_grad)
    return torch.tensor(values, dtype=getattr(torch, kind), requires_grad=needs_grad)


def _pairs(torch: Any, images: list[Any], base: str = "Dataset") -> Any:
    """Make a data set of images with labels, as torchvision's are."""

    class Pairs(getattr(torch.utils.data, base)):
        def __init__(self) -> None:
            self.read: list[int] = []

        def __len__(self) -> int:
            return len(images)

        def __getitem__(self, i: int) -> tuple[Any, int]:
            if i >= len(images):
                raise IndexError
            self.read.append(i)
            return images[i], int(LABELS[i])

    return Pairs()


def test_tensors(torch: Any) -> None:
    assert_same(_tensor(torch, FIRST))
    assert_same([_tensor(torch, image) for image in FIRST])


def test_tensors_that_require_grad_or_are_narrow(torch: Any) -> None:
    floats = (FIRST // 128).astype(np.float32)  # 0 and 1: exact in bfloat16
    for kind, needs_grad in (("float32", True), ("bfloat16", False), ("bfloat16", True)):
        tensor = _tensor(torch, floats, kind, needs_grad)
        assert_same(tensor, floats)
        assert_same([tensor[i] for i in range(N)], floats)


def test_datasets_are_read_when_needed(torch: Any) -> None:
    dataset = _pairs(torch, [Image.fromarray(image) for image in COLOUR])
    fitted = extractor().fit(dataset)
    assert set(dataset.read) == {0}
    np.testing.assert_array_equal(fitted.transform(dataset), features(COLOUR))
    assert set(dataset.read) == set(range(N))


def test_datasets_of_tensors(torch: Any) -> None:
    dataset = _pairs(torch, [_tensor(torch, image / 255, "float32") for image in FIRST])
    assert extractor().fit(dataset).value_range_ == (0, 1)
    expected = features(COLOUR)
    np.testing.assert_allclose(features(dataset), expected, rtol=1e-4, atol=1e-3)


def test_datasets_of_differing_sizes(torch: Any) -> None:
    images = [COLOUR[0], COLOUR[1, :7], COLOUR[2, :, :5]]
    np.testing.assert_array_equal(features(_pairs(torch, images)), features(images))


@pytest.mark.parametrize("batch_size", [2, 5, None])
def test_loaders(batch_size: int | None, torch: Any) -> None:
    dataset = _pairs(torch, [_tensor(torch, image) for image in FIRST])
    assert_same(torch.utils.data.DataLoader(dataset, batch_size=batch_size))


def test_labels(torch: Any) -> None:
    dataset = _pairs(torch, [_tensor(torch, image) for image in FIRST])
    for source in (dataset, torch.utils.data.DataLoader(dataset, batch_size=2)):
        X, y = with_labels(source)
        assert_same(X)
        np.testing.assert_array_equal(y, LABELS)


def test_iterable_datasets(torch: Any) -> None:
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self) -> Iterator[Any]:
            return iter(zip(COLOUR, LABELS.tolist(), strict=True))

    assert_same(Stream())
    np.testing.assert_array_equal(with_labels(Stream())[1], LABELS)


def test_an_image_that_cannot_be_read_is_named(torch: Any) -> None:
    dataset = _pairs(torch, [Image.new("L", (12, 12)), None])
    fitted = extractor().fit(dataset)
    with pytest.raises(OSError, match=r"1 of 2 cannot:\s+image 1: it is missing"):
        fitted.transform(dataset)


def test_torchvision(tmp_path: Any) -> None:
    torchvision = pytest.importorskip("torchvision", reason="torchvision is not installed")
    for image, label, i in zip(COLOUR, LABELS, range(N), strict=True):
        (tmp_path / str(label)).mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / str(label) / f"{i}.png")
    X, y = with_labels(torchvision.datasets.ImageFolder(str(tmp_path)))
    order = np.argsort(LABELS, kind="stable")
    assert_same(X, COLOUR[order])
    np.testing.assert_array_equal(y, LABELS[order])
    fake = torchvision.datasets.FakeData(3, (3, 12, 12))
    assert features(fake).shape == (3, 64)

"""Map-style data sets of PyTorch, such as torchvision's `ImageFolder`."""

from __future__ import annotations

import sys
from typing import Any

from sktransfer.inputs.forms.elements import image_of
from sktransfer.inputs.on_demand import OnDemand


def is_torch_dataset(X: Any) -> bool:
    """Tell whether something is a data set of PyTorch's of which each item can be read."""
    data: Any = sys.modules.get("torch.utils.data")
    if not hasattr(data, "IterableDataset") or not hasattr(data, "Dataset"):
        return False  # not imported, or not yet to its end
    if not isinstance(X, data.Dataset) or isinstance(X, data.IterableDataset):
        return False
    return hasattr(X, "__getitem__") and hasattr(X, "__len__")


def from_torch_dataset(X: Any, who: str) -> OnDemand:
    """Return the images, without their labels, none of which has been read."""
    return OnDemand(lambda i: image_of(X[i], type(X).__name__, who), range(len(X)))

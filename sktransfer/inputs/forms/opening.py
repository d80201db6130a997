"""Opening of image containers: the one place that recognises those of other libraries."""

from __future__ import annotations

from typing import Any

from sktransfer.inputs.forms.arrow import from_arrow, is_arrow
from sktransfer.inputs.forms.chunked import from_chunked, is_chunked
from sktransfer.inputs.forms.huggingface import from_dataset, is_dataset
from sktransfer.inputs.forms.saved import from_saved, is_saved
from sktransfer.inputs.forms.streams import is_stream, read_whole
from sktransfer.inputs.forms.tensors import is_tensor, to_array
from sktransfer.inputs.forms.torch_data import from_torch_dataset, is_torch_dataset
from sktransfer.inputs.forms.xarrays import from_xarray, is_xarray


def open_form(X: Any, who: str) -> Any:
    """Return a list, an array or a source on disk of what another library holds; others as is."""
    if is_saved(X):
        return from_saved(X, who)
    if is_dataset(X):
        return from_dataset(X, who)
    if is_torch_dataset(X):
        return from_torch_dataset(X, who)
    if is_stream(X):
        return read_whole(X, who)
    if is_arrow(X):
        return from_arrow(X, who)
    if is_chunked(X):
        return from_chunked(X)
    if is_xarray(X):
        return open_form(from_xarray(X, who), who)
    return _from_tensor(X, who) if is_tensor(X) else X


def _from_tensor(X: Any, who: str) -> Any:
    try:
        return to_array(X)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{who} cannot read a {type(X).__name__}: {error}.") from error

"""What the examples of these pages need."""

import doctest
from importlib.util import find_spec

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the examples that name timm where it is not installed: no other extra needs PyTorch."""
    if find_spec("timm") is not None:
        return
    for item in items:
        for example in getattr(getattr(item, "dtest", None), "examples", ()):
            if "timm" in example.source:
                example.options[doctest.SKIP] = True

"""The mark of tests of every network of Keras, which take many minutes."""

from __future__ import annotations

import os

import pytest

every_network = pytest.mark.skipif(
    os.environ.get("SKTRANSFER_ALL_NETWORKS") != "1",
    reason="takes many minutes: set SKTRANSFER_ALL_NETWORKS=1",
)

"""The recipes of docs/distributed.md, run as they stand there, where packages are installed."""

from __future__ import annotations

import os
import re
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sktransfer import VGGFeatureExtractor

PAGE = Path(__file__).resolve().parent.parent / "docs" / "distributed.md"


def _recipe(name: str) -> str:
    """Return the code that stands behind a comment on the page."""
    (code,) = re.findall(rf"<!-- {name} -->\n\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return code


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    files = [tmp_path / f"{i:02d}.png" for i in range(12)]
    for file, pixels in zip(files, np.random.default_rng(0).random((12, 9, 7, 3)), strict=True):
        Image.fromarray((pixels * 255).astype(np.uint8)).save(file)
    return list(map(str, files))


@pytest.fixture
def extractor(paths: list[str]) -> VGGFeatureExtractor:
    return VGGFeatureExtractor(
        "block1_pool", weights=None, pooling="avg", input_size=32, random_state=0, cache=None
    ).fit(paths)


def _read(out: Path) -> dict[str, np.ndarray]:
    import pyarrow.parquet as pq

    table = pq.read_table(out, columns=["path", "features"])
    rows = np.array(table["features"].to_pylist(), dtype=np.float32)
    return dict(zip(table["path"].to_pylist(), rows, strict=True))


def _check(out: Path, paths: list[str], extractor: VGGFeatureExtractor) -> None:
    found = _read(out)
    assert sorted(found) == paths
    np.testing.assert_array_equal(
        np.stack([found[path] for path in paths]), extractor.transform(paths)
    )


def test_ray(paths: list[str], extractor: VGGFeatureExtractor, tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    out = tmp_path / "features"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Ray warns of is no concern of ours
        ray.init(num_cpus=2, include_dashboard=False, configure_logging=False)
        try:
            names: dict[str, Any] = {"paths": paths, "extractor": extractor, "out": str(out)}
            exec(_recipe("ray"), names)
        finally:
            ray.shutdown()
    _check(out, paths, extractor)


@pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java")
def test_spark(
    paths: list[str],
    extractor: VGGFeatureExtractor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sql = pytest.importorskip("pyspark.sql")
    root = str(PAGE.parent.parent)
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]))
    out = tmp_path / "features"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Spark warns of is no concern of ours
        builder = sql.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
        spark = builder.config("spark.driver.bindAddress", "127.0.0.1").getOrCreate()
        try:
            names: dict[str, Any] = {"paths": paths, "extractor": extractor, "out": str(out)}
            exec(_recipe("spark"), names | {"spark": spark})
        finally:
            spark.stop()
    _check(out, paths, extractor)


def test_each_worker_sees_a_device_of_its_own() -> None:
    pytest.importorskip("distributed")
    names: dict[str, Any] = {}
    exec(_recipe("several-gpus"), names)
    client, cluster = names["client"], names["cluster"]
    try:
        client.wait_for_workers(2)
        seen = client.run(lambda: os.environ["CUDA_VISIBLE_DEVICES"])
    finally:
        client.close()
        cluster.close()
    assert sorted(seen.values()) == ["0", "1"]

"""FastAPI: a service that gets one image file in each request."""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pytest
from clients.cases import COLOUR, CONTENTS, LABELS, N, extractor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

pytest.importorskip("fastapi", reason="fastapi is not installed")
pytest.importorskip("httpx", reason="httpx is not installed")
LIBRARY = "fastapi"
TRIED = "the service of this page, asked by several threads; a file that is no image"
SERVICE = Path(__file__).parents[2] / "benchmarks" / "service.py"


@pytest.mark.filterwarnings("ignore")  # of what its client for tests is made of
def test_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastapi.testclient import TestClient

    model = make_pipeline(extractor(), LogisticRegression()).fit(CONTENTS, LABELS)
    joblib.dump(model, tmp_path / "model.joblib")
    monkeypatch.setenv("SERVICE_MODEL", str(tmp_path / "model.joblib"))
    spec = importlib.util.spec_from_file_location("service", SERVICE)
    assert spec is not None
    assert spec.loader is not None
    service = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(service)
    client = TestClient(service.app, raise_server_exceptions=False)

    def ask(i: int) -> str:
        return client.post("/predict", content=CONTENTS[i % N]).json()["label"]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(ask, range(4 * N)))
    np.testing.assert_array_equal(found, np.tile(model.predict(COLOUR).astype(str), 4))
    assert client.post("/predict", content=b"no image\0").status_code == 500

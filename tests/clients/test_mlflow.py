"""mlflow: models that it saves and logs, loaded in a fresh process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clients.cases import COLOUR, LABELS, extractor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sktransfer import SKOPS_TYPES

mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
LIBRARY = "mlflow-skinny"
TRIED = "`mlflow.sklearn.save_model` by skops and by cloudpickle, loaded in a fresh process"

LOAD = """
import sys, warnings
warnings.simplefilter("ignore")
import mlflow.sklearn, numpy as np
model = mlflow.sklearn.load_model(sys.argv[1])
np.save(sys.argv[3], model.predict(np.load(sys.argv[2])))
"""


@pytest.mark.filterwarnings("ignore")  # of mlflow itself
@pytest.mark.parametrize(
    "options",
    [
        {"serialization_format": "skops", "skops_trusted_types": list(SKOPS_TYPES)},
        {"serialization_format": "cloudpickle"},
    ],
    ids=["skops", "cloudpickle"],
)
def test_saved_models(options: dict[str, Any], tmp_path: Path) -> None:
    import mlflow.sklearn

    pipeline = make_pipeline(extractor(), LogisticRegression()).fit(COLOUR, LABELS)
    # Not its own search for packages to install, which starts pip.
    options = options | {"pip_requirements": ["sktransfer"]}
    mlflow.sklearn.save_model(pipeline, str(tmp_path / "model"), **options)
    np.save(tmp_path / "X.npy", COLOUR)
    arguments = [str(tmp_path / each) for each in ("model", "X.npy", "y.npy")]
    subprocess.run([sys.executable, "-c", LOAD, *arguments], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), pipeline.predict(COLOUR))

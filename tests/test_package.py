"""What importing the package costs and gives, and which module may import which."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sktransfer

HEAVY = ["tensorflow", "keras", "torch", "jax", "matplotlib"]


def _run(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def _loaded_after(code: str) -> str:
    return _run(f"{code}\nimport sys\nprint([name for name in {HEAVY} if name in sys.modules])")


def test_import_is_quick() -> None:
    # The one promise about time that a test holds: the import itself, best of five processes.
    code = (
        "import time; start = time.perf_counter()\n"
        "import sktransfer; print(time.perf_counter() - start)"
    )
    assert min(float(_run(code)) for _ in range(5)) < 0.5


def test_import_loads_no_framework() -> None:
    assert _loaded_after("import sktransfer; from sktransfer import *") == "[]"


def test_fitting_and_describing_load_no_framework() -> None:
    code = (
        "import numpy as np\n"
        "from sktransfer import VGGFeatureExtractor, describe_network\n"
        "X = np.random.default_rng(0).integers(0, 256, (2, 8, 8), dtype=np.uint8)\n"
        "extractor = VGGFeatureExtractor('block1_pool', weights=None, random_state=0).fit(X)\n"
        "str(describe_network('vgg16', cut='flatten')); extractor.get_feature_names_out()"
    )
    assert _loaded_after(code) == "[]"


def test_drawing_loads_matplotlib_and_no_framework() -> None:
    code = "from sktransfer import ArchitectureDisplay; ArchitectureDisplay.from_architecture()"
    pytest.importorskip("matplotlib")
    assert _loaded_after(f"import os; os.environ['MPLBACKEND'] = 'agg'; {code}") == "['matplotlib']"


def test_public_names_are_listed_once_and_found() -> None:
    stub = ast.parse(Path(sktransfer.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    listed = [alias.name for node in imports for alias in node.names]
    assert sorted(listed) == sorted(sktransfer.__all__)
    assert sktransfer.__all__ == sorted(sktransfer.__all__)
    assert set(sktransfer.__all__) <= set(dir(sktransfer))
    for name in sktransfer.__all__:
        assert getattr(sktransfer, name) is not None


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match=r"sktransfer.* attribute .*nonsense"):
        sktransfer.nonsense  # noqa: B018 - the access is what is tested


def test_version_is_that_of_the_distribution() -> None:
    try:
        version = importlib.metadata.version("sktransfer")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("sktransfer runs from its source tree")
    assert version == sktransfer.__version__


def test_modules_import_only_those_below_them() -> None:
    command = shutil.which("lint-imports", path=os.path.dirname(sys.executable))  # noqa: PTH120
    if command is None:
        pytest.skip("import-linter is not installed")
    root = Path(__file__).resolve().parent.parent
    result = subprocess.run([command, "--no-cache"], capture_output=True, text=True, cwd=root)
    assert result.returncode == 0, result.stdout


def test_one_module_takes_private_names_of_scikit_learn() -> None:
    package = Path(sktransfer.__file__).parent
    users = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sklearn"):
                names = [*str(node.module).split("."), *(alias.name for alias in node.names)]
                if any(name.startswith("_") for name in names):
                    users.add(str(path.relative_to(package)))
    assert users == {"base.py"}

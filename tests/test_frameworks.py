"""Forked processes: what runs there, and what is an error at once instead of a hang."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

_START = """
import os, signal, sys, threading, warnings
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
warnings.simplefilter("ignore")
import numpy as np

X = np.arange(8 * 64, dtype=np.uint8).reshape(8, 64)
y = np.arange(8) % 2

def transform(engine, cache=None, X=X):
    from sktransfer import VGGFeatureExtractor
    extractor = VGGFeatureExtractor(
        "block1_conv1", weights=None, input_size=32, random_state=0, cache=cache, engine=engine,
        value_range=(0, 255),
    )
    return float(extractor.fit_transform(X).sum())

def classifier(**params):
    from sktransfer import VGGClassifier
    return VGGClassifier(
        "block1_pool", weights=None, pooling="avg", input_size=32, epochs=1, head_epochs=1,
        random_state=0, value_range=(0, 255), **params
    )

def run_user_model():
    import keras
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.predict(np.zeros((3, 4)), verbose=0)

def in_child(name, function, *args):
    sys.stdout.flush()
    child = os.fork()
    if child:
        status = os.waitpid(child, 0)[1]
        if status:
            print(name, "HANG" if status == signal.SIGALRM else f"status {status}")
        return
    signal.alarm(90)  # ends what hangs, by a signal that no framework can hold back
    try:
        print(name, "gives", function(*args))
    except Exception as error:
        print(name, "raises", type(error).__name__, error)
    sys.stdout.flush()
    os._exit(0)
"""


def _run(tmp_path: Path, code: str, **environment: str) -> dict[str, str]:
    """Run code, and return what it printed by the first word of each line."""
    path = tmp_path / "output"
    with path.open("w") as output:
        # Not a pipe, which a child that hangs would keep open; a group, to end all of them.
        process = subprocess.Popen(
            [sys.executable, "-c", _START + code],
            env=os.environ | {"SKTRANSFER_CACHE_DIR": str(tmp_path)} | environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            assert process.wait(timeout=500) == 0, path.read_text()
        except subprocess.TimeoutExpired:
            pytest.fail(f"it hangs: {path.read_text()}")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return dict(line.split(" ", 1) for line in path.read_text().splitlines() if " " in line)


def _is_refused(line: str, name: str) -> bool:
    return (
        line.startswith(f"raises RuntimeError {name} cannot run in a process forked from one in")
        and "joblib.parallel_config(backend='loky')" in line
    )


def test_what_ran_in_the_parent_does_not_run_in_its_children_and_the_rest_does(
    tmp_path: Path,
) -> None:
    pytest.importorskip("openvino")
    pytest.importorskip("ncnn")
    code = """
import keras  # imported, and nothing more
in_child("import-keras", transform, "keras")
for engine in ("ncnn", "openvino"):
    print(f"parent-{engine} gives", transform(engine))
    in_child(f"{engine}-{engine}", transform, engine)
in_child("openvino-keras", transform, "keras")
in_child("openvino-fit", lambda: classifier(engine="openvino", cache=None).fit(X, y).n_iter_)
warm = transform("openvino", "temporary")
model = classifier(engine="openvino").fit(X, y)
print("parent-predict gives", model.predict(X).tolist())
in_child("trained-predict", lambda: model.predict(X).tolist())
in_child("trained-fit", lambda: classifier(engine="openvino").fit(X, y))
in_child("trained-to_keras", model.to_keras)
in_child("trained-keras", transform, "keras")
from sktransfer import pretrain
in_child("trained-pretrain", lambda: pretrain(os.environ["SKTRANSFER_CACHE_DIR"] + "/x.h5"))
child = os.fork()
if child == 0:  # it ends as any process does, which frees what it inherited
    signal.alarm(90)
    raise SystemExit(7)
print("ends gives", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    found = _run(tmp_path, code)
    assert found["import-keras"].startswith("gives")
    assert _is_refused(found["ncnn-ncnn"], "ncnn")
    assert _is_refused(found["openvino-openvino"], "OpenVINO")
    assert found["openvino-keras"] == found["import-keras"]
    assert found["trained-predict"] == found["parent-predict"]
    for name in ("fit", "to_keras", "keras", "pretrain"):
        assert _is_refused(found[f"trained-{name}"], "TensorFlow"), found
    assert found["ends"] == "gives 7"


def test_a_model_of_the_users_that_ran_in_the_parent(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    code = """
import sktransfer.extractor
run_user_model()
in_child("user-keras", transform, "keras")
in_child("user-fit", lambda: classifier(engine="openvino").fit(X, y))
in_child("user-openvino", transform, "openvino")
print("parent-openvino gives", transform("openvino"))
"""
    found = _run(tmp_path, code)
    assert _is_refused(found["user-keras"], "TensorFlow")
    assert _is_refused(found["user-fit"], "TensorFlow")
    assert found["user-openvino"] == found["parent-openvino"]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux's list of threads")
def test_a_package_that_is_imported_after_the_fork(tmp_path: Path) -> None:
    code = """
run_user_model()
in_child("user-keras", transform, "keras")
print("parent-keras gives", transform("keras") != 0)
"""
    found = _run(tmp_path, code)
    assert _is_refused(found["user-keras"], "TensorFlow")
    assert found["parent-keras"] == "gives True"


@pytest.mark.parametrize("engine", ["keras", "openvino"])
def test_cross_validation_in_forked_workers_is_an_error_at_once(
    engine: str, tmp_path: Path
) -> None:
    pytest.importorskip(engine)
    code = f"""
from joblib import parallel_config
from sklearn.model_selection import cross_val_score
model = classifier(engine="{engine}").fit(X, y)
with parallel_config("multiprocessing"):
    try:
        cross_val_score(model, X, y, cv=2, n_jobs=2, error_score="raise")
    except RuntimeError as error:
        print("workers raises", type(error).__name__, error)
"""
    assert _is_refused(_run(tmp_path, code)["workers"], "TensorFlow")


def test_a_fork_while_another_thread_builds_a_network(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    pytest.importorskip("ncnn")
    code = """
from sktransfer.engines import openvino
started, ended = threading.Event(), threading.Event()
build = openvino.OpenVINOEngine

def wait(*args):
    started.set()
    ended.wait()
    return build(*args)

openvino.OpenVINOEngine = wait
thread = threading.Thread(target=transform, args=("openvino",))
thread.start()
started.wait()
in_child("same", transform, "openvino")
in_child("other", transform, "ncnn")
ended.set()
thread.join()
print("parent gives", transform("ncnn"))
"""
    found = _run(tmp_path, code)
    assert _is_refused(found["same"], "OpenVINO")
    assert found["other"] == found["parent"]


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_other_backends_that_ran_in_the_parent(backend: str, tmp_path: Path) -> None:
    pytest.importorskip(backend, reason=f"{backend} is not installed")
    code = f"""
import sktransfer.extractor
import {backend}
in_child("imported", transform, "keras")
run_user_model()
in_child("user", transform, "keras")
transform("keras")
in_child("ours", transform, "keras")
"""
    found = _run(tmp_path, code, KERAS_BACKEND=backend)
    assert found["imported"].startswith("gives")
    if backend == "torch":  # which runs on one thread
        assert found["user"] == found["imported"]
    else:
        assert _is_refused(found["user"], "JAX")
    assert _is_refused(found["ours"], {"torch": "PyTorch", "jax": "JAX"}[backend])


def test_an_old_keras_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from sktransfer.networks import frameworks

    monkeypatch.setattr(frameworks, "version", lambda name: "2.15.0")
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    with pytest.raises(
        ImportError, match=r"needs Keras 3\.5 or newer\. Got keras 2\.15\.0: update"
    ):
        frameworks.claim("keras")
    frameworks.claim("ncnn")


@pytest.mark.parametrize(
    ("module", "setting"),
    [
        ("gunicorn.arbiter", "--preload"),
        ("celery.apps.worker", "--pool threads"),
        ("multiprocess", "num_proc"),
        ("joblib", "joblib's backend 'loky'"),
    ],
)
def test_the_error_names_the_tool_that_forked(
    module: str, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sktransfer.networks import frameworks

    monkeypatch.setattr(frameworks, "_lost", {"ncnn"})
    for name in ("gunicorn.arbiter", "celery.apps.worker", "multiprocess"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    tool = types.ModuleType(module)
    tool.parent_process = lambda: object()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module, tool)
    with pytest.raises(RuntimeError, match=rf"ncnn cannot run in a process forked .*{setting}"):
        frameworks.claim("ncnn")


def test_the_error_names_the_setting_of_a_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    from sktransfer.networks import frameworks

    monkeypatch.setattr(frameworks, "_lost", {"ncnn"})
    loader = types.ModuleType("torch.utils.data")
    loader.get_worker_info = lambda: object()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.data", loader)
    with pytest.raises(RuntimeError, match="multiprocessing_context='spawn' of the DataLoader"):
        frameworks.claim("ncnn")

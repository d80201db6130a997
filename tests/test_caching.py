"""The extractor with a store: each image computed once, and never another's features."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import (
    FeatureStore,
    FeatureStoreWarning,
    VGGFeatureExtractor,
    load_digit_pair,
)
from sktransfer.engines import choice, keras as keras_engine
from sktransfer.engines.choice import is_installed
from sktransfer.engines.keras import KerasEngine
from sktransfer.features import temporary


def _random(layer: str | list[str] = "block1_pool", **params: Any) -> VGGFeatureExtractor:
    params = {
        "pooling": "max",
        "input_size": 32,
        "random_state": 0,
        "engine": "keras",
        "weights": None,
    } | params
    return VGGFeatureExtractor(layer, **params)


def _images(n: int = 40) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 9, 9), dtype=np.uint8)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "store", max_bytes=200 << 20)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collect how many images every call of an engine got."""
    calls: list[int] = []
    run = KerasEngine.__call__

    def count(self: KerasEngine, inputs: np.ndarray, outputs: list[np.ndarray]) -> None:
        calls.append(len(inputs))
        run(self, inputs, outputs)

    monkeypatch.setattr(KerasEngine, "__call__", count)
    return calls


# -- each image once


def test_images_are_computed_once_and_rows_are_those_of_a_computation(
    store: FeatureStore, computed: list[int]
) -> None:
    X = _images()
    reference = _random(cache=None).fit_transform(X)
    computed.clear()
    extractor = _random(cache=store).fit(X)
    np.testing.assert_array_equal(extractor.transform(X), reference)
    assert sum(computed) == 40
    computed.clear()
    order = np.random.default_rng(1).permutation(40)
    np.testing.assert_array_equal(extractor.transform(X[order]), reference[order])
    np.testing.assert_array_equal(clone(extractor).fit_transform(X[5:9]), reference[5:9])
    assert computed == []
    more = np.concatenate([X[:10], 255 - X[:10]])
    np.testing.assert_array_equal(
        extractor.transform(more), _random(cache=None).fit(X).transform(more)
    )
    assert sum(computed) == 10 + 20


def test_equal_images_of_one_call_are_computed_once(
    store: FeatureStore, computed: list[int]
) -> None:
    X = _images(3)[[0, 1, 0, 2, 2, 0] * 30]
    features = _random(cache=store).fit_transform(X)
    assert sum(computed) == 3
    np.testing.assert_array_equal(features, _random(cache=None).fit_transform(X))


def test_layers_are_stored_apart(store: FeatureStore, computed: list[int]) -> None:
    X = _images()
    both = _random(["block1_conv1", "block2_pool"], cache=store).fit_transform(X)
    computed.clear()
    for layer, columns in (("block1_conv1", slice(64)), ("block2_pool", slice(64, None))):
        np.testing.assert_array_equal(
            _random(layer, cache=store).fit_transform(X), both[:, columns]
        )
    swapped = _random(["block2_pool", "block1_conv1"], cache=store).fit_transform(X)
    np.testing.assert_array_equal(swapped, np.roll(both, 128, axis=1))
    assert computed == []
    assert sorted(store.info().recipes.values()) == [40, 40]
    # And the other way round: of two layers one is there, which does not spare the forward pass.
    _random(["block1_conv1", "block1_pool"], cache=store).fit_transform(X)
    assert sum(computed) == 40


@pytest.mark.parametrize("pooling", ["avg", None])
def test_layers_of_one_pass_are_bitwise_those_of_their_own(
    pooling: str | None, store: FeatureStore
) -> None:
    X = _images(5)
    names = ["block1_conv2", "block3_conv1", "block5_pool"]
    _random(names, pooling=pooling, cache=store).fit(X).transform(X)
    for name in names:
        hit = _random(name, pooling=pooling, cache=store).fit_transform(X)
        np.testing.assert_array_equal(
            hit, _random(name, pooling=pooling, cache=None).fit_transform(X)
        )


@pytest.mark.parametrize("engine", ["keras", "openvino", "ncnn"])
def test_poolings_of_one_pass_are_bitwise_those_of_their_own(
    engine: str, store: FeatureStore
) -> None:
    if not is_installed(engine):
        pytest.skip(f"{engine} is not installed")
    X = _images(5)
    pairs = [
        ("block1_conv2", "avg"),
        ("block2_pool", None),
        ("block1_conv2", None),
        ("block2_pool", "max"),
        ("block1_conv2", "max"),
    ]
    layers, poolings = ([pair[i] for pair in pairs] for i in (0, 1))
    both = _random(layers, pooling=poolings, engine=engine, cache=store)
    features = both.fit_transform(X)
    names = both.get_feature_names_out()
    assert sorted(store.info().recipes.values()) == [5] * 5
    start = 0
    for layer, pooling in pairs:
        one = _random(layer, pooling=pooling, engine=engine, cache=None)
        found = one.fit_transform(X)
        columns = slice(start, start := start + found.shape[1])
        np.testing.assert_array_equal(features[:, columns], found)
        np.testing.assert_array_equal(names[columns], one.get_feature_names_out())
        np.testing.assert_array_equal(clone(one).set_params(cache=store).fit_transform(X), found)
    assert start == features.shape[1]
    assert store.info().n_written == 25


def test_the_same_picture_is_one_entry_in_every_form(
    store: FeatureStore, tmp_path: Path, computed: list[int]
) -> None:
    X = _images(3)
    extractor = _random(cache=store)
    reference = extractor.fit_transform(X)
    computed.clear()
    paths = [str(tmp_path / f"{i}.png") for i in range(3)]
    for image, path in zip(X, paths, strict=True):
        Image.fromarray(image).save(path)
    forms: list[Any] = [
        X.reshape(3, -1),
        X.astype(np.float64),
        np.repeat(X[..., None], 3, axis=3),
        paths,
        [Image.fromarray(image).convert("RGB") for image in X],
        X.astype(np.uint16) * 257,
        list(X),
    ]
    for form in forms:
        np.testing.assert_allclose(clone(extractor).fit_transform(form), reference, rtol=1e-5)
    # 16 bits may differ in the last bit of a pixel; everything else is the same to the bit.
    assert sum(computed) <= 3


def test_hiding_the_accelerators_changes_the_recipe(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a GPU computed is not what a CPU would."""
    X = np.zeros((2, 9, 12), dtype=np.uint8)
    for found in (["some GPU"], ["some GPU"], [], []):
        monkeypatch.setattr(keras_engine, "list_accelerators", lambda found=found: found)
        monkeypatch.setattr(choice, "list_accelerators", lambda found=found: found)
        _random("block1_pool", cache=store).fit_transform(X)
    assert store.info().n_rows == 2


def test_every_part_of_the_recipe_counts(store: FeatureStore, vgg16_blocks: Path) -> None:
    X = np.random.default_rng(0).integers(0, 256, (4, 9, 12), dtype=np.uint8)
    changes: list[dict[str, Any]] = [
        {},
        {"layer": "block1_conv2"},
        {"pooling": "avg"},
        {"pooling": None},
        {"random_state": 1},
        {"weights": str(vgg16_blocks)},
        {"architecture": "vgg19", "layer": "block3_conv4"},
        {"layer": "block3_conv3"},
        {"input_size": 33},
        {"aspect": "crop"},
        {"aspect": "pad"},
        {"interpolation": "nearest"},
        {"interpolation": "bicubic", "antialias": True},
        {"interpolation": "bicubic"},
        {"value_range": (0, 300)},
        {"value_range": (255, 0)},
        {"image_shape": (9, 12)},
    ]
    for _ in range(2):
        for change in changes:
            kept = _random(**({"layer": "block1_pool"} | change), cache=store).fit_transform(X)
            fresh = _random(**({"layer": "block1_pool"} | change), cache=None).fit_transform(X)
            np.testing.assert_array_equal(kept, fresh)


def test_changed_weights_under_the_same_name_are_no_hit(
    store: FeatureStore, vgg16_blocks: Path, tmp_path: Path
) -> None:
    path = tmp_path / "weights.h5"
    shutil.copy(vgg16_blocks, path)
    X = _images(3)
    before = _random(weights=str(path), cache=store).fit_transform(X)
    with h5py.File(path, "r+") as file:
        file["block1_conv1/block1_conv1_W_1:0"][...] *= 1.5
    after = _random(weights=str(path), cache=store).fit_transform(X)
    np.testing.assert_array_equal(after, _random(weights=str(path), cache=None).fit_transform(X))
    assert (before != after).any()


def test_folds_searches_and_pipelines_share(store: FeatureStore, computed: list[int]) -> None:
    X, y = load_digit_pair((8, 6), return_X_y=True)
    X, y = X[:80], y[:80]
    n_distinct = len(np.unique(X, axis=0))
    model = make_pipeline(_random(cache=store), StandardScaler(), LogisticRegression())
    scores = cross_val_score(model, X, y, cv=10)
    assert sum(computed) == n_distinct
    plain = make_pipeline(_random(cache=None), StandardScaler(), LogisticRegression())
    computed.clear()
    search = GridSearchCV(model, {"logisticregression__C": [0.1, 1.0]}, cv=4).fit(X, y)
    assert search.best_score_ > 0.8
    assert computed == []
    np.testing.assert_array_equal(cross_val_score(plain, X, y, cv=10), scores)


def test_workers_together_compute_every_image_once(store: FeatureStore) -> None:
    X, y = load_digit_pair((8, 6), return_X_y=True)
    n_distinct = len(np.unique(X, axis=0))
    extractor = _random("block3_pool", pooling=None, cache=store)
    model = make_pipeline(extractor, StandardScaler(), LogisticRegression())
    scores = cross_val_score(model, X, y, cv=4, n_jobs=2)
    assert n_distinct <= store.info().n_written <= 1.1 * n_distinct
    alone = cross_val_score(model.set_params(vggfeatureextractor__cache=None), X, y, cv=4)
    np.testing.assert_array_equal(scores, alone)


_AGAIN = """
import pickle, sys
import numpy as np
extractor = pickle.load(open(sys.argv[1], "rb"))
features = extractor.transform(np.load(sys.argv[2]))
np.save(sys.argv[3], features)
print("keras" in sys.modules)
"""


def test_hits_in_another_process_need_no_framework(store: FeatureStore, tmp_path: Path) -> None:
    X = _images()
    extractor = _random(cache=store.path).fit(X)
    features = extractor.transform(X)
    (tmp_path / "extractor.pkl").write_bytes(pickle.dumps(extractor))
    np.save(tmp_path / "X.npy", X)
    names = [str(tmp_path / name) for name in ("extractor.pkl", "X.npy", "out.npy")]
    result = subprocess.run([sys.executable, "-c", _AGAIN, *names], capture_output=True, text=True)
    assert result.stdout == "False\n", result.stderr
    np.testing.assert_array_equal(np.load(names[2]), features)


@pytest.mark.parametrize("cache", [3, 1.5, ["a"]])
def test_what_is_no_store_is_refused(cache: Any) -> None:
    with pytest.raises(ValueError, match="'cache' parameter of VGGFeatureExtractor"):
        _random(cache=cache).fit(_images())


# -- the temporary store


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have temporary stores made in a folder of the test's own."""
    monkeypatch.setenv("SKTRANSFER_CACHE_DIR", str(tmp_path / "caches"))
    monkeypatch.delenv("SKTRANSFER_CACHE", raising=False)
    monkeypatch.setattr(temporary, "_current", None)
    monkeypatch.setattr(temporary, "_members", {})
    return tmp_path / "caches"


def _paths() -> list[Path]:
    return [store.path for store in temporary.list_stores()]


_USE = """
import os, sys, time
import numpy as np
from sktransfer import VGGFeatureExtractor
from sktransfer.features.temporary import temporary_store
store = temporary_store()
print(store.path, flush=True)
with store.open() as use:
    use.write("a", [bytes(16)], np.ones((1, 3), np.float32))
if sys.argv[1:] == ["wait"]:
    time.sleep(100)
"""


def _use(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _USE, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def _first_line(process: subprocess.Popen[str]) -> Path:
    assert process.stdout is not None
    return Path(process.stdout.readline().strip())


def test_the_temporary_store_is_private_and_removed_at_exit(folder: Path) -> None:
    process = _use("wait")
    path = _first_line(process)
    assert path.parent.parent == folder
    for private in (path, path.parent):
        assert private.stat().st_mode & 0o777 == 0o700
    process.kill()
    process.communicate()
    process = _use()
    path = _first_line(process)
    process.communicate()
    assert not path.exists()


def test_orphans_are_swept_at_the_next_start_and_the_living_are_not(folder: Path) -> None:
    killed, living = _use("wait"), _use("wait")
    orphan, kept = _first_line(killed), _first_line(living)
    killed.kill()
    killed.communicate()
    assert orphan.exists()
    third = _use()
    third.communicate()
    assert not orphan.exists()
    assert kept.exists()
    living.kill()
    living.communicate()
    assert temporary.sweep_orphans() == [kept]


def _content(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def test_nothing_of_the_users_is_removed(folder: Path, tmp_path: Path) -> None:
    _use().communicate()  # makes the private folder
    (private,) = folder.iterdir()
    names = [
        folder / "sktransfer-results",
        folder / "sktransfer-1-abcdefgh",
        folder / "store-0123456789abcdef0123456789abcdef",
        private / "results",
        private / "store-results",
        private / "store-00000000000000000000000000000000",
    ]
    for path in names:
        path.mkdir()
        (path / "rows.npy").write_bytes(b"rows")
    (names[1] / "owner.lock").touch()
    with FeatureStore(folder / "sktransfer-features").open() as use:
        use.write("a", [bytes(16)], np.ones((1, 3), np.float32))
    # A store of the user's, which no process of ours has made as a temporary one.
    with FeatureStore(private / "store-33333333333333333333333333333333").open() as use:
        use.write("a", [bytes(16)], np.ones((1, 3), np.float32))
        with use.claim([bytes(16)], wait=True):
            pass
    # A link to a folder that looks like an orphan, and an orphan that holds a file of the user's.
    outside = tmp_path / "outside"
    shutil.copytree(folder / "sktransfer-features", outside)
    (outside / "main-1-0123456789abcdef.lock").touch()
    (private / "store-11111111111111111111111111111111").symlink_to(outside)
    mixed = private / "store-22222222222222222222222222222222"
    shutil.copytree(outside, mixed)
    (mixed / "notes.txt").write_text("mine", encoding="utf-8")
    before = _content(tmp_path)
    process = _use()
    _first_line(process)
    process.communicate()
    temporary.sweep_orphans()
    after = _content(tmp_path)
    gone = {str(path.relative_to(tmp_path)) for path in mixed.parent.rglob("*")} - set(after)
    assert gone == set()
    removed = {name for name in before if name not in after}
    assert removed == {
        name for name in before if name.startswith(str(mixed.relative_to(tmp_path)) + os.sep)
    } - {str((mixed / "notes.txt").relative_to(tmp_path))}
    assert all(after[name] == before[name] for name in after)


def test_a_sweep_that_was_cut_off_is_completed(folder: Path) -> None:
    process = _use("wait")
    path = _first_line(process)
    process.kill()
    process.communicate()
    empty = path.with_name("store-00000000000000000000000000000000")
    empty.mkdir()
    for file in path.glob("features-*"):
        file.unlink()
    assert temporary.sweep_orphans() == sorted([empty, path])
    assert _paths() == []


def test_a_place_that_cannot_be_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKTRANSFER_CACHE_DIR", "~nosuchuser/x")
    X = _images(3)
    with pytest.warns(FeatureStoreWarning, match=r"\$SKTRANSFER_CACHE_DIR must be .* Got '~nosuch"):
        features = _random().fit_transform(X)
    np.testing.assert_array_equal(features, _random(cache=None).fit_transform(X))


@pytest.mark.parametrize("fault", ["link", "open", "owner"])
def test_a_folder_that_others_can_reach_is_not_used(
    fault: str, folder: Path, tmp_path: Path
) -> None:
    parent = temporary._parent()
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    (target / "store-00000000000000000000000000000000").mkdir()
    folder.mkdir()
    if fault == "link":
        parent.symlink_to(target)
        message = "is a link"
    else:
        target.rename(parent)
        message = "is open to other users: its mode is 755 and must be 700"
        parent.chmod(0o755)
    if fault == "owner":
        if os.geteuid() != 0:
            pytest.skip("only root can give a folder to another user")
        parent.chmod(0o700)
        os.chown(parent, 65534, 65534)
        message = "belongs to another user"
    before = _content(tmp_path)
    X = _images(3)
    with pytest.warns(FeatureStoreWarning, match=message) as caught:
        features = _random().fit_transform(X)
    assert len(caught) == 1
    np.testing.assert_array_equal(features, _random(cache=None).fit_transform(X))
    _random().fit_transform(X)  # without another warning
    assert _paths() == temporary.sweep_orphans() == []
    assert _content(tmp_path) == before


@pytest.mark.parametrize("fault", ["link", "owner"])
def test_a_store_that_others_put_there_is_not_used(
    fault: str, folder: Path, tmp_path: Path
) -> None:
    parent = temporary._parent()
    parent.parent.mkdir()
    parent.mkdir(mode=0o700)
    path = parent / f"store-{temporary._family()}"
    if fault == "link":
        (tmp_path / "target").mkdir()
        path.symlink_to(tmp_path / "target")
    else:
        if os.geteuid() != 0:
            pytest.skip("only root can give a folder to another user")
        path.mkdir()
        os.chown(path, 65534, 65534)
    with pytest.warns(FeatureStoreWarning, match=r"is a link|belongs to another user"):
        _random().fit_transform(_images(3))
    assert list(path.iterdir()) == []


def test_another_folder_means_another_store(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = temporary.temporary_store()
    assert temporary.temporary_store() is first
    monkeypatch.setenv("SKTRANSFER_CACHE_DIR", str(tmp_path / "others"))
    second = temporary.temporary_store()
    assert first is not None and second is not None
    assert second.path.parent.parent == tmp_path / "others"
    monkeypatch.setenv("SKTRANSFER_CACHE_DIR", str(folder))
    assert temporary.temporary_store() == first


def test_off_means_off(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKTRANSFER_CACHE", "off")
    assert temporary.temporary_store() is None
    _random().fit_transform(_images(3))
    assert not folder.exists()


def test_no_folder_is_one_warning_and_no_store(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.touch()  # a file in the way
    X = _images(3)
    with pytest.warns(FeatureStoreWarning, match="cannot be made in .*without being stored"):
        features = _random().fit_transform(X)
    np.testing.assert_array_equal(features, _random(cache=None).fit_transform(X))
    _random().fit_transform(X)  # without another warning


def test_workers_share_the_store_of_their_parent(folder: Path) -> None:
    code = """
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sktransfer import VGGFeatureExtractor
from sktransfer.features.temporary import temporary_store
X = np.random.default_rng(0).integers(0, 256, (60, 81), dtype=np.uint8)
y = np.arange(60) % 2
extractor = VGGFeatureExtractor("block1_pool", pooling="avg", weights=None, input_size=32,
                                random_state=0)
model = make_pipeline(extractor, LogisticRegression(max_iter=10000))
if __name__ == "__main__":
    cross_val_score(model, X, y, cv=3, n_jobs=2)
    info = temporary_store().info()
    print(info.n_rows, info.n_written)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, start_new_session=True
    )
    assert result.returncode == 0, result.stderr
    n_rows, n_written = map(int, result.stdout.split())
    assert n_rows == 60
    assert n_written <= 66
    assert _paths() == []


_WORKERS = """
import os, subprocess, sys, time
import numpy as np
from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky import get_reusable_executor
START_FIRST, BACKEND = sys.argv[1] == "first", sys.argv[2]
parallel_config(backend=BACKEND, n_jobs=2)
if START_FIRST:
    Parallel()(delayed(os.getpid)() for _ in range(2))
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sktransfer import VGGFeatureExtractor
from sktransfer.features import temporary
X = np.random.default_rng(0).integers(0, 256, (60, 81), dtype=np.uint8)
extractor = VGGFeatureExtractor("block1_pool", pooling="avg", weights=None, input_size=32,
                                random_state=0)
model = make_pipeline(extractor, LogisticRegression(max_iter=10000))
assert temporary.list_stores() == []
for _ in range(2):
    cross_val_score(model, X, np.arange(60) % 2, cv=3, n_jobs=2)
    (store,) = temporary.list_stores()
    info = store.info()
    print(info.n_rows, info.n_written)
    # The workers end, and somebody else removes orphans; this process has made no store itself.
    get_reusable_executor().shutdown(kill_workers=True)
    another = "from sktransfer.features.temporary import temporary_store; temporary_store()"
    subprocess.run([sys.executable, "-c", another], check=True)
assert temporary._members == {}
"""


@pytest.mark.parametrize(
    ("start", "backend"), [("first", "loky"), ("later", "loky"), ("later", "multiprocessing")]
)
def test_workers_share_a_store_that_their_parent_never_made(
    start: str, backend: str, folder: Path
) -> None:
    if backend == "multiprocessing" and not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    command = [sys.executable, "-c", _WORKERS, start, backend]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    first, second = result.stdout.splitlines()
    n_rows, n_written = map(int, first.split())
    assert n_rows == 60
    assert n_written <= 66
    assert second == first
    assert _paths() == []


def test_pickling_leaves_no_trace_on_disk(folder: Path) -> None:
    for extractor in (_random(), _random().fit(_images())):
        content = pickle.dumps(extractor)
        assert str(folder).encode() not in content
    assert not folder.exists()


def test_a_removed_folder_is_made_anew(folder: Path) -> None:
    X = _images(3)
    extractor = _random()
    features = extractor.fit_transform(X)
    store = temporary.temporary_store()
    assert store is not None
    shutil.rmtree(store.path)
    np.testing.assert_array_equal(extractor.transform(X), features)
    again = temporary.temporary_store()
    assert again is not None
    assert again.info().n_rows == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_does_not_remove_the_store(folder: Path) -> None:
    code = """
import os, subprocess, sys
from sktransfer.features.temporary import temporary_store
store = temporary_store()
child = os.fork()
if child == 0:
    assert temporary_store() == store
    sys.exit(0)
_, status = os.waitpid(child, 0)
another = "from sktransfer.features.temporary import sweep_orphans; print(sweep_orphans())"
subprocess.run([sys.executable, "-c", another], check=True)
print(status, store.path.exists(), flush=True)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "[]\n0 True\n", result.stderr
    assert _paths() == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_fork_while_another_thread_makes_the_store_does_not_hang(folder: Path) -> None:
    code = """
import os, sys
from sktransfer.features import temporary
with temporary._lock:  # as if another thread made the store at this moment
    child = os.fork()
if child == 0:
    os._exit(temporary.temporary_store() is None)
_, status = os.waitpid(child, 0)
print(status)
"""
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.stdout == "0\n", result.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_fork_while_another_thread_uses_a_store_stalls_nobody(tmp_path: Path) -> None:
    """A child that inherited SQLite's locks in memory would wait for them for a minute."""
    code = """
import os, sys, threading, time
import numpy as np
from sktransfer import FeatureStore
images, out = [bytes([i]) * 16 for i in range(200)], np.zeros((200, 64), np.float32)
store = FeatureStore(sys.argv[1])

def read(use):
    assert use.read("a", images, out.copy()).all()
    use.refresh()

with store.open() as use:
    use.write("a", images, out)
is_over, longest = threading.Event(), 0.0

def work():
    global longest
    while not is_over.is_set():
        start = time.monotonic()
        with store.open() as mine:
            read(mine)
        longest = max(longest, time.monotonic() - start)

threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads:
    thread.start()
with store.open() as use:
    for _ in range(20):
        time.sleep(0.02)
        child = os.fork()
        if child == 0:
            start = time.monotonic()
            read(use)
            with store.open() as mine:
                read(mine)
            os._exit(time.monotonic() - start > 20)
        assert os.waitpid(child, 0)[1] == 0
        read(use)
is_over.set()
for thread in threads:
    thread.join()
assert longest < 20, longest
assert not list(store.path.glob("*-wal"))  # all is closed
"""
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path / "store")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert result.returncode == 0, result.stderr


def test_waiting_for_nobody(store: FeatureStore) -> None:
    """Images that a process claimed before it was killed are free at once."""
    code = (
        "import sys, time\n"
        "from sktransfer import FeatureStore\n"
        "with FeatureStore(sys.argv[1]).open() as use:\n"
        "    with use.claim([bytes([i]) * 16 for i in range(256)], wait=True):\n"
        "        print('claimed', flush=True)\n"
        "        time.sleep(100)\n"
    )
    command = [sys.executable, "-c", code, str(store.path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "claimed\n"
    process.kill()
    process.communicate()
    time.sleep(0.05)
    _random(cache=store).fit_transform(_images(3))
    assert store.info().n_rows == 3

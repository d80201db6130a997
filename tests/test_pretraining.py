"""Pretraining on images made by formula: the stream, the training, the fold, the file."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp

from sktransfer import VGGFeatureExtractor, cli, pretrain
from sktransfer.networks import layers, plan_cut
from sktransfer.training.checkpoints import write_state
from sktransfer.training.pretraining import run, training
from sktransfer.training.pretraining.folding import fold_batch_norm
from sktransfer.training.pretraining.network import HEADS, build_network
from sktransfer.training.pretraining.recipe import plan_recipe
from sktransfer.training.pretraining.storage import round_weights, write_weights
from sktransfer.training.pretraining.stream import HELD_OUT, TRAINING, Stream, draw_ahead, workers
from sktransfer.weights import draw_weights, hash_weights, read_weights, read_weights_and_record

TINY: dict[str, Any] = {"n_classes": 2, "n_images": 32, "batch_size": 4, "learning_rate": 0.01}


def stripes(label: int, rng: np.random.Generator, size: int) -> np.ndarray:
    """Stripes that are narrow or wide, upright or not."""
    wave = np.sin(np.arange(size) * (2.5, 0.4)[label] + rng.uniform(0, 7))
    grey = np.rint(127.5 + 127.5 * wave).astype(np.uint8)
    image = np.empty((size, size, 3), np.uint8)
    image[:] = grey[:, None, None] if rng.random() < 0.5 else grey[None, :, None]
    return image


class Interrupted:
    """The same stripes, until a process is killed: at its n-th image."""

    def __init__(self, n: int) -> None:
        self.n_left = n

    def __call__(self, label: int, rng: np.random.Generator, size: int) -> np.ndarray:
        self.n_left -= 1
        if self.n_left < 0:
            raise KeyboardInterrupt
        return stripes(label, rng, size)

    def describe(self) -> str:
        return f"{stripes.__module__}:{stripes.__qualname__}"


def _stream(**changed: Any) -> Stream:
    parameters: dict[str, Any] = {
        "formula": stripes,
        "n_classes": 2,
        "sizes": (32,),
        "batch_size": 4,
        "seed": 0,
    }
    return Stream(**parameters | changed)


@contextmanager
def _few_channels() -> Iterator[None]:
    """VGG16 with few channels: what is tested does not depend on how many there are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers, "_FILTERS", (4, 8, 8, 16, 16))
        layers.list_layers.cache_clear()
        yield
    layers.list_layers.cache_clear()


@pytest.fixture
def thin() -> Iterator[None]:
    with _few_channels():
        yield


LONGER: dict[str, Any] = {
    "n_classes": 2,
    "n_images": 640,
    "sizes": (32, 32, 48),
    "batch_size": 16,
    "learning_rate": 0.03,
    "weight_bits": 8,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run that is long enough to learn something."""
    out = tmp_path_factory.mktemp("pretrained") / "stripes.h5"
    with _few_channels():
        return pretrain(out, formula=stripes, **LONGER)


# -- the stream


def test_an_image_depends_on_its_number_alone() -> None:
    together, _ = _stream().draw_batch(TRAINING, 1)
    alone, _ = _stream(batch_size=1).draw_batch(TRAINING, 6)
    np.testing.assert_array_equal(alone[0], together[2])


def test_an_image_is_drawn_from_seed_part_and_number() -> None:
    rng = np.random.default_rng([7, HELD_OUT, 3])
    label = int(rng.integers(2))
    expected = stripes(label, rng, 32)
    image, found = _stream(seed=7).draw(HELD_OUT, 3, 32)
    np.testing.assert_array_equal(image, expected)
    assert found == label


def test_held_out_images_are_others() -> None:
    trained_on = _stream().draw_batch(TRAINING, 0)[0]
    assert (trained_on != _stream().draw_batch(HELD_OUT, 0)[0]).any()


def test_a_size_comes_up_as_often_as_it_is_named() -> None:
    stream = _stream(sizes=(32, 32, 48))
    sizes = [stream.size_of(TRAINING, batch) for batch in range(600)]
    assert 350 < sizes.count(32) < 450
    assert set(sizes) == {32, 48}


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_workers_give_the_same_batches_in_order(n_jobs: int) -> None:
    stream = _stream(sizes=(32, 48))
    with workers(n_jobs) as executor:
        batches = list(draw_ahead(stream, TRAINING, range(2, 9), executor, n_jobs))
    assert len(batches) == 7
    for number, (images, labels) in enumerate(batches, start=2):
        expected, classes = stream.draw_batch(TRAINING, number)
        np.testing.assert_array_equal(images, expected)
        np.testing.assert_array_equal(labels, classes)


def test_no_more_is_drawn_ahead_than_a_few_batches() -> None:
    formula = Interrupted(10**9)
    stream = _stream(formula=formula)
    with workers(1) as executor:
        batches = draw_ahead(stream, TRAINING, range(1000), executor, 1)
        next(batches)
        batches.close()
    assert 10**9 - formula.n_left <= 4 * stream.batch_size


# -- training and its file


def test_learns_and_says_so(trained: Any) -> None:
    assert trained.accuracy > 0.9
    assert [row["step"] for row in trained.history] == list(range(2, 41, 2))
    assert trained.history[-1]["loss"] < trained.history[0]["loss"]
    assert str(trained) == (
        f"{trained.path}: VGG16 trained on 640 images of 2 classes; accuracy on others "
        f"{trained.accuracy:.3f}"
    )


@pytest.mark.usefixtures("thin")
def test_the_file_says_how_it_was_made(trained: Any) -> None:
    import h5py

    with h5py.File(trained.path) as file:
        attributes = dict(file.attrs)
    recipe = json.loads(attributes["recipe"])
    assert recipe["formula"] == f"{stripes.__module__}:stripes"
    assert recipe["sizes"] == [32, 32, 48]
    assert recipe["supervised"]["block2_pool"] < recipe["supervised"]["block5_pool"] == 1
    assert set(recipe["made_with"]) >= {"sktransfer", "keras"}
    assert attributes["license"] == "BSD-3-Clause"
    assert attributes["accuracy"] == trained.accuracy
    cut = plan_cut("flatten", "vgg16", input_size=32)
    weights, input_size, _ = read_weights_and_record(trained.path, cut)
    assert input_size == 32
    assert attributes["sha256"] == trained.weights_sha256 == hash_weights(weights)


def test_keras_reads_the_file(tmp_path: Path) -> None:
    import keras

    weights = draw_weights(plan_cut("block5_pool", "vgg16", input_size=32), seed=0)
    path = tmp_path / "x.h5"
    write_weights(path, weights, {"input_size": 32})
    network = keras.applications.VGG16(
        weights=str(path), include_top=False, input_shape=(32, 32, 3)
    )
    read = read_weights(path, plan_cut("flatten", "vgg16", input_size=32))
    for name, (kernel, bias) in weights.items():
        for found in (network.get_layer(name).get_weights(), read[name]):
            np.testing.assert_array_equal(found[0], kernel)
            np.testing.assert_array_equal(found[1], bias)


@pytest.mark.usefixtures("thin")
def test_the_extractor_tells_the_classes_apart(trained: Any) -> None:
    images, labels = _stream(batch_size=24).draw_batch(HELD_OUT, 0)
    extractor = VGGFeatureExtractor(
        "block5_pool", weights=trained.path, value_range=(0, 255), cache=None
    )
    features = extractor.fit_transform(images)
    assert extractor.input_size_ == 32
    centres = np.stack([features[:12][labels[:12] == label].mean(axis=0) for label in (0, 1)])
    distances = np.linalg.norm(features[12:, None] - centres, axis=2)
    assert (distances.argmin(axis=1) == labels[12:]).mean() > 0.9


@pytest.mark.usefixtures("thin")
def test_a_finished_file_is_read_and_not_trained_anew(
    trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sktransfer.training.pretraining.run.train", None)
    again = pretrain(trained.path, formula=stripes, n_jobs=2, **LONGER)
    assert again == trained


@pytest.mark.usefixtures("thin")
def test_another_recipe_does_not_overwrite(trained: Any) -> None:
    with pytest.raises(
        FileExistsError,
        match=r"differs in learning_rate \(0\.03 there, 0\.02 here\), weight_bits",
    ):
        pretrain(
            trained.path,
            formula=stripes,
            **LONGER | {"learning_rate": 0.02, "weight_bits": 7},
        )


def test_a_file_of_the_users_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "mine.h5"
    out.write_bytes(b"precious")
    with pytest.raises(FileExistsError, match="which exists without a record of its recipe"):
        pretrain(out, formula=stripes, **TINY)
    assert out.read_bytes() == b"precious"


@pytest.mark.parametrize(
    "recipe", ["", "[]", "3", "{}", "[" * 100_000, b"\xff", 7, '{"n_images": []}', "Infinity"]
)
def test_a_recipe_that_is_none(recipe: Any, tmp_path: Path) -> None:
    import h5py

    out = tmp_path / "mine.h5"
    with h5py.File(out, "w", libver="latest") as file:
        file.attrs.update(recipe=recipe, accuracy=0.5, history="[]", sha256="0")
    with pytest.raises(FileExistsError, match=r"mine\.h5', which exists without a record"):
        pretrain(out, formula=stripes, **TINY)


@pytest.mark.parametrize("accuracy", [np.nan, -0.1, 2.0, 1e300])
def test_an_accuracy_that_is_none(accuracy: float, tmp_path: Path) -> None:
    import h5py

    out = tmp_path / "mine.h5"
    with h5py.File(out, "w", libver="latest") as file:
        recipe = '{"n_images": 64}'
        file.attrs.update(recipe=recipe, accuracy=accuracy, history="[]", sha256="0")
    with pytest.raises(FileExistsError, match=r"mine\.h5', which exists without a record"):
        pretrain(out, formula=stripes, **TINY)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "mine.h5"
    os.mkfifo(out)
    with pytest.raises(FileExistsError, match="which exists without a record of its recipe"):
        pretrain(out, formula=stripes, **TINY)


@pytest.mark.usefixtures("thin")
def test_interrupted_and_resumed_equals_uninterrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    parameters = TINY | {"sizes": (32, 40), "random_state": 3}
    whole = pretrain(tmp_path / "whole.h5", formula=Interrupted(10**9), **parameters)
    out = tmp_path / "parts.h5"
    # 8 for the fingerprint, 4 held out, and 4 batches.
    with pytest.raises(KeyboardInterrupt):
        pretrain(out, formula=Interrupted(28), **parameters)
    assert not out.exists()
    assert (tmp_path / "parts.h5.checkpoint.npz").exists()

    with pytest.raises(ValueError, match=r"unfinished run .* differs in n_images \(32 there, 64"):
        pretrain(out, formula=stripes, **parameters | {"n_images": 64})
    parts = pretrain(out, formula=stripes, **parameters)
    assert parts.weights_sha256 == whole.weights_sha256
    assert parts.accuracy == whole.accuracy
    timed = ("seconds", "images_per_second")
    for row, expected in zip(parts.history, whole.history, strict=True):
        for name in set(row) - set(timed):
            assert row[name] == expected[name], name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts.h5", "whole.h5"]


@pytest.mark.usefixtures("thin")
def test_a_damaged_checkpoint_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.h5.checkpoint.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(OSError, match=r"pretrain cannot read the checkpoint .* Delete it"):
        pretrain(tmp_path / "x.h5", formula=stripes, **TINY)


IDENTITY = {"n_images": 400, "batch_size": 4}
# Of 100 steps, every fifth has a row.
ROWS = [{"step": step, "images": 4 * step, "seconds": 1.0 * step} for step in (5, 10)]
RUN = {"step": 12, "seconds": 12.0, "loss": 1.5, "n_right": 3, "n_seen": 8, "history": ROWS}
OTHER_TYPE = "it lacks a part, or holds one of another type"
OTHER_ARRAYS = "its arrays are those of another network or optimizer"


@pytest.mark.parametrize(
    ("changes", "arrays", "fault"),
    [
        ({"step": 101}, None, r"its step must be an int from 1 to 100\. Got 101"),
        ({"step": -1}, None, r"its step must be an int from 1 to 100\. Got -1"),
        ({"step": "12"}, None, r"its step must be an int from 1 to 100\. Got '12'"),
        ({"step": 3.5}, None, r"its step must be an int"),
        ({"step": 16}, None, "its history is not that of the finished steps"),
        ({"history": ROWS[:1]}, None, "its history is not that of the finished steps"),
        ({"history": [{"step": 5}]}, None, OTHER_TYPE),
        ({"history": 3}, None, OTHER_TYPE),
        ({"n_seen": 4}, None, "it counts other images than the 8 since the last row"),
        ({"n_right": 9}, None, "it counts other images than the 8 since the last row"),
        ({"loss": math.nan}, None, r"its loss must be a number from 0 up\. Got nan"),
        ({"seconds": None}, None, r"its seconds must be a number from 0 up\. Got None"),
        ({"other": 1}, None, OTHER_TYPE),
        ({}, [np.zeros(4)], OTHER_ARRAYS),
        ({}, [np.array(["a", "b", "c"])], OTHER_ARRAYS),
        ({}, [], OTHER_ARRAYS),
    ],
)
def test_a_checkpoint_that_no_run_wrote(
    changes: dict[str, Any], arrays: Any, fault: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.npz"
    variables: Any = [SimpleNamespace(shape=(3,), assign=lambda values: None)]
    checkpoint = training.PretrainingCheckpoint(path, IDENTITY)
    facts = {"identity": IDENTITY, "run": RUN | changes}
    sound = [np.zeros(3, np.float32)]
    write_state(path, facts, {"variables": sound if arrays is None else arrays})
    lead = r"^pretrain cannot resume from the checkpoint '.*x\.npz': "
    with pytest.raises(OSError, match=lead + fault + r".*\. Delete it to start again\.$"):
        checkpoint.load(variables)
    write_state(path, {"identity": IDENTITY, "run": RUN}, {"variables": sound})
    assert vars(checkpoint.load(variables)) == RUN


@pytest.mark.usefixtures("thin")
def test_a_loss_that_is_no_number_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"in step \d of 8, at a learning rate of .* Try learning_"
    ):
        pretrain(tmp_path / "x.h5", formula=stripes, **TINY | {"learning_rate": 1e30})


def test_losses_of_earlier_blocks_count_by_their_share() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(5, len(HEADS), 3)).astype(np.float32)
    targets, weights = rng.integers(3, size=5), np.full(5, 0.2, np.float32)
    each = logsumexp(scores, axis=2) - scores[np.arange(5), :, targets]
    expected = each.mean(axis=0) @ list(HEADS.values())
    found = float(training.sum_losses(targets, scores, weights))
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.usefixtures("thin")
def test_every_supervised_block_has_a_head_of_its_own() -> None:
    model = build_network(3, "float32", 0.9, 0)
    inputs = np.random.default_rng(0).normal(0, 60, (2, 32, 32, 3)).astype(np.float32)
    for number, block in enumerate(HEADS):
        head = model.get_layer(f"{block}_classes")
        assert head.kernel.shape[0] == model.get_layer(block).output.shape[-1]
        head.set_weights([np.zeros(head.kernel.shape), np.full(3, number)])
    expected = np.broadcast_to(np.arange(len(HEADS))[:, None], (2, len(HEADS), 3))
    np.testing.assert_array_equal(np.asarray(model(inputs)), expected)


@pytest.mark.usefixtures("thin")
def test_bfloat16_trains_and_writes_float32(tmp_path: Path) -> None:
    done = pretrain(
        tmp_path / "x.h5", formula=stripes, precision="bfloat16", **TINY | {"n_images": 16}
    )
    assert np.isfinite(done.history[-1]["loss"])
    kernel = read_weights(done.path, plan_cut("flatten", "vgg16", input_size=32))["block5_conv3"][0]
    assert (kernel.view(np.uint32) & 0xFFFF).any()  # of which bfloat16 has none


@pytest.mark.usefixtures("thin")
@pytest.mark.parametrize(
    ("precision", "cure"),
    [
        ("float32", "learning_rate=3e+29; the checkpoint"),
        ("bfloat16", "learning_rate=3e+29, or precision='float32'; the checkpoint"),
    ],
)
def test_a_loss_that_is_not_finite(precision: str, cure: str, tmp_path: Path) -> None:
    params = TINY | {"learning_rate": 1e30, "precision": precision}
    with pytest.raises(ValueError, match=rf"finite number\..* Try {re.escape(cure)}"):
        pretrain(tmp_path / "x.h5", formula=stripes, **params)


_CODE = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from sktransfer import pretrain
from sktransfer.networks import layers
from test_pretraining import TINY, stripes
layers._FILTERS = (4, 8, 8, 16, 16)
done = pretrain(sys.argv[1], formula=stripes, sizes=(32, 40), n_jobs=2, **TINY)
import keras
print(json.dumps([keras.config.backend(), done.history]))
"""


def _train_on(backend: str, folder: Path) -> Any:
    result = subprocess.run(
        [sys.executable, "-c", _CODE, folder / f"{backend}.h5", Path(__file__).parent],
        env=os.environ | {"KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    used, history = json.loads(result.stdout.splitlines()[-1])
    assert used == backend
    return history


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_other_backends_train_the_same_network(backend: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    for row, expected in zip(
        _train_on(backend, tmp_path), _train_on("tensorflow", tmp_path), strict=True
    ):
        assert row["loss"] == pytest.approx(expected["loss"], rel=1e-3), row["step"]
        assert row["learning_rate"] == pytest.approx(expected["learning_rate"])


# -- wrong parameters


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n_classes": 1}, "'n_classes' parameter of pretrain must be an int in the range"),
        ({"n_classes": None}, "must be the number of labels that the formula has"),
        ({"n_images": 0}, "'n_images' parameter of pretrain"),
        ({"sizes": 31}, r"from 32 up, .* Got 31 instead"),
        ({"sizes": ()}, "'sizes' parameter of pretrain"),
        ({"sizes": (32, 40.5)}, "'sizes' parameter of pretrain"),
        ({"learning_rate": 0}, "'learning_rate' parameter of pretrain"),
        ({"learning_rate": "fast"}, "'learning_rate' parameter of pretrain"),
        ({"precision": "float16"}, "'precision' parameter of pretrain"),
        ({"weight_bits": 1}, "'weight_bits' parameter of pretrain"),
        ({"random_state": -1}, "'random_state' parameter of pretrain"),
        ({"n_jobs": 1.5}, "'n_jobs' parameter of pretrain"),
    ],
)
def test_wrong_parameters(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pretrain(tmp_path / "x.h5", **{"formula": stripes, **TINY, **changed})
    assert not list(tmp_path.iterdir())


def test_a_formula_must_be_a_function(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"must be a function \(label, rng, size\)"):
        pretrain(tmp_path / "x.h5", formula="stripes", n_classes=2)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((32, 32), np.uint8), r"an array of shape \(32, 32\) and dtype uint8"),
        (np.zeros((32, 32, 3)), r"an array of shape \(32, 32, 3\) and dtype float64"),
        (None, "at size 32 None instead"),
    ],
)
def test_a_formula_must_give_images(tmp_path: Path, image: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pretrain(tmp_path / "x.h5", formula=lambda *_: image, n_classes=2)


def test_the_number_of_classes_may_be_the_formulas_own() -> None:
    class Three:
        n_classes = 3

        def __call__(self, label: int, rng: np.random.Generator, size: int) -> np.ndarray:
            return np.full((size, size, 3), label, np.uint8)

    recipe = plan_recipe(Three(), None, 10, 32, 4, 1e-3, 0.0, "float32", 0)
    assert recipe.stream.n_classes == 3
    assert recipe.n_images == 12


def test_a_file_that_appears_during_the_training_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "x.h5"
    folded = run.folded_weights

    def appear(*args: Any) -> Any:
        out.write_bytes(b"precious")
        return folded(*args)

    with monkeypatch.context() as patch:
        patch.setattr(run, "folded_weights", appear)
        with pytest.raises(FileExistsError, match=r"appeared during the training.*checkpoint"):
            pretrain(out, formula=stripes, **TINY)
    assert out.read_bytes() == b"precious"
    assert {path.name for path in tmp_path.iterdir()} == {"x.h5", "x.h5.checkpoint.npz"}
    out.unlink()
    assert pretrain(out, formula=stripes, **TINY).path == out
    out.unlink()
    out.symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError, match="which exists without a record"):
        pretrain(out, formula=stripes, **TINY)
    assert out.is_symlink()


def test_out_must_be_a_file_that_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must end with \.h5 or \.hdf5"):
        pretrain(tmp_path / "x.keras", formula=stripes, **TINY)
    with pytest.raises(OSError, match=r"No such file or directory. Create its folder"):
        pretrain(tmp_path / "nowhere" / "x.h5", formula=stripes, **TINY)
    with pytest.raises(OSError, match=r"Got '~nosuchuser/x\.h5': this system knows no home"):
        pretrain("~nosuchuser/x.h5", formula=stripes, **TINY)
    (tmp_path / "folder.h5").mkdir()
    with pytest.raises(OSError, match="it is a folder"):
        pretrain(tmp_path / "folder.h5", formula=stripes, **TINY)


def test_a_file_of_the_checkpoints_name_stays(tmp_path: Path) -> None:
    own = tmp_path / "x.h5.checkpoint.npz"
    np.savez(own, mine=[1, 2, 3])
    content = own.read_bytes()
    with pytest.raises(OSError, match=r"cannot read the checkpoint '.*x\.h5\.checkpoint\.npz'"):
        pretrain(tmp_path / "x.h5", formula=stripes, **TINY)
    assert own.read_bytes() == content


# -- the command


@pytest.fixture
def my_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the current folder."""
    name = "formulas_for_the_command"
    code = f"""
    import sys
    sys.path.insert(0, {str(Path(__file__).parent)!r})
    from test_pretraining import stripes
    sys.path.pop(0)
    """
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(code))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    return name


@pytest.mark.usefixtures("thin")
def test_the_command_trains_and_says_so(
    my_module: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["pretrain", "x.h5", "--formula", f"{my_module}:stripes", "--classes", "2"]
    command += ["--images", "10", "--batch-size", "4", "--size", "32", "--weight-bits", "5"]
    path_before = list(sys.path)
    assert cli.main(command) == 0
    out, err = capsys.readouterr()
    assert out.startswith("x.h5: VGG16 trained on 12 images of 2 classes; accuracy on others ")
    assert "pretrain: 100%" in err
    assert "loss=" in err
    assert (tmp_path / "x.h5").exists()
    assert sys.path == path_before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("stripes", "Got 'stripes' instead"),
        ("nowhere_to_be_found:stripes", "No module named 'nowhere_to_be_found'"),
        ("{module}:spots", "has no attribute 'spots'"),
    ],
)
def test_the_command_names_a_formula_that_is_not_there(
    my_module: str, capsys: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    formula = name.format(module=my_module)
    assert cli.main(["pretrain", "x.h5", "--formula", formula, "--classes", "2"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("sktransfer pretrain: error: The '--formula' option takes MODULE:NAME")
    assert message in err


# -- the fold


def test_fold_of_one_layer_is_what_batch_norm_computes() -> None:
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 3, 4, 5))
    gamma, beta, mean = rng.normal(size=(3, 5))
    variance = rng.uniform(0.1, 3, 5)
    patch = rng.normal(size=(3, 3, 4))
    folded, bias = fold_batch_norm(kernel, gamma, beta, mean, variance, 1e-3)
    before = np.tensordot(patch, kernel, 3)
    expected = gamma * (before - mean) / np.sqrt(variance + 1e-3) + beta
    np.testing.assert_allclose(np.tensordot(patch, folded, 3) + bias, expected, rtol=1e-5)
    assert folded.dtype == bias.dtype == np.float32


def test_the_folded_network_gives_what_keras_gives_at_the_end_of_each_block() -> None:
    import keras

    from sktransfer.networks import build
    from sktransfer.training.pretraining.network import folded_weights

    model = build_network(2, "float32", 0.9, 0)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if layer.name.endswith("_norm"):
            (n,) = layer.gamma.shape
            layer.set_weights(
                [rng.uniform(0.5, 2, n), *rng.normal(size=(2, n)), rng.uniform(0.5, 20, n)]
            )
    ends = [f"block{block}_pool" for block in range(1, 6)]
    inputs = rng.normal(0, 60, (2, 32, 32, 3)).astype(np.float32)
    wanted = keras.Model(model.input, [model.get_layer(name).output for name in ends])(
        inputs, training=False
    )
    plain = build(plan_cut(ends, "vgg16", input_size=32))
    for name, pair in folded_weights(model).items():
        plain.get_layer(name).set_weights(list(pair))
    for name, found, expected in zip(ends, plain(inputs), wanted, strict=True):
        found, expected = np.asarray(found), np.asarray(expected).reshape(2, -1)
        error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
        assert error < 1e-5, name


# -- storage


def _one(kernel: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {"fc1": (kernel, np.full(kernel.shape[-1], np.pi, np.float32))}


def test_rounding_goes_to_the_nearest_and_ties_to_even() -> None:
    # The largest lies between 4 and 8: with 4 bits, a step of 1.
    values = np.array([7.0, 0.5, 1.5, 2.5, -2.5, -0.6, 0.0, 0.4], np.float32)
    expected = [7.0, 0.0, 2.0, 2.0, -2.0, -1.0, 0.0, 0.0]
    kernel, bias = round_weights(_one(values[:, None]), 4)["fc1"]
    np.testing.assert_array_equal(kernel[:, 0], np.array(expected, np.float32))
    assert bias[0] == np.float32(np.pi)
    assert kernel.dtype == np.float32


@pytest.mark.parametrize("bits", [2, 8, 16])
def test_rounding_errs_by_half_a_step_of_its_channel_at_most(bits: int) -> None:
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 3, 20, 10)).astype(np.float32)
    kernel *= np.array([1e-30, 1e-3, *rng.uniform(0.1, 10, 7), 0], np.float32)
    before = kernel.copy()
    rounded = round_weights(_one(kernel), bits)["fc1"][0]
    largest = np.abs(kernel).max(axis=(0, 1, 2))
    # A power of two up to twice as large as it might be, and half of that.
    assert (np.abs(rounded - kernel) <= largest * 2.0 ** (1 - bits)).all()
    np.testing.assert_array_equal(round_weights(_one(rounded), bits + 1)["fc1"][0], rounded)
    np.testing.assert_array_equal(kernel, before)


def test_without_bits_nothing_is_rounded() -> None:
    weights = _one(np.array([[np.pi, 1e-20]], np.float32))
    assert round_weights(weights, None) is weights


def test_few_bits_make_a_small_file(tmp_path: Path) -> None:
    weights = draw_weights(plan_cut("block3_pool", "vgg16", input_size=32), seed=0)
    sizes = {}
    for bits in (8, None):
        path = tmp_path / f"{bits}.h5"
        write_weights(path, round_weights(weights, bits), {})
        sizes[bits] = path.stat().st_size
    assert sizes[8] < 0.4 * sizes[None]


def test_a_write_that_fails_leaves_the_former_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.h5"
    path.write_bytes(b"former")
    with pytest.raises(TypeError):
        write_weights(path, {}, {"impossible": object()})
    assert path.read_bytes() == b"former"
    assert [each.name for each in tmp_path.iterdir()] == ["x.h5"]

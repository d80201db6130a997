"""scikit-learn's callbacks hear of what is computed, trained and searched."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from clients.cases import COLOUR, LABELS, extractor, features
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sktransfer import LayerSearchCV, VGGClassifier, VGGRegressor

pytest.importorskip("sklearn.callback", reason="scikit-learn has callbacks from 1.9 on")
X, y = np.tile(COLOUR, (4, 1, 1, 1)), np.tile([0, 1], 10)


class Recorder:
    """A callback that notes every task, and hands itself to the steps of a pipeline."""

    max_propagation_depth = None

    def __init__(self) -> None:
        self.tasks: list[tuple[str, str]] = []
        self.is_set_up = 0

    def setup(self, estimator: Any, context: Any) -> None:
        self.is_set_up += 1

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        pass

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        self.tasks.append((context.estimator_name, context.task_name))

    def teardown(self, estimator: Any, context: Any) -> None:
        self.is_set_up -= 1


def test_the_extractor_reports_the_images_that_are_done() -> None:
    recorder = Recorder()
    found = extractor(batch_size=1).set_callbacks(recorder).fit_transform(COLOUR)
    np.testing.assert_array_equal(found, features(COLOUR))
    name = "VGGFeatureExtractor"
    assert recorder.tasks == [(name, "images")] * 100 + [(name, "fit_transform")]
    extractor().set_callbacks(recorder).fit(COLOUR)
    assert recorder.tasks[-1] == (name, "fit")
    assert recorder.is_set_up == 0


def test_a_pipeline_hands_its_callbacks_on() -> None:
    recorder = Recorder()
    pipeline = make_pipeline(extractor(), LogisticRegression()).set_callbacks(recorder)
    pipeline.fit(COLOUR, LABELS)
    assert recorder.tasks.count(("VGGFeatureExtractor", "images")) == 100
    assert recorder.tasks[-1] == ("Pipeline", "fit")
    assert not hasattr(pipeline[0], "_parent_callback_ctx")


@pytest.mark.parametrize("kind", [VGGClassifier, VGGRegressor])
def test_fine_tuning_reports_its_epochs(kind: type) -> None:
    recorder = Recorder()
    model = kind(
        "block1_pool", weights=None, pooling="avg", input_size=32, epochs=1, head_epochs=2,
        unfreeze="block1_conv2", trunk_learning_rate=1e-4, random_state=0,
    )  # fmt: skip
    model.set_callbacks(recorder).fit(COLOUR, LABELS)
    assert [task for _, task in recorder.tasks] == ["head", "head", "blocks", "fit"]


def test_a_search_reports_its_candidates() -> None:
    recorder = Recorder()
    search = LayerSearchCV(
        make_pipeline(extractor(), LogisticRegression()),
        layers=["block1_conv1", "block1_pool"],
        poolings=["avg"],
        input_sizes=[32],
        cv=2,
    )
    search.set_callbacks(recorder).fit(X, y)
    tasks = [task for name, task in recorder.tasks if name == "LayerSearchCV"]
    assert tasks.count("search") == 1
    assert tasks[-1] == "fit"
    assert sum(task == "fit" for name, task in recorder.tasks if name == "Pipeline") == 5


def test_callbacks_end_where_a_fit_fails() -> None:
    recorder = Recorder()
    fitted = extractor().fit(COLOUR)
    fitted.set_callbacks(recorder)
    with pytest.raises(ValueError, match="needs at least one image"):
        fitted.fit(COLOUR[:0])
    with pytest.raises(ValueError, match="needs at least one image"):
        fitted.fit_transform(COLOUR[:0])
    assert recorder.is_set_up == 0
    np.testing.assert_array_equal(fitted.transform(COLOUR), features(COLOUR))


def test_the_bar_of_scikit_learn(capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("rich", reason="rich is not installed")
    from sklearn.callback import ProgressBar

    pipeline = make_pipeline(extractor(), LogisticRegression()).set_callbacks(ProgressBar())
    pipeline.fit(COLOUR, LABELS)
    assert "VGGFeatureExtractor" in capsys.readouterr().out

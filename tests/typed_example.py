"""A typed program with the public names, which ``mypy --strict`` must accept as it stands."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import sktransfer
from sktransfer import (
    ArchitectureDisplay,
    Diagnosis,
    EmbeddingDisplay,
    Extraction,
    FeatureMapDisplay,
    FeatureStore,
    Finding,
    FormulaImages,
    HistoryDisplay,
    ImageClassifier,
    ImageRegressor,
    LayerSearchCV,
    LayerSweepDisplay,
    Pretraining,
    TransferComparisonDisplay,
    TransferCurveDisplay,
    TransferReport,
    VGGClassifier,
    VGGFeatureExtractor,
    VGGRegressor,
    compare_transfer,
    describe_network,
    diagnose,
    export_onnx,
    extract,
    fetch_mnist_pair,
    list_images,
    load_digit_pair,
    make_formula_images,
    pretrain,
    read_pixel_csv,
    sweep_layers,
    transfer_curve,
)


def extractor(layer: str = "block3_pool") -> VGGFeatureExtractor:
    return VGGFeatureExtractor(layer, weights="synthetic", pooling="avg", input_size=32)


def features(folder: Path) -> np.ndarray:
    files, _ = list_images(folder, return_X_y=True)
    rows: np.ndarray = extractor().fit(files).transform(files)
    names: np.ndarray = extractor().fit(files).get_feature_names_out()
    assert rows.shape == (len(files), len(names))
    return rows


def evaluate(path: Path) -> list[str]:
    X, y = load_digit_pair((8, 6), return_X_y=True)
    result = compare_transfer(X, y, extractors={"vgg": extractor()}, cv=5)
    sweep = sweep_layers(X, y, extractor=extractor(), poolings=["avg", None])
    curve = transfer_curve(X, y, extractors={"vgg": extractor()}, sizes=[4, 8])
    diagnosis: Diagnosis = diagnose(extractor(), X, y)
    findings: list[Finding] = diagnosis.at_least("warning")
    TransferReport(result, sweep=sweep, curve=curve, diagnosis=diagnosis).to_html(path)
    TransferComparisonDisplay(result).plot()
    LayerSweepDisplay(sweep).plot()
    TransferCurveDisplay(curve).plot()
    EmbeddingDisplay.from_estimator(extractor(), X, y)
    FeatureMapDisplay.from_estimator(extractor(), X[0])
    ArchitectureDisplay.from_architecture("vgg16", cut="flatten")
    print(result.verdict, sweep.best, curve.to_markdown())
    return [finding.name for finding in findings]


def tune(folder: Path) -> None:
    X, y = load_digit_pair((8, 6), return_X_y=True)
    classifier = VGGClassifier("block2_pool", unfreeze="block2", epochs=2).fit(X, y)
    HistoryDisplay.from_estimator({"tuned": classifier})
    regressor: VGGRegressor = VGGRegressor("block2_pool").fit(X, y)
    other = ImageClassifier("ResNet50", unfreeze="conv5", epochs=2).fit(X, y)
    numbers: ImageRegressor = ImageRegressor("ResNet50", pooling="max").fit(X, y)
    print(other.predict_proba(X), numbers.predict(X), other.to_extractor().transform(X))
    export_onnx(regressor, folder / "model.onnx")
    search = LayerSearchCV(extractor(), layers=["block1_pool"], cv=3)
    print(search, classifier.predict(X), sktransfer.__version__)


def write(folder: Path) -> tuple[int, int]:
    done: Extraction = extract(folder, folder / "features.npy", extractor=extractor())
    store = FeatureStore(folder / "store", max_bytes=10**9)
    made: Pretraining = pretrain(folder / "mine.h5", n_classes=4, n_images=100)
    images = make_formula_images(10, n_classes=2, return_X_y=True)
    formula = FormulaImages(n_classes=2)
    network = describe_network("vgg16", cut="flatten")
    print(store.info(), made, images, formula.describe(), network.n_parameters)
    print(read_pixel_csv(folder / "train.csv"), fetch_mnist_pair())
    return done.n_rows, network.multiply_adds

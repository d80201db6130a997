"""The types of this package in files of skops."""

#: What `skops.io.load` and mlflow are to trust, for any fitted estimator of this package, alone or
#: in a pipeline. All hold plain values: none runs code when it is loaded.
SKOPS_TYPES = (
    "pathlib.PosixPath",
    "sktransfer.engines.ready.EngineConfig",
    "sktransfer.evaluation.sweep.grid.Skipped",
    "sktransfer.evaluation.sweep.search.LayerSearchCV",
    "sktransfer.extractor.VGGFeatureExtractor",
    "sktransfer.features.preprocessing.Resizing",
    "sktransfer.features.runner.Runner",
    "sktransfer.features.store.FeatureStore",
    "sktransfer.inputs.reader.Reader",
    "sktransfer.network_extractor.ImageFeatureExtractor",
    "sktransfer.networks.cut.Cut",
    "sktransfer.networks.graph.NetworkCut",
    "sktransfer.networks.graph.NetworkLayer",
    "sktransfer.networks.layers.Layer",
    "sktransfer.networks.pixels.PixelScaling",
    "sktransfer.training.finetuning.classifier.ImageClassifier",
    "sktransfer.training.finetuning.classifier.VGGClassifier",
    "sktransfer.training.finetuning.head.Head",
    "sktransfer.training.finetuning.prediction.Classes",
    "sktransfer.training.finetuning.prediction.NumberOutputs",
    "sktransfer.training.finetuning.regressor.ImageRegressor",
    "sktransfer.training.finetuning.regressor.VGGRegressor",
    "sktransfer.training.finetuning.trunk.Held",
    "sktransfer.weights.any_network.NetworkSource",
    "sktransfer.weights.arrays.NamedWeights",
    "sktransfer.weights.fitted.FittedWeights",
)

"""Features of pretrained VGG networks as scikit-learn transformers."""

from importlib import import_module
from typing import TYPE_CHECKING

from sktransfer._version import __version__

if TYPE_CHECKING:
    from sktransfer.comparison import (
        compare_transfer,
    )
    from sktransfer.curves import (
        CurveWarning,
        transfer_curve,
    )
    from sktransfer.datasets import (
        fetch_mnist_pair,
        list_images,
        load_digit_pair,
        read_pixel_csv,
    )
    from sktransfer.diagnosis import (
        Diagnosis,
        Finding,
        diagnose,
    )
    from sktransfer.displays import (
        ArchitectureDisplay,
        EmbeddingDisplay,
        FeatureMapDisplay,
        HistoryDisplay,
        LayerSweepDisplay,
        TransferComparisonDisplay,
        TransferCurveDisplay,
    )
    from sktransfer.extraction import (
        Extraction,
        extract,
    )
    from sktransfer.extractor import (
        VGGFeatureExtractor,
    )
    from sktransfer.finetuning import (
        VGGClassifier,
        VGGRegressor,
    )
    from sktransfer.formulas import (
        FormulaImages,
        make_formula_images,
    )
    from sktransfer.images import (
        ImageWarning,
    )
    from sktransfer.networks import (
        describe_network,
    )
    from sktransfer.onnx_export import (
        export_onnx,
    )
    from sktransfer.pretraining import (
        Pretraining,
        pretrain,
    )
    from sktransfer.report import (
        TransferReport,
    )
    from sktransfer.store import (
        FeatureStore,
        FeatureStoreWarning,
    )
    from sktransfer.sweep import (
        sweep_layers,
    )
    from sktransfer.sweep.search import (
        LayerSearchCV,
    )

__all__ = [
    "ArchitectureDisplay",
    "CurveWarning",
    "Diagnosis",
    "EmbeddingDisplay",
    "Extraction",
    "FeatureMapDisplay",
    "FeatureStore",
    "FeatureStoreWarning",
    "Finding",
    "FormulaImages",
    "HistoryDisplay",
    "ImageWarning",
    "LayerSearchCV",
    "LayerSweepDisplay",
    "Pretraining",
    "TransferComparisonDisplay",
    "TransferCurveDisplay",
    "TransferReport",
    "VGGClassifier",
    "VGGFeatureExtractor",
    "VGGRegressor",
    "__version__",
    "compare_transfer",
    "describe_network",
    "diagnose",
    "export_onnx",
    "extract",
    "fetch_mnist_pair",
    "list_images",
    "load_digit_pair",
    "make_formula_images",
    "pretrain",
    "read_pixel_csv",
    "sweep_layers",
    "transfer_curve",
]

# Where each public name lives. They are imported when first asked for: scikit-learn and SciPy take
# a second to import, which nobody should wait for to read a version or a docstring.
_MODULES = {
    "ArchitectureDisplay": "displays",
    "CurveWarning": "curves",
    "Diagnosis": "diagnosis",
    "EmbeddingDisplay": "displays",
    "Extraction": "extraction",
    "FeatureMapDisplay": "displays",
    "FeatureStore": "store",
    "FeatureStoreWarning": "store",
    "Finding": "diagnosis",
    "FormulaImages": "formulas",
    "HistoryDisplay": "displays",
    "ImageWarning": "images",
    "LayerSearchCV": "sweep.search",
    "LayerSweepDisplay": "displays",
    "Pretraining": "pretraining",
    "TransferComparisonDisplay": "displays",
    "TransferCurveDisplay": "displays",
    "TransferReport": "report",
    "VGGClassifier": "finetuning",
    "VGGFeatureExtractor": "extractor",
    "VGGRegressor": "finetuning",
    "compare_transfer": "comparison",
    "describe_network": "networks",
    "diagnose": "diagnosis",
    "export_onnx": "onnx_export",
    "extract": "extraction",
    "fetch_mnist_pair": "datasets",
    "list_images": "datasets",
    "load_digit_pair": "datasets",
    "make_formula_images": "formulas",
    "pretrain": "pretraining",
    "read_pixel_csv": "datasets",
    "sweep_layers": "sweep",
    "transfer_curve": "curves",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

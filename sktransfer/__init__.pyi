from ._version import __version__ as __version__
from .datasets.loaders import (
    fetch_mnist_pair as fetch_mnist_pair,
    list_images as list_images,
    load_digit_pair as load_digit_pair,
    read_pixel_csv as read_pixel_csv,
)
from .displays import (
    ArchitectureDisplay as ArchitectureDisplay,
    EmbeddingDisplay as EmbeddingDisplay,
    FeatureMapDisplay as FeatureMapDisplay,
    HistoryDisplay as HistoryDisplay,
    LayerSweepDisplay as LayerSweepDisplay,
    NetworkSweepDisplay as NetworkSweepDisplay,
    TransferComparisonDisplay as TransferComparisonDisplay,
    TransferCurveDisplay as TransferCurveDisplay,
)
from .evaluation.comparison import compare_transfer as compare_transfer
from .evaluation.curves import CurveWarning as CurveWarning, transfer_curve as transfer_curve
from .evaluation.diagnosis import Diagnosis as Diagnosis, Finding as Finding, diagnose as diagnose
from .evaluation.sweep import sweep_layers as sweep_layers
from .evaluation.sweep.across import sweep_networks as sweep_networks
from .evaluation.sweep.search import LayerSearchCV as LayerSearchCV
from .export.extraction import Extraction as Extraction, extract as extract
from .export.onnx import export_onnx as export_onnx
from .export.skops import SKOPS_TYPES as SKOPS_TYPES
from .extractor import VGGFeatureExtractor as VGGFeatureExtractor
from .features.store import FeatureStore as FeatureStore
from .features.store_use import FeatureStoreWarning as FeatureStoreWarning
from .inputs.forms.base64_text import from_base64 as from_base64
from .inputs.images import ImageWarning as ImageWarning
from .inputs.labelled import with_labels as with_labels
from .network_extractor import ImageFeatureExtractor as ImageFeatureExtractor
from .networks import describe_network as describe_network
from .report.page import TransferReport as TransferReport
from .training.finetuning import (
    ImageClassifier as ImageClassifier,
    ImageRegressor as ImageRegressor,
    VGGClassifier as VGGClassifier,
    VGGRegressor as VGGRegressor,
)
from .training.formulas import (
    FormulaImages as FormulaImages,
    make_formula_images as make_formula_images,
)
from .training.pretraining import Pretraining as Pretraining, pretrain as pretrain

__all__ = [
    "SKOPS_TYPES",
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
    "ImageClassifier",
    "ImageFeatureExtractor",
    "ImageRegressor",
    "ImageWarning",
    "LayerSearchCV",
    "LayerSweepDisplay",
    "NetworkSweepDisplay",
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
    "from_base64",
    "list_images",
    "load_digit_pair",
    "make_formula_images",
    "pretrain",
    "read_pixel_csv",
    "sweep_layers",
    "sweep_networks",
    "transfer_curve",
    "with_labels",
]

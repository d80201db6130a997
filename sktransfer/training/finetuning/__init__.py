"""Fine-tuning as scikit-learn estimators: networks trained in part, with a head."""

from sktransfer.training.finetuning.classifier import ImageClassifier, VGGClassifier
from sktransfer.training.finetuning.regressor import ImageRegressor, VGGRegressor

__all__ = ["ImageClassifier", "ImageRegressor", "VGGClassifier", "VGGRegressor"]

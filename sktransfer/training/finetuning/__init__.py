"""Fine-tuning as scikit-learn estimators: VGG networks trained in part, with a head."""

from sktransfer.training.finetuning.classifier import VGGClassifier
from sktransfer.training.finetuning.regressor import VGGRegressor

__all__ = ["VGGClassifier", "VGGRegressor"]

"""Fine-tuning as scikit-learn estimators: VGG networks trained in part, with a head."""

from sktransfer.finetuning.classifier import VGGClassifier
from sktransfer.finetuning.regressor import VGGRegressor

__all__ = ["VGGClassifier", "VGGRegressor"]

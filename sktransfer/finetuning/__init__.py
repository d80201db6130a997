"""Fine-tuning as scikit-learn estimators: VGG networks trained in part, with a head."""

from sktransfer.finetuning.estimators import VGGClassifier, VGGRegressor

__all__ = ["VGGClassifier", "VGGRegressor"]

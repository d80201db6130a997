"""Networks trained from scratch on images by formula."""

from sktransfer.training.pretraining.result import Pretraining
from sktransfer.training.pretraining.run import pretrain

__all__ = [
    "Pretraining",
    "pretrain",
]

"""Checks of why transfer failed, with evidence and remedy."""

from sktransfer.evaluation.diagnosis.checking import CHECKS, diagnose
from sktransfer.evaluation.diagnosis.findings import Diagnosis, Finding

__all__ = [
    "CHECKS",
    "Diagnosis",
    "Finding",
    "diagnose",
]

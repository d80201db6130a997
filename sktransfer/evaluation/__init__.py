"""Evaluation of features: probes, comparison, sweeps, curves and diagnosis."""

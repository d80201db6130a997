"""Images by formula: generated images with labels."""

from sktransfer.training.formulas.images import FormulaImages, make_formula_images

__all__ = [
    "FormulaImages",
    "make_formula_images",
]

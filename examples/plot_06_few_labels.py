"""
How many labels does it save?
=============================

Labels cost more than features. Curves over the number of labels show how much pretraining helps.
"""

# %%
# Raw pixels, features of pretrained weights, and features of random weights as the control get the
# same draws of labels and the same test images. (A warning that so few labels do not determine
# where the curves end is hidden: the sentences below say it too.)
import warnings

from sklearn.datasets import load_digits

from sktransfer import CurveWarning, TransferCurveDisplay, VGGFeatureExtractor, transfer_curve

warnings.simplefilter("ignore", CurveWarning)
X, y = load_digits(return_X_y=True)
curve = transfer_curve(
    X[:600],
    y[:600],
    extractors={
        "pretrained": VGGFeatureExtractor(
            "block3_pool", weights="synthetic", pooling="max", input_size=32
        )
    },
    sizes=[20, 40, 80, 160, 320],
    n_repeats=5,
)
TransferCurveDisplay(curve).plot()

# %%
# The result in words:
print("\n\n".join(curve.sentences()))

"""
Which layer?
============

Early layers see edges, late ones shapes. Which suits these images is measured, not guessed.
"""

# %%
# One pass through the network for each input size gives all layers and poolings. Each is scored by
# a linear classifier on the same folds, with its cost.
from sklearn.datasets import load_digits

from sktransfer import LayerSweepDisplay, VGGFeatureExtractor, sweep_layers

X, y = load_digits(return_X_y=True)
X, y = X[:150], y[:150]
sweep = sweep_layers(
    X,
    y,
    extractor=VGGFeatureExtractor(weights="synthetic"),
    poolings=["avg", "max"],
    input_sizes=[32, 48],
    cv=3,
    scoring="accuracy",
)
LayerSweepDisplay(sweep).plot()

# %%
# The rows behind the picture, best first:
sweep.to_frame().sort_values("accuracy", ascending=False).head(5)

# %%
# :class:`~sktransfer.LayerSearchCV` makes the same choice as an estimator, inside
# cross-validation, so that the reported score is not the one that decided the choice.

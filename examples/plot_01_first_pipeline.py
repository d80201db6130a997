"""
A first pipeline
================

Images in, predictions out: a pretrained network as the first step of a pipeline.
"""

# %%
# Scikit-learn's digits are rows of 64 grey values. A linear classifier on the pixels themselves is
# the score to beat. With three labels of each digit there is room for it.
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, train_size=30, test_size=500, stratify=y, random_state=0
)
raw = make_pipeline(StandardScaler(), LogisticRegression()).fit(X_train, y_train)
print(f"raw pixels: {raw.score(X_test, y_test):.3f}")

# %%
# The extractor reads the rows as images of 8 x 8 pixels, finds their black and white, resizes them
# and runs VGG16 up to the third block. The weights come with the package.
from sktransfer import VGGFeatureExtractor

vgg = VGGFeatureExtractor("block3_pool", weights="synthetic", input_size=32)
model = make_pipeline(vgg, StandardScaler(), LogisticRegression())
model.fit(X_train, y_train)
print(f"features:   {model.score(X_test, y_test):.3f}")
model

# %%
# What do mistakes look like?
import matplotlib.pyplot as plt
from sklearn.metrics import ConfusionMatrixDisplay

fig, axes = plt.subplots(1, 2, figsize=(8, 4), sharey=True, layout="constrained")
for ax, (name, estimator) in zip(axes, {"raw pixels": raw, "features": model}.items(), strict=True):
    ConfusionMatrixDisplay.from_estimator(
        estimator, X_test, y_test, ax=ax, colorbar=False, cmap="Blues"
    )
    ax.set_title(name)

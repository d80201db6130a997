"""
Why did it fail?
================

Three mistakes that raise no error are planted, and found.
"""

# %%
# The same extractor reads the same digits, once as they are and three times with a mistake.
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import VGGFeatureExtractor, load_digit_pair

X, y = load_digit_pair((8, 6), return_X_y=True)
X, y = (X[:120] * 255 / 16).astype(np.uint8).reshape(-1, 8, 8), y[:120]
vgg = VGGFeatureExtractor("block2_pool", weights="synthetic", pooling="avg", input_size=32)
model = make_pipeline(vgg, StandardScaler(), LogisticRegression())

planted = {
    "as it should be": (X, y),
    "divided by 255 twice": (X / 255.0 / 255.0, y),
    "labels in another order": (X, np.random.default_rng(0).permutation(y)),
    "the same image everywhere": (np.repeat(X[:1], len(X), axis=0), y),
}

# %%
# Scores fall, or do not, and say nothing about the cause. (The values that are too small give a
# warning, which is hidden here.)
import warnings

from sktransfer import ImageWarning

warnings.simplefilter("ignore", ImageWarning)
scores = {name: cross_val_score(model, *data).mean() for name, data in planted.items()}
for name, score in scores.items():
    print(f"{score:.2f}  {name}")

# %%
# :func:`~sktransfer.diagnose` names it.
from sktransfer import diagnose

found = {name: diagnose(model, *data) for name, data in planted.items()}
for name, diagnosis in found.items():
    names = [finding.name for finding in diagnosis.at_least("warning")]
    print(f"{name}: {', '.join(names) or 'nothing'}")

# %%
# A finding has evidence and the code that fixes it.
print(found["divided by 255 twice"].findings[0])

# %%
import matplotlib.pyplot as plt

fig, axes = plt.subplots(len(planted), 8, figsize=(8, 4.2), layout="constrained")
for row, (name, (images, labels)) in zip(axes, planted.items(), strict=True):
    for ax, image, label in zip(row, images, labels, strict=False):
        ax.imshow(image, cmap="gray", vmin=0, vmax=255)
        ax.set_title("eight" if label else "six", fontsize=8)
        ax.set_xticks([])
        ax.set_yticks([])
    row[0].set_ylabel(name, rotation=0, ha="right", va="center")

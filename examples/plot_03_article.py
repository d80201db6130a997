"""
The article, small
==================

An article found 98 % accuracy on the digits 8 and 6 without transfer, and 50 % with it.
"""

# %%
# The images are scikit-learn's eights and sixes, the network's weights come with the package, and
# the images enter at 32 pixels and not 224, so that this takes seconds. The whole job, with
# ImageNet's weights and MNIST, is in the guide :doc:`/article`.
from sktransfer import VGGFeatureExtractor, load_digit_pair

X, y = load_digit_pair((8, 6), return_X_y=True)
vgg = VGGFeatureExtractor("flatten", weights="synthetic", input_size=32)
features = vgg.fit_transform(X)
print(f"{X.shape[1]} pixels become {features.shape[1]:,} features")

# %%
# Ten folds and the article's classifier, with enough iterations to converge.
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

classifier = LogisticRegression(max_iter=1000)
scores = {
    "raw pixels": cross_val_score(classifier, X, y, cv=10),
    "features": cross_val_score(classifier, features, y, cv=10),
}
for name, values in scores.items():
    print(f"{name:<10}  {values.mean():.3f} ± {values.std():.3f}")

# %%
# There is no 50 %, and no gain either: unlike MNIST's, these digits are so easy that raw pixels
# leave nothing to gain. One mistake that does give 50 %: features and labels in different orders,
# as a generator that shuffles leaves them. Nothing warns; the score is that of a coin.
import numpy as np

shuffled = np.random.default_rng(0).permutation(features)
scores["features in another order"] = cross_val_score(classifier, shuffled, y, cv=10)

# %%
# Every fold as a dot:
import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(7, 2.5), layout="constrained")
for place, (name, values) in enumerate(scores.items()):
    spread = np.linspace(-0.15, 0.15, len(values))
    color = {"raw pixels": "0.35", "features": "#0072B2"}.get(name, "#CC79A7")
    ax.plot(values, place + spread, "o", color=color, alpha=0.6)
    ax.plot(values.mean(), place, "|", color=color, markersize=30, markeredgewidth=2)
ax.set_yticks(range(len(scores)), scores)
ax.invert_yaxis()
ax.set_xlabel("accuracy in each of ten folds, and their mean")
ax.axvline(0.5, color="0.8", zorder=0)
ax.spines[["top", "right"]].set_visible(False)

"""
Features beside columns of a table
==================================

A table with a column of images and columns of numbers, in one model.
"""

# %%
# The table: digits as images, and a number that was measured with each. The number alone tells odd
# from even only in part, and so do the images with few labels.
import numpy as np
import pandas as pd
from PIL import Image
from sklearn.datasets import load_digits

digits = load_digits()
rng = np.random.default_rng(0)
odd = digits.target % 2
table = pd.DataFrame(
    {
        "image": [Image.fromarray((image * 255 / 16).astype(np.uint8)) for image in digits.images],
        "weight": rng.normal(odd, 1.0),
    }
)[:400]
odd = odd[:400]
table.drop(columns="image").describe().loc[["mean", "std"]]

# %%
# A :class:`~sklearn.compose.ColumnTransformer` gives each column its own transformer.
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import VGGFeatureExtractor

vgg = VGGFeatureExtractor("block3_pool", weights="synthetic", pooling="max", input_size=32)
images = make_pipeline(vgg, StandardScaler())
columns = {
    "number": make_column_transformer((StandardScaler(), ["weight"])),
    "image": make_column_transformer((images, "image")),
    "both": make_column_transformer((images, "image"), (StandardScaler(), ["weight"])),
}

# %%
# Few training images in each of ten draws, so that the columns complement each other.
from sklearn.model_selection import StratifiedShuffleSplit

cv = StratifiedShuffleSplit(10, train_size=20, random_state=0)
scores = {
    name: cross_val_score(make_pipeline(transformer, LogisticRegression(C=0.1)), table, odd, cv=cv)
    for name, transformer in columns.items()
}

# %%
import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.boxplot(list(scores.values()), tick_labels=list(scores), orientation="horizontal")
ax.set_xlabel("accuracy with 20 training images, ten draws")
ax.spines[["top", "right"]].set_visible(False)
model = make_pipeline(columns["both"], LogisticRegression(C=0.1))

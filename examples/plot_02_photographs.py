"""
A folder of photographs
=======================

A folder with a folder for each class is all that is needed.
"""

# %%
# Your own photographs would lie in folders named after their classes. Here the two photographs that
# come with scikit-learn are cut into pieces of 96 x 96 pixels.
import tempfile
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_sample_images

folder = tempfile.TemporaryDirectory()
photographs = Path(folder.name, "photographs")
for name, photo in zip(("temple", "flower"), load_sample_images().images, strict=True):
    (photographs / name).mkdir(parents=True)
    for i in range(24):
        top, left = 96 * (i // 6), 96 * (i % 6)
        piece = photo[top : top + 96, left : left + 96]
        Image.fromarray(piece).save(photographs / name / f"{i:02}.png")

# %%
# :func:`~sktransfer.list_images` lists files and labels. Files are decoded when needed.
from sktransfer import list_images

X, y = list_images(photographs, return_X_y=True)
print(f"{len(X)} files, the first is {Path(X[0]).relative_to(folder.name)}")

# %%
# From here on it is scikit-learn.
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import VGGFeatureExtractor

vgg = VGGFeatureExtractor("block3_pool", weights="synthetic", pooling="avg", input_size=96)
model = make_pipeline(vgg, StandardScaler(), LogisticRegression())
probability = cross_val_predict(model, X, y, cv=4, method="predict_proba").max(axis=1)
predicted = cross_val_predict(model, X, y, cv=4)
print(f"accuracy {(predicted == y).mean():.2f}")

# %%
# The pieces of which the model is least sure:
import matplotlib.pyplot as plt

fig, axes = plt.subplots(1, 6, figsize=(9, 2), layout="constrained")
for ax, i in zip(axes, probability.argsort(), strict=False):
    ax.imshow(Image.open(X[i]))
    ax.set_title(f"{predicted[i]}, {probability[i]:.2f}", fontsize=9)
    ax.set_axis_off()
folder.cleanup()

"""
Nearest images
==============

Images that look alike to the network, found without any label.
"""

# %%
# Formulas draw 400 images of 20 classes. The labels are used only to look at the result.
from sktransfer import VGGFeatureExtractor, make_formula_images

data = make_formula_images(400, n_classes=20, size=48, random_state=0)
vgg = VGGFeatureExtractor("block4_pool", weights="synthetic", pooling="avg", input_size=48)
features = vgg.fit_transform(data.images)

# %%
# Scikit-learn finds neighbours, by the angle between rows of features or of pixels.
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

pixels = data.images.reshape(len(data.images), -1) / 255.0
neighbours = {}
for name, rows in (("features", normalize(features)), ("pixels", normalize(pixels))):
    search = NearestNeighbors(n_neighbors=6).fit(rows)
    neighbours[name] = search.kneighbors(rows, return_distance=False)[:, 1:]
    same = (data.target[neighbours[name]] == data.target[:, None]).mean()
    print(f"{name}: {same:.0%} of five neighbours are of the same class (chance: 5 %)")

# %%
# The image on the left, and its five nearest by features:
import matplotlib.pyplot as plt

fig, axes = plt.subplots(5, 6, figsize=(6, 5.2), layout="constrained")
for row, i in zip(axes, range(0, 105, 21), strict=True):
    for ax, j in zip(row, [i, *neighbours["features"][i]], strict=True):
        ax.imshow(data.images[j])
        ax.set_xticks([])
        ax.set_yticks([])
        is_same = data.target[i] == data.target[j]
        ax.spines[:].set_color("#0072B2" if is_same else "#D55E00")
        ax.spines[:].set_linewidth(3)
axes[0, 0].set_title("image")
axes[0, 3].set_title("nearest (blue: of the same class)")

# %%
# All of them on one plane:
from sktransfer import EmbeddingDisplay

few = data.target < 6
EmbeddingDisplay.from_estimator(vgg, data.images[few], data.target[few])

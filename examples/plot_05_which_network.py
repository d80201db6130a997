"""
Which network?
==============

Three networks on the same images and folds: VGG16 with the weights of the package, a small network
of our own that was trained on other images, and a larger one with random weights. Each has a score
and a cost.
"""

# %%
# Any Keras model can be one of them. Ours learns the digits 0 to 5 in some seconds.
import keras
from sklearn.datasets import load_digits

X, y = load_digits(return_X_y=True)
images = X.reshape(-1, 8, 8, 1) / 16
keras.utils.set_random_seed(0)
small = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(32, 3, activation="relu", padding="same"),
        keras.layers.Conv2D(64, 3, activation="relu", padding="same", name="maps"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(6, activation="softmax"),
    ]
)
small.compile("adam", "sparse_categorical_crossentropy")
history = small.fit(images[y < 6], y[y < 6], epochs=12, verbose=0)

# %%
# An extractor takes colour and sizes from 32 pixels up, so that our model gets two layers in front
# which undo both.
wide = keras.Sequential(
    [
        keras.Input((32, 32, 3)),
        keras.layers.AveragePooling2D(4),
        keras.layers.Conv2D(
            1, 1, use_bias=False, kernel_initializer=keras.initializers.Constant(1 / 3)
        ),
        *small.layers,
    ]
)

# %%
# The task is one that none of them has seen: 8 against 6.
from sktransfer import (
    ImageFeatureExtractor,
    NetworkSweepDisplay,
    VGGFeatureExtractor,
    load_digit_pair,
    sweep_networks,
)

digits, labels = load_digit_pair(return_X_y=True)
sweep = sweep_networks(
    digits,
    labels,
    networks={
        "VGG16": VGGFeatureExtractor(weights="synthetic"),
        "small": ImageFeatureExtractor(wide, preprocessing={"scale": 1 / (3 * 255)}),
        "random MobileNetV2": ImageFeatureExtractor("MobileNetV2", weights=None, random_state=0),
    },
    layers={"VGG16": ["block2_pool", "block3_pool"], "small": ["maps"]},
    input_sizes=[32],
    cv=5,
)
NetworkSweepDisplay(sweep).plot()

# %%
# The answer in one sentence, and the rows behind it:
print(sweep)

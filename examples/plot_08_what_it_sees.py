"""
What does the network see?
==========================

Feature maps of one photograph, at each block.
"""

# %%
# The drawing shows for each layer the channels whose values differ most from place to place.
from sklearn.datasets import load_sample_image

from sktransfer import FeatureMapDisplay, VGGFeatureExtractor

flower = load_sample_image("flower.jpg")[:, 100:527]
vgg = VGGFeatureExtractor("block4_pool", weights="synthetic", input_size=160)
vgg.fit(flower[None])
FeatureMapDisplay.from_estimator(vgg, flower)

# %%
# The same with random weights: edges are found by chance, but nothing that is repeated is combined
# into a shape.
random = VGGFeatureExtractor("block4_pool", weights=None, input_size=160, random_state=0)
FeatureMapDisplay.from_estimator(random.fit(flower[None]), flower)

# %%
# And where in the network these layers are:
from sktransfer import ArchitectureDisplay

ArchitectureDisplay.from_estimator(vgg)

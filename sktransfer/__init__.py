"""Features of pretrained VGG networks as scikit-learn transformers."""
from sktransfer.networks import describe_network

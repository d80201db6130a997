"""Training of networks: fine-tuning, and pretraining on images by formula."""

"""Features of images: preprocessing, computing, and the store."""

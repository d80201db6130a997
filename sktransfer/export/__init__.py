"""Export of features and models to files."""

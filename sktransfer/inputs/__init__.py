"""Images in any supported form, read as pixels with a known value range."""

"""What other libraries hold images in, one module each, turned into lists, arrays and sources."""

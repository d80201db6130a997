"""Image containers of other libraries, one module each, turned into lists, arrays and sources."""

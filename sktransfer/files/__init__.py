"""Files that may be damaged or hostile, read within limits."""

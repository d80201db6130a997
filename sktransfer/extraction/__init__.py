"""Features of any number of images, written to a file in constant memory; resumed if cut off."""

from sktransfer.extraction.run import Extraction, extract

__all__ = ["Extraction", "extract"]

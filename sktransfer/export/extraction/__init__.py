"""Extraction of features of any number of images to a file, in constant memory and resumable."""

from sktransfer.export.extraction.run import Extraction, extract

__all__ = ["Extraction", "extract"]

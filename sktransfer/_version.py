"""The version of the package, and the address of its documentation."""

__version__ = "0.1.0"

#: Where the pages of the documentation are.
SITE = "https://sktransfer.github.io"

__version__ = "0.1.0"

#: Where the pages of the documentation are.
SITE = "https://sktransfer.github.io"

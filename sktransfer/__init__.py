"""Features of pretrained networks as scikit-learn transformers."""

import lazy_loader

from sktransfer._version import __version__ as __version__

# A public name is imported when first asked for: scikit-learn and SciPy take a second to import,
# which nobody should wait for to read a version or a docstring. `__init__.pyi` lists them.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

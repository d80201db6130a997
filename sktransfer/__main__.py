"""``python -m sktransfer``: the command line."""

import sys

from sktransfer.cli import main

sys.exit(main())

"""Moving a complete file into place without replacing an existing one."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def place_new(source: Path, target: Path) -> None:
    """Move a file or folder to a name that nothing has; FileExistsError where something has it."""
    if not source.is_dir():
        try:
            os.link(source, target)  # unlike a rename, it never replaces
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            pass
        else:
            source.unlink()
            return
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    source.rename(target)

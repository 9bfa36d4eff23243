"""How the user can type this command."""

import os
import shutil
import sys
from pathlib import Path


def program() -> str:
    """`ingest` where the shell finds it, else the path that it was called by."""
    called = Path(sys.argv[0])
    if shutil.which(called.name) or called.suffix == ".py":
        return "ingest"
    return os.path.relpath(called)

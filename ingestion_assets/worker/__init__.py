"""The live worker: what appears in the database is embedded, without Dagster."""

import sys

# httpx imports its own command line where it can, with rich and pygments: 4 MB of the 64.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

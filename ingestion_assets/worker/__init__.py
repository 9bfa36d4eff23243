"""The live worker: what appears in the database is embedded, without Dagster."""

import sys

# httpx imports its own command line where it can, with rich and pygments, and a decoder that no
# Ollama needs: 5 MB of the 64.
for module in ("httpx._main", "zstandard"):
    sys.modules.setdefault(module, None)  # type: ignore[arg-type]

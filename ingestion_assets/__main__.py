"""`python -m ingestion_assets` is the command `ingest`."""

from ingestion_assets.cli import main

main()

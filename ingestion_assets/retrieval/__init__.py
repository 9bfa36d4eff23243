"""Questions in, chunks of documents out."""

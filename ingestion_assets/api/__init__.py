"""Search over HTTP: queries in, passages, answers and the service's own state out."""

"""Text into chunks, with headings, offsets, tokens and stable ids."""

"""The page of its document that a chunk begins on, as SQL."""

# Of a chunk `c` and its document `d`, from 1; null where the document has no pages. Front matter
# may say something else of them: what is no list of numbers counts for nothing.
PAGE = """(
    SELECT nullif(count(*), 0) FROM jsonb_path_query(
        d.metadata, 'strict $.pages[*] ? (@ <= $start)',
        jsonb_build_object('start', c.start_offset), true)
)"""

import pytest

from ingestion_assets.embedding.cleaning import cleaned


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("as it is", "as it is"),
        ("a\x00b\x07 c", "ab c"),
        (" a \t\n\u00a0 b\r\n", "a b"),
        ("\x00\x01", ""),
        ("Zwölf 日本 👩\u200d💻", "Zwölf 日本 👩\u200d💻"),
    ],
)
def test_only_what_nobody_can_read_goes(text: str, clean: str) -> None:
    assert cleaned(text) == clean

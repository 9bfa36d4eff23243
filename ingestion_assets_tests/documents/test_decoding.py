import codecs

import pytest

from ingestion_assets.documents.decoding import decode
from ingestion_assets.errors import ExtractionError, UnsupportedMediaError

TEXT = "Grüße aus Köln — naïve café, 日本語 and 🦜.\nSecond line with plain words.\n"


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_byte_order_mark_decides_and_is_removed(mark, encoding):
    decoded = decode("a.txt", mark + TEXT.encode(encoding))
    assert (decoded.text, decoded.encoding) == (TEXT, encoding)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_wide_text_without_a_mark_is_known_by_its_zeros(encoding):
    text = "Plain words, one after another.\n" * 5
    decoded = decode("a.txt", text.encode(encoding))
    assert (decoded.text, decoded.encoding) == (text, encoding)


def test_utf8_is_never_taken_for_anything_else():
    html = f'<meta charset="latin-1"><p>{TEXT}'
    assert decode("a.html", html.encode()).text == html


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "Café déjà vu, ça va très bien. Größe"),
        ("cp1252", "Señor Müller"),
        ("cp1251", "Привет, как дела? Это простой текст на русском языке."),
        ("koi8-r", "Привет, как дела? Это простой текст на русском языке."),
        ("cp1250", "Zażółć gęślą jaźń. Wszystkie dzieci są nasze i już."),
        ("cp1253", "Καλημέρα κόσμε, αυτό είναι ένα απλό κείμενο"),
        ("shift_jis", "これは日本語のテキストです。東京は大きい都市です。"),
        ("euc-jp", "これは日本語のテキストです。東京は大きい都市です。"),
        ("gb18030", "这是一个简单的中文文本用于测试编码检测。"),
        ("big5", "這是一個簡單的中文文本用於測試編碼檢測。"),
        ("euc-kr", "안녕하세요 이것은 한국어 텍스트입니다"),
    ],
)
def test_legacy_encodings_are_guessed(encoding, text):
    assert decode("a.txt", text.encode(encoding)).text == text


@pytest.mark.parametrize(
    "declared",
    [
        '<html><meta charset="iso-8859-2"><p>',
        '<meta http-equiv=Content-Type content="text/html; charset=iso-8859-2">',
        '<?xml version="1.0" encoding="iso-8859-2"?>',
        ".. -*- coding: iso-8859-2 -*-\n\n",
    ],
)
def test_declared_charset_is_believed_where_utf8_fails(declared):
    text = declared + "ąęł"
    decoded = decode("a.html", text.encode("iso-8859-2"))
    assert (decoded.text, decoded.encoding) == (text, "iso8859-2")


def test_latin1_on_the_web_means_windows():
    decoded = decode("a.html", '<meta charset="latin-1">“quoted”'.encode("cp1252"))
    assert decoded.text.endswith("“quoted”")


@pytest.mark.parametrize("name", ["rot13", "base64", "unheard-of", "unicode_escape"])
def test_declared_nonsense_is_ignored(name):
    text = f"<meta charset={name}><p>Déjà vu, très bien, à la carte"
    assert decode("a.html", text.encode("cp1252")).text == text


def test_a_few_broken_bytes_do_not_spoil_utf8():
    raw = "Grüße, schöne Wörter, äöü".encode() + b"\xff end"
    decoded = decode("a.txt", raw)
    assert decoded.text == "Grüße, schöne Wörter, äöü\ufffd end"
    assert (decoded.encoding, decoded.replaced) == ("utf-8", 1)


def test_lone_surrogates_never_come_out():
    raw = b"Words before, \xed\xa0\x80 words after, and \xc3\xa4\xc3\xb6\xc3\xbc " * 9
    assert decode("a.txt", raw).text.encode()


def test_stray_nuls_are_removed_and_counted():
    decoded = decode("a.txt", b"words and words " * 20 + b"\0end")
    assert "\0" not in decoded.text
    assert decoded.text.endswith("words end")
    assert decoded.nuls == 1


def test_line_ends_become_line_feeds():
    assert decode("a.txt", b"a\r\nb\rc\n\r\nd").text == "a\nb\nc\n\nd"


def test_nothing_is_text():
    assert decode("a.txt", b"").text == ""


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"%PDF-1.7\nplain", "a PDF"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "a PNG image"),
        (b"PK\x03\x04" + bytes(range(256)), "ZIP"),
        (b"\x7fELF\x02" + bytes(99), "ELF"),
        (b"GIF89a" + bytes(range(256)), "a GIF image"),
        (bytes(range(256)) * 8, "control characters"),
        (b"one\0two\0three\0", "control characters"),
    ],
)
def test_binary_content_is_named(raw, kind):
    with pytest.raises(UnsupportedMediaError, match=kind) as caught:
        decode("some/file.md", raw)
    assert caught.value.uri == "some/file.md"


def test_text_that_begins_like_a_weak_signature_is_text():
    assert decode("a.txt", b"BMW and RIFF are words").text == "BMW and RIFF are words"


def test_text_in_no_encoding_is_an_error():
    with pytest.raises(ExtractionError, match="save it as UTF-8"):
        decode("a.txt", bytes(range(128, 256)) * 20)


def test_lone_surrogates_of_a_declared_codec_never_come_out():
    raw = b"<meta charset=unicode_escape><p>\\ud800 d\xe9j\xe0 vu, tr\xe8s bien"
    assert decode("a.html", raw).text.encode()

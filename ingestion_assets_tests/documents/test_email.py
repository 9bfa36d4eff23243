from email.message import EmailMessage

from ingestion_assets import documents
from ingestion_assets.documents.document import Extract
from ingestion_assets_tests.documents.given import checked


def message(
    body: str = "Hello.\n\n> quoted\n> lines\n\n-- \nAda\n", **headers: str
) -> EmailMessage:
    built = EmailMessage()
    given = {"Subject": "Greetings", "From": "Ada <ada@a.org>", "To": "b@b.org", **headers}
    for name, value in given.items():
        built[name] = value
    built.set_content(body)
    return built


def extracted(built: EmailMessage) -> Extract:
    extract = documents.extract("a.eml", built.as_bytes())
    checked(extract.media_type, extract.text)
    return extract


def test_headers_body_and_quotes_are_read():
    extract = extracted(message(Date="Fri, 04 May 2001 14:05:44 -0400"))
    assert extract.text == (
        "# Greetings\n\nFrom: Ada <ada@a.org>\nTo: b@b.org\n"
        "Date: Fri, 04 May 2001 14:05:44 -0400\n\n"
        "Hello.\n\n> quoted\n> lines\n\n\\--\nAda"
    )
    assert extract.title == "Greetings"
    assert extract.metadata["date"] == "2001-05-04T14:05:44-04:00"


def test_of_alternatives_the_html_is_read():
    built = message("plain")
    built.add_alternative("<h2>Rich</h2><p>t\xe4xt</p>", subtype="html", charset="iso-8859-1")
    assert extracted(built).text.endswith("\n\n## Rich\n\nt\xe4xt")


def test_attachments_are_read_or_named():
    built = message("See below.")
    built.add_attachment("# Notes\n\nwords", subtype="markdown", filename="notes.md")
    built.add_attachment(b"\x89PNG\r\n\x1a\n", "image", "png", filename="x.png")
    extract = extracted(built)
    assert extract.text.endswith(
        "\n\nSee below.\n\n## Attachment: notes.md\n\n# Notes\n\nwords\n\n## Attachment: x.png"
    )
    assert extract.metadata["attachments"] == ["notes.md", "x.png"]
    assert extract.metadata["unread_attachments"] == 1


def test_an_attached_message_is_part_of_the_message():
    built = message("Forwarded.")
    built.add_attachment(message("Original.", Subject="First"))
    text = extracted(built).text
    assert text.index("Forwarded.") < text.index("## First") < text.index("Original.")


def test_a_wrong_charset_and_a_missing_boundary_lose_nothing():
    wrong = b"Subject: s\nContent-Type: text/plain; charset=no-such\n\nna\xc3\xafve\n"
    assert "na\xefve" in documents.extract("a.eml", wrong).text
    lost = b"Subject: s\nContent-Type: multipart/mixed; boundary=x\n\nno boundary\n"
    assert "no boundary" in documents.extract("a.eml", lost).text

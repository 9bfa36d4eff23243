"""The bytes of an e-mail in, Markdown out, with what is attached."""

import re
from email import message_from_bytes, policy
from email.message import EmailMessage, MIMEPart
from typing import Any

from ingestion_assets.documents import decoding, extraction, html, media
from ingestion_assets.documents.rendering import Rendering, escaped
from ingestion_assets.errors import ExtractionError

_SHOWN = ("From", "To", "Cc", "Date")
_BLANK = re.compile(r"\n[ \t]*\n")


def read(raw: bytes) -> tuple[str, str, dict[str, Any]]:
    """Subject, sender, receivers and date, the body, and each attachment under its name.

    Of alternatives the HTML is read. An attachment that cannot be read as a document of its own is
    only named, and counted; an attached message is read as part of this one.
    """
    message = message_from_bytes(raw, policy=policy.default)
    writer = _Writer()
    writer.message(message, 1)
    subject, said = _header(message, "Subject"), message.get("Date")
    metadata = {
        "subject": subject,
        "from": _header(message, "From"),
        "to": _header(message, "To"),
        "cc": _header(message, "Cc"),
        "date": said.datetime.isoformat() if said and said.datetime else None,
        "message_id": _header(message, "Message-ID"),
        "attachments": writer.attachments,
        "unread_attachments": writer.unread,
    }
    return writer.rendering.text(), subject, metadata


class _Writer:
    """Parts of messages in, Markdown out."""

    def __init__(self) -> None:
        self.rendering = Rendering()
        self.attachments: list[str] = []
        self.unread = 0

    def message(self, message: EmailMessage, level: int) -> None:
        """Write a message; those inside it have headings one level deeper."""
        self.rendering.heading(level, _header(message, "Subject"))
        said = {name: _header(message, name) for name in _SHOWN}
        lines = [f"{name}: {value}" for name, value in said.items() if value]
        self.rendering.paragraph("\n".join(lines))
        self._part(message, level)

    def _part(self, part: MIMEPart, level: int) -> None:
        kind = part.get_content_type()
        if kind == "multipart/alternative" and (body := part.get_body(("html", "plain"))):
            self._body(body)
        elif part.is_multipart():
            for inner in part.iter_parts():
                if kind == media.EMAIL and isinstance(inner, EmailMessage):
                    self.message(inner, level + 1)
                else:
                    self._part(inner, level)
        elif part.get_content_maintype() in {"text", "multipart"} and not part.get_filename():
            self._body(part)
        elif name := part.get_filename():
            self._attachment(name, part, level)

    def _body(self, part: MIMEPart) -> None:
        text = _text(part)
        if part.get_content_subtype() == "html":
            self.rendering.markdown(html.read(text).text)
        else:
            self._plain(text)

    def _plain(self, text: str) -> None:
        """Paragraphs with their lines; a quote is a quote in Markdown, too."""
        for paragraph in _BLANK.split(text):
            lines = paragraph.strip("\n").split("\n")
            kept = (line if line.startswith(">") else escaped(line.rstrip()) for line in lines)
            self.rendering.markdown("\n".join(kept))

    def _attachment(self, name: str, part: MIMEPart, level: int) -> None:
        self.attachments.append(name)
        self.rendering.heading(level + 1, f"Attachment: {name}")
        try:
            read = extraction.extract(name, _bytes(part))
        except ExtractionError:
            self.unread += 1
            return
        if read.media_type in {media.PLAIN, media.RST}:
            self._plain(read.text)
        else:
            self.rendering.markdown(read.text)


def _header(message: EmailMessage, name: str) -> str:
    return " ".join(str(message.get(name, "")).split())


def _text(part: MIMEPart) -> str:
    raw = _bytes(part)
    try:
        text = raw.decode(part.get_content_charset("utf-8"))
    except (LookupError, UnicodeDecodeError):
        return decoding.decode(part.get_content_type(), raw).text
    return text.replace("\r\n", "\n")


def _bytes(part: MIMEPart) -> bytes:
    raw = part.get_payload(decode=True)
    return raw if isinstance(raw, bytes) else b""

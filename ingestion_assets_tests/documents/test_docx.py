import io

import docx
import pytest
from docx.document import Document
from docx.opc.constants import CONTENT_TYPE, RELATIONSHIP_TYPE
from docx.opc.packuri import PackURI
from docx.opc.part import Part
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

from ingestion_assets import documents
from ingestion_assets.errors import ExtractionError
from ingestion_assets_tests.documents.given import checked


def saved(document: Document) -> bytes:
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def text_of(document: Document) -> str:
    extract = documents.extract("a.docx", saved(document))
    checked(extract.media_type, extract.text)
    return extract.text


def test_blocks_are_in_the_order_of_the_document():
    document = docx.Document()
    document.add_heading("Top", 0)
    document.add_paragraph("Words before.")
    table = document.add_table(2, 2)
    for cell, text in zip([*table.rows[0].cells, *table.rows[1].cells], "abcd", strict=True):
        cell.text = text
    document.add_heading("Below", 2)
    document.add_paragraph("one", "List Bullet")
    document.add_paragraph("inner", "List Bullet 2")
    document.add_paragraph("two", "List Bullet")
    document.add_paragraph("first", "List Number")
    document.add_paragraph("second", "List Number")
    assert text_of(document) == (
        "# Top\n\nWords before.\n\n| a | b |\n| --- | --- |\n| c | d |\n\n## Below\n\n"
        "- one\n- inner\n- two\n1. first\n2. second"
    )


def test_merged_cells_stand_once():
    document = docx.Document()
    table = document.add_table(2, 2)
    table.rows[0].cells[0].merge(table.rows[0].cells[1]).text = "wide"
    table.rows[1].cells[0].text, table.rows[1].cells[1].text = "a", "b"
    assert text_of(document) == "| wide |  |\n| --- | --- |\n| a | b |"


def test_a_table_that_lays_out_a_page_becomes_its_paragraphs():
    document = docx.Document()
    table = document.add_table(1, 2)
    table.rows[0].cells[0].text = "long " * 300
    table.rows[0].cells[1].text = "side"
    assert text_of(document) == "long " * 299 + "long\n\nside"


def test_a_row_in_a_content_control_is_a_row():
    document = docx.Document()
    table = document.add_table(2, 2)
    for cell, text in zip([*table.rows[0].cells, *table.rows[1].cells], "abcd", strict=True):
        cell.text = text
    row = table.rows[1]._tr
    control = parse_xml(f"<w:sdt {nsdecls('w')}><w:sdtContent/></w:sdt>")
    row.addprevious(control)
    control[0].append(row)
    assert text_of(document) == "| a | b |\n| --- | --- |\n| c | d |"


def test_notes_follow_at_the_end_under_their_numbers():
    document = docx.Document()
    reference = "<w:r {}><w:footnoteReference w:id='7'/></w:r>"
    document.add_paragraph("words")._p.append(parse_xml(reference.format(nsdecls("w"))))
    document.add_paragraph("more")
    note = "<w:footnote w:id='7'><w:p><w:r><w:t>the note</w:t></w:r></w:p></w:footnote>"
    blob = f"<w:footnotes {nsdecls('w')}>{note}</w:footnotes>".encode()
    package = document.part.package
    part = Part(PackURI("/word/footnotes.xml"), CONTENT_TYPE.WML_FOOTNOTES, blob, package)
    document.part.relate_to(part, RELATIONSHIP_TYPE.FOOTNOTES)
    assert text_of(document) == "words[1]\n\nmore\n\n\\[1] the note"


def test_what_was_inserted_is_read_and_what_was_deleted_is_not():
    document = docx.Document()
    paragraph = document.add_paragraph("kept ")
    for tag, text in (("ins", "t"), ("del", "delText")):
        paragraph._p.append(
            parse_xml(f"<w:{tag} {nsdecls('w')}><w:r><w:{text}>{tag}</w:{text}></w:r></w:{tag}>")
        )
    assert text_of(document) == "kept ins"


def test_content_controls_and_text_boxes_are_read():
    document = docx.Document()
    inner = "<w:p><w:r><w:t>control</w:t></w:r></w:p>"
    document.element.body.insert(
        0, parse_xml(f"<w:sdt {nsdecls('w')}><w:sdtContent>{inner}</w:sdtContent></w:sdt>")
    )
    box = "<w:pict><w:txbxContent><w:p><w:r><w:t>box</w:t></w:r></w:p></w:txbxContent></w:pict>"
    document.add_paragraph("around")._p.append(parse_xml(f"<w:r {nsdecls('w')}>{box}</w:r>"))
    assert text_of(document) == "control\n\naround\n\nbox"


def test_properties_are_metadata():
    document = docx.Document()
    document.core_properties.title = "Report"
    document.core_properties.author = "Ada"
    extract = documents.extract("a.docx", saved(document))
    assert extract.title == "Report"
    assert extract.metadata["author"] == "Ada"
    assert extract.metadata["created"].startswith("2013-12-23")


@pytest.mark.parametrize("cut", [30, 1000, 20_000])
def test_a_truncated_document_is_named(cut):
    with pytest.raises(ExtractionError, match=r"'a\.docx'.*(truncated|repair)"):
        documents.extract("a.docx", saved(docx.Document())[:cut])


def test_an_encrypted_document_is_named():
    with pytest.raises(ExtractionError, match="old or encrypted Office document"):
        documents.extract("a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600)

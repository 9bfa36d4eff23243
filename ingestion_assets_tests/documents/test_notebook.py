import json
from typing import Any

import pytest

from ingestion_assets import documents
from ingestion_assets.documents.notebook import read
from ingestion_assets_tests.documents.given import pieces


def notebook(*cells: Any, **metadata: Any) -> str:
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4})


def code(source: str, *outputs: Any) -> dict[str, Any]:
    return {"cell_type": "code", "source": source, "outputs": outputs}


def stream(text: str, name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


def test_cells_become_markdown_in_the_kernels_language():
    text = notebook(
        {"cell_type": "markdown", "source": ["# A *title*\n", "\n", "words"]},
        code("x <- '```'", stream("1\n2\n")),
        code("%%bash\nls"),
        kernelspec={"language": "R"},
    )
    reading = read(text)
    assert reading.text == (
        "# A *title*\n\nwords\n\n````R\nx <- '```'\n````\n\n"
        "```\n1\n2\n```\n\n```bash\n%%bash\nls\n```"
    )
    extract = documents.extract("a.ipynb", text.encode())
    assert (extract.title, extract.metadata["cells"]) == ("A title", 3)
    assert [kind for kind, _ in pieces(extract.media_type, extract.text)] == [
        "heading", "paragraph", "code", "code", "code",
    ]  # fmt: skip


def test_long_outputs_are_cut_and_counted():
    reading = read(notebook(code("f()", stream("line\n" * 500), stream("ok"))))
    assert reading.text.count("line") == 10
    assert "…" in reading.text
    assert reading.metadata["cut_outputs"] == 1


def test_only_what_outputs_say_in_words_is_kept():
    outputs = [
        {"output_type": "display_data", "data": {"image/png": "iVBOR", "text/html": "<b>"}},
        {"output_type": "execute_result", "data": {"text/plain": "<Figure size 1x1>"}},
        stream("warning", "stderr"),
        {"output_type": "error", "ename": "KeyError", "evalue": "'a'", "traceback": ["\x1b[0m"]},
    ]
    assert read(notebook(code("f()", *outputs))).text == (
        "```python\nf()\n```\n\n```\nKeyError: 'a'\n```"
    )


def test_format_3_is_read():
    cells = [
        {"cell_type": "heading", "level": 2, "source": "Old"},
        {
            "cell_type": "code",
            "input": ["a = 1\n", "a"],
            "language": "julia",
            "outputs": [{"output_type": "pyout", "text": ["1"]}],
        },
    ]
    text = json.dumps({"worksheets": [{"cells": cells}], "nbformat": 3})
    assert read(text).text == "## Old\n\n```julia\na = 1\na\n```\n\n```\n1\n```"


def test_a_picture_in_the_text_leaves_no_letters():
    cell = {"cell_type": "markdown", "source": f"![x](data:image/png;base64,{'iVBORw0' * 100})"}
    assert read(notebook(cell)).text == "![x](data:)"


@pytest.mark.parametrize("text", ["{}", "[1]", '{"cells": 3', '"x"'])
def test_other_json_is_no_notebook(text):
    with pytest.raises(ValueError, match=r"no notebook|Expecting"):
        read(text)

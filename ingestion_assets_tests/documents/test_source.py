import pytest

from ingestion_assets.documents import media
from ingestion_assets.documents.document import BlockKind
from ingestion_assets_tests.documents.given import checked, pieces

PROGRAMS = {
    media.PYTHON: (
        "import os\n\n# Says so.\n@decorated\ndef f():\n    def g(): ...\n\nif os:\n    def h():\n"
        "        pass\n",
        {"f", "h"},
    ),
    media.JAVASCRIPT: (
        "export default class A {\n  m() {}\n}\nconst f = async () => {\n};\n"
        "module.exports.g = function () {\n};\nlet x = 1;\n",
        {"A", "f", "module.exports.g"},
    ),
    media.TYPESCRIPT: (
        "namespace N {\n export interface I {\n  a: number;\n }\n"
        " export function f(): void {}\n}\n",
        {"N.I", "N.f"},
    ),
    media.TSX: ("export const View = () => {\n  return <b>x</b>;\n};\n", {"View"}),
    media.GO: (
        "package p\n\ntype S struct {\n\ta int\n}\n\nfunc (s *S) M() {}\n\nfunc F() {}\n",
        {"S", "S.M", "F"},
    ),
    media.RUST: (
        "mod m {\n    /// Doc.\n    #[inline]\n    fn f() {}\n}\n"
        "impl Tr for S {\n    fn g() {}\n}\n",
        {"m.f", "S"},
    ),
    media.JAVA: ("package p;\n/** Doc. */\nclass A {\n  void m() {}\n}\n", {"A"}),
    media.C: (
        "#ifndef H\n#define H\nstruct s {\n  int a;\n};\nstatic char *f(int a)\n{\n}\n#endif\n",
        {"s", "f"},
    ),
    media.CPP: (
        "namespace n {\ntemplate <class T>\nclass A {\n  T a;\n};\nint &A::b() { }\n}\n",
        {"n.A", "n.A.b"},
    ),
    media.CSHARP: ("namespace N {\n class A {\n  int P { get; set; }\n }\n}\n", {"N.A"}),
    media.RUBY: ("module M\n  def self.f\n  end\nend\n", {"M"}),
    media.PHP: ("<?php\nfunction f() {\n}\nclass A {\n  function m() {}\n}\n", {"f", "A"}),
    media.SHELL: ("set -e\n\n# Says so.\nf() {\n  echo\n}\n", {"f"}),
}


@pytest.mark.parametrize("media_type", PROGRAMS)
def test_functions_and_classes_of_every_language_have_their_names(media_type):
    text, names = PROGRAMS[media_type]
    found = checked(media_type, text)
    assert {b.title for b in found if b.kind is BlockKind.SYMBOL} == names


def test_every_language_with_a_grammar_is_tried():
    assert set(PROGRAMS) == set(media.SOURCE_CODE) - {media.OTHER_SOURCE}


def test_what_stands_directly_above_a_function_belongs_to_it():
    text = "a = 1  # of a\n# one\n# two\n@d\ndef f(): ...\n\n# alone\n\ndef g(): ...\n"
    assert pieces(media.PYTHON, text) == [
        ("code", "a = 1  # of a"),
        ("symbol", "# one\n# two\n@d\ndef f(): ..."),
        ("code", "# alone"),
        ("symbol", "def g(): ..."),
    ]


def test_a_large_class_is_its_header_and_its_methods():
    methods = [f"  // Says {i}.\n  void m{i}() {{\n{'    call();' * 20}\n  }}\n" for i in range(9)]
    text = "/** Doc. */\nclass A {\n  int a;\n\n" + "\n".join(methods) + "}\n"
    found = checked(media.JAVA, text)
    assert [block.title for block in found] == ["A", *(f"A.m{i}" for i in range(9))]
    assert text[found[0].start : found[0].end] == "/** Doc. */\nclass A {\n  int a;"
    assert text[found[-1].start : found[-1].end].startswith("  // Says 8.\n  void m8")
    assert text[found[-1].end - 3 : found[-1].end] == "}\n}"


def test_offsets_are_characters():
    text = "# 𝄞 läuft\nx = '文字'\n\ndef f():\n    return 'ä'\n"
    assert pieces(media.PYTHON, text)[-1] == ("symbol", "def f():\n    return 'ä'")


def test_without_a_grammar_code_is_cut_at_blank_lines():
    assert pieces(media.OTHER_SOURCE, "SELECT 1;\n\nSELECT\n  2;\n") == [
        ("code", "SELECT 1;"),
        ("code", "SELECT\n  2;"),
    ]


@pytest.mark.parametrize(
    ("media_type", "text"),
    [
        (media.JAVA, "a<" * 100_000),
        (media.CSHARP, "a<" * 100_000),
        (media.TYPESCRIPT, "(" * 100_000),
    ],
)
def test_a_text_that_a_grammar_chokes_on_is_code(media_type, text):
    assert {kind for kind, _ in pieces(media_type, text)} == {"code"}

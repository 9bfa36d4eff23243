"""What the grammars of programming languages call their functions, classes and namespaces."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache
from importlib import import_module

from tree_sitter import Language

from ingestion_assets.documents import media


class Role(Enum):
    """What a node of a syntax tree is to its reader."""

    FUNCTION = auto()  # kept whole
    CLASS = auto()  # kept whole if small, else its members
    SPACE = auto()  # only a part of its members' names
    GROUP = auto()  # not even that: `#if`, `try`
    WRAPPER = auto()  # belongs to the node inside: decorators, `export`, templates
    BINDING = auto()  # a symbol if a function is bound to a name


@dataclass(frozen=True, slots=True)
class Grammar:
    """A grammar's module and function, and the roles of its nodes."""

    module: str
    function: str
    roles: Mapping[str, Role]


def _roles(
    functions: str, classes: str = "", spaces: str = "", groups: str = "", wrappers: str = "",
    bindings: str = "",
) -> Mapping[str, Role]:  # fmt: skip
    named = zip(Role, (functions, classes, spaces, groups, wrappers, bindings), strict=True)
    return {"ERROR": Role.GROUP} | {name: role for role, names in named for name in names.split()}


_JAVASCRIPT_FUNCTIONS = "function_declaration generator_function_declaration method_definition"
_JAVASCRIPT_BINDINGS = (
    "lexical_declaration variable_declaration assignment_expression field_definition"
)
_TYPESCRIPT = _roles(
    _JAVASCRIPT_FUNCTIONS,
    "class_declaration abstract_class_declaration interface_declaration enum_declaration"
    " type_alias_declaration",
    "internal_module module",
    wrappers="export_statement ambient_declaration expression_statement",
    bindings="lexical_declaration variable_declaration assignment_expression"
    " public_field_definition",
)
_C_CLASSES = "struct_specifier union_specifier enum_specifier type_definition"
_C_GROUPS = "preproc_if preproc_ifdef preproc_else preproc_elif linkage_specification"

_GRAMMARS: Mapping[str, Grammar] = {
    media.PYTHON: Grammar(
        "tree_sitter_python",
        "language",
        _roles(
            "function_definition",
            "class_definition",
            groups="if_statement elif_clause else_clause try_statement except_clause block",
            wrappers="decorated_definition",
        ),
    ),
    media.JAVASCRIPT: Grammar(
        "tree_sitter_javascript",
        "language",
        _roles(
            _JAVASCRIPT_FUNCTIONS,
            "class_declaration",
            wrappers="export_statement expression_statement",
            bindings=_JAVASCRIPT_BINDINGS,
        ),
    ),
    media.TYPESCRIPT: Grammar("tree_sitter_typescript", "language_typescript", _TYPESCRIPT),
    media.TSX: Grammar("tree_sitter_typescript", "language_tsx", _TYPESCRIPT),
    media.GO: Grammar(
        "tree_sitter_go",
        "language",
        _roles("function_declaration method_declaration", "type_declaration"),
    ),
    media.RUST: Grammar(
        "tree_sitter_rust",
        "language",
        _roles(
            "function_item function_signature_item macro_definition",
            "struct_item enum_item union_item trait_item impl_item",
            "mod_item",
        ),
    ),
    media.JAVA: Grammar(
        "tree_sitter_java",
        "language",
        _roles(
            "method_declaration constructor_declaration compact_constructor_declaration",
            "class_declaration interface_declaration enum_declaration record_declaration"
            " annotation_type_declaration",
        ),
    ),
    media.C: Grammar(
        "tree_sitter_c",
        "language",
        _roles("function_definition", _C_CLASSES, groups=_C_GROUPS),
    ),
    media.CPP: Grammar(
        "tree_sitter_cpp",
        "language",
        _roles(
            "function_definition",
            _C_CLASSES + " class_specifier",
            "namespace_definition",
            _C_GROUPS,
            "template_declaration",
        ),
    ),
    media.CSHARP: Grammar(
        "tree_sitter_c_sharp",
        "language",
        _roles(
            "method_declaration constructor_declaration destructor_declaration"
            " operator_declaration property_declaration local_function_statement",
            "class_declaration struct_declaration interface_declaration enum_declaration"
            " record_declaration",
            "namespace_declaration file_scoped_namespace_declaration",
            "preproc_if preproc_else preproc_elif",
            "global_statement",
        ),
    ),
    media.RUBY: Grammar(
        "tree_sitter_ruby", "language", _roles("method singleton_method", "class module")
    ),
    media.PHP: Grammar(
        "tree_sitter_php",
        "language_php",
        _roles(
            "function_definition method_declaration",
            "class_declaration interface_declaration trait_declaration enum_declaration",
            "namespace_definition",
        ),
    ),
    media.SHELL: Grammar("tree_sitter_bash", "language", _roles("function_definition")),
}


def grammar(media_type: str) -> Grammar | None:
    """How to read a language; None if there is no grammar for it."""
    return _GRAMMARS.get(media_type)


@cache
def language(module: str, function: str) -> Language:
    """A grammar, loaded when the first text in it is read."""
    return Language(getattr(import_module(module), function)())

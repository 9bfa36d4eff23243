"""docs/options.md, made from the commands; `make docs` writes it."""

import click

from ingestion_assets.cli import main
from ingestion_assets.cli.group import COMMANDS

HEAD = """# All options

What `ingest COMMAND --help` says, for every command; `make docs` writes this page.
[The command](command.md) says more about the larger ones.
"""


def page() -> str:
    return HEAD + "".join(f"\n{_section(name)}" for name in COMMANDS)


def _section(name: str) -> str:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    return "\n".join(_entries(command, f"ingest {name}"))


def _entries(command: click.Command, path: str) -> list[str]:
    context = click.Context(command, info_name=path, terminal_width=100, max_content_width=100)
    parts = [f"## {path}\n\n```text\n{command.get_help(context)}\n```\n"]
    if isinstance(command, click.Group):
        parts += [
            part
            for name in command.list_commands(context)
            if (inner := command.get_command(context, name))
            for part in _entries(inner, f"{path} {name}")
        ]
    return parts


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import pytest

from ingestion_assets.sources import Source


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path.resolve() / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def source(root: Path) -> Source:
    return Source("handbook", root)


@pytest.fixture
def calling(root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Source]:
    """Make a source of a function that lies in a module."""
    monkeypatch.setattr(sys, "path", [*sys.path])

    def calling(function: object, **arguments: str) -> Source:
        module = ModuleType("given_module")
        module.yielded = function  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "given_module", module)
        return Source("handbook", root, python="given_module:yielded", arguments=dict(arguments))

    return calling


@pytest.fixture
def open_root() -> Iterator[Path]:
    """A root that every user may enter."""
    with TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder).resolve()


@contextmanager
def _as_nobody() -> Iterator[None]:
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def as_nobody():
    """A context in which permissions count, even if root runs the tests."""
    return _as_nobody

"""Where collections go: a local folder, or any url that fsspec knows."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.registry import known_implementations

from ingestion_assets.errors import ConfigError, ExportError, IngestionError

_STAGED = "_staged"  # folder of files that are not yet what they are called


class Target:
    """A folder whose files are replaced as a whole: a reader finds the old one or the new one.

    Args:
        url: a path, or `protocol://…`; what that protocol needs to know is in the environment, as
            its driver has it.

    Attributes:
        where: the url, without what is secret in it.

    Raises:
        ConfigError: fsspec does not know the protocol, or its driver is not installed.
    """

    def __init__(self, url: str) -> None:
        self._files, self._root = _opened(url)
        self._is_local = isinstance(self._files, LocalFileSystem)
        protocol = fsspec.utils.get_protocol(url)
        self.where = self._root if self._is_local else f"{protocol}://{self._root.lstrip('/')}"

    def sizes(self) -> dict[str, int]:
        """Bytes of every file, by its path below the root."""
        with self._reported("list"):
            self._files.invalidate_cache()
            if not self._files.exists(self._root):
                return {}
            found: dict[str, dict[str, Any]] = self._files.find(self._root, detail=True)
        return {self._below(path): info["size"] for path, info in found.items()}

    def read(self, path: str) -> bytes:
        with self._reported("read"):
            content: bytes = self._files.cat_file(self._at(path))
        return content

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """A folder on this machine for files that `publish` takes; on the same disk if it can be.

        What another process left there when it was killed is deleted.
        """
        folder = Path(self._root, _STAGED) if self._is_local else None
        try:
            if folder is None:
                with tempfile.TemporaryDirectory(prefix="ingestion-export-") as elsewhere:
                    yield Path(elsewhere)
            else:
                with _emptied(folder):
                    yield folder
        except OSError as exc:
            raise ExportError(f"cannot write {folder or tempfile.gettempdir()}: {exc}") from exc

    def publish(self, staged: Path, path: str) -> None:
        """Put a staged file in its place: renamed on a disk, sent in one piece to a store."""
        with self._reported("write to"):
            if not self._is_local:
                self._files.put_file(str(staged), self._at(path))
                return
            place = Path(self._at(path))
            place.parent.mkdir(parents=True, exist_ok=True)
            _flush(staged)
            staged.replace(place)

    def remove(self, path: str) -> None:
        """Delete a file, if it is there, and its folder, if it is empty now."""
        with self._reported("delete from"):
            if self._files.exists(self._at(path)):
                self._files.rm_file(self._at(path))
            folder = Path(self._at(path)).parent
            if self._is_local and folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def _at(self, path: str) -> str:
        return f"{self._root.rstrip('/')}/{path}"

    def _below(self, path: str) -> str:
        return path.removeprefix(self._root).lstrip("/")

    @contextmanager
    def _reported(self, verb: str) -> Iterator[None]:
        try:
            yield
        except IngestionError:
            raise
        except Exception as exc:  # every driver has errors of its own
            raise ExportError(f"cannot {verb} {self.where}: {exc or type(exc).__name__}") from exc


def _opened(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    protocol = fsspec.utils.get_protocol(url)
    try:
        files, root = fsspec.core.url_to_fs(url)
    except ImportError as exc:
        driver = known_implementations.get(protocol, {}).get("err") or str(exc)
        raise ConfigError(f"{protocol}:// needs a package that is not installed: {driver}") from exc
    except ValueError as exc:
        raise ConfigError(f"collections cannot go to {protocol}://: {exc}") from exc
    return files, root


@contextmanager
def _emptied(folder: Path) -> Iterator[None]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _flush(path: Path) -> None:
    """Have it on the disk before its name is: else a power cut may leave an empty file."""
    with path.open("rb") as file:
        os.fsync(file.fileno())

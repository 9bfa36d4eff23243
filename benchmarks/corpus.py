"""Real files that nobody here wrote, read as a run reads them: what became of each.

uv run --no-sync python benchmarks/corpus.py [FOLDER…] --sample 40 --into /tmp/texts

Reads all files of the folders, and of the packages installed beside this one. Ends with 1 if a
parser failed in a way that nobody foresaw.
"""

import argparse
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from sysconfig import get_path

from ingestion_assets import documents
from ingestion_assets.documents.document import Document
from ingestion_assets.documents.processes import Limits
from ingestion_assets.errors import ReaderError
from ingestion_assets.sources import Failure, Reconciliation, Source

_SHOWN = 20  # failures
_KIND = re.compile(r" is (.+?)(?: \(|, not text)")


def main() -> None:
    arguments = _arguments()
    limits = Limits(processes=arguments.processes)
    sample = _Sample(arguments.sample, arguments.seed)
    kinds: Counter[str] = Counter()
    failures: list[Failure] = []
    skipped: list[Failure] = []
    size, start = 0, time.perf_counter()
    for folder in arguments.folders:
        source = Source("corpus", root=folder.resolve(), exclude=tuple(arguments.exclude))
        reading = Reconciliation(source, "corpus/00", {}, lambda _: Counter(), limits=limits)
        for document in _documents(reading):
            kinds[document.media_type] += 1
            documents.blocks(document.media_type, document.text)
            sample.offer(document)
        failures += reading.failures
        skipped += reading.skipped
        size += reading.counts.bytes_read
    _show(kinds, failures, skipped)
    seconds = time.perf_counter() - start
    count = kinds.total() + len(failures) + len(skipped)
    print(f"{count} files, {size / 1e6:.1f} MB in {seconds:.0f} s: {count / seconds:.0f} files/s")
    sample.write(arguments.into)
    sys.exit(any(f.error_class == ReaderError.__name__ for f in failures))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    installed = Path(get_path("purelib"))
    parser.add_argument("folders", type=Path, nargs="*", default=[], help="beside the packages")
    parser.add_argument("--exclude", nargs="*", default=[], help="globs")
    parser.add_argument("--sample", type=int, default=40, help="texts to be read by eye")
    parser.add_argument("--into", type=Path, default=Path("corpus-sample"), help="their folder")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--processes", type=int, default=Limits().processes)
    arguments = parser.parse_args()
    arguments.folders.append(installed)
    return arguments


def _documents(reading: Reconciliation) -> Iterator[Document]:
    for changes in reading:
        yield from changes.rows


class _Sample:
    """Documents drawn evenly from each media type, however many there are."""

    def __init__(self, size: int, seed: int) -> None:
        self._size, self._random = size, Random(seed)
        self._seen: Counter[str] = Counter()
        self._kept: dict[str, list[Document]] = {}

    def offer(self, document: Document) -> None:
        kept = self._kept.setdefault(document.media_type, [])
        self._seen[document.media_type] += 1
        at = self._random.randrange(self._seen[document.media_type])
        if len(kept) < self._size:
            kept.append(document)
        elif at < self._size:
            kept[at] = document

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        each = max(1, self._size // max(1, len(self._kept)))
        for media_type, kept in self._kept.items():
            for n, d in enumerate(self._random.sample(kept, min(each, len(kept)))):
                path = folder / f"{media_type.replace('/', '-')}-{n}.txt"
                path.write_text(f"{d.uri}\n{d.title}\n{dict(d.metadata)}\n{'-' * 80}\n{d.text}")


def _show(kinds: Counter[str], failures: Sequence[Failure], skipped: Sequence[Failure]) -> None:
    for name, counts in (
        ("read as", kinds),
        ("failed with", Counter(failure.error_class for failure in failures)),
        ("no document", Counter(_KIND.findall(failure.message)[0] for failure in skipped)),
    ):
        print(name)
        for what, count in counts.most_common(_SHOWN):
            print(f"{count:8} {what:.90}")
    for failure in failures[:_SHOWN]:
        print(f"{failure.error_class}: {failure.message:.160}")


if __name__ == "__main__":
    main()

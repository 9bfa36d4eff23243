"""Extraction through the pool of processes, against the same calls in one process.

uv run --no-sync python benchmarks/extraction.py [FOLDER] [--suffix .pdf]

Without a folder, pages of HTML and Markdown files are made up: the former for the rate, the latter
for what a round trip costs by size, which decides what is read without a process.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from statistics import median

from ingestion_assets import documents
from ingestion_assets.documents.processes import Extractors, Limits, Raw
from ingestion_assets.errors import SourceError

_SIZES = (1_000, 4_000, 16_000, 64_000, 256_000)  # bytes


def main() -> None:
    arguments = _arguments()
    if arguments.folder:
        files = _files(arguments.folder, arguments.suffix, arguments.files)
    else:
        files = [Raw(f"{n}.html", _page(n, arguments.size)) for n in range(arguments.files)]
    _compare(files, Limits(processes=arguments.processes), arguments.rounds)
    if not arguments.folder:
        _round_trips(arguments.rounds)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="of files to read instead")
    parser.add_argument("--suffix", default=".html", help="of the files in the folder")
    parser.add_argument("--files", type=int, default=400, help="at most")
    parser.add_argument("--size", type=int, default=200_000, help="bytes of a made-up page")
    parser.add_argument("--processes", type=int, default=Limits().processes)
    parser.add_argument("--rounds", type=int, default=5, help="the medians are shown")
    return parser.parse_args()


def _files(folder: Path, suffix: str, most: int) -> list[Raw]:
    found = sorted(path for path in folder.rglob(f"*{suffix}") if path.is_file())[:most]
    return [Raw(path.name, path.read_bytes()) for path in found]


def _words(seed: int, size: int) -> list[str]:
    random = Random(seed)
    return ["".join(random.choices("aeionrstlm", k=random.randint(2, 9))) for _ in range(size // 7)]


def _page(seed: int, size: int) -> bytes:
    words = _words(seed, size)
    parts = [f"<p>{' '.join(words[at : at + 60])} <a href='x'>more</a></p>" for at in
             range(0, len(words), 60)]  # fmt: skip
    parts[::8] = [f"<h2>{part[3:20]}</h2>" for part in parts[::8]]
    return f"<html><body>{''.join(parts)}</body></html>".encode()


def _compare(files: Sequence[Raw], limits: Limits, rounds: int) -> None:
    alone, pooled = [], []
    with Extractors(limits) as extractors:
        _pooled(extractors, files[: limits.processes])  # starts the processes
        for _ in range(rounds):
            alone.append(_seconds(lambda: _alone(files)))
            pooled.append(_seconds(lambda: _pooled(extractors, files)))
    size = sum(len(raw.content) for raw in files) / 1e6
    print(f"{len(files)} files, {size:.1f} MB, median of {rounds}")
    for name, times in (("one process", alone), (f"pool of {limits.processes}", pooled)):
        seconds = median(times)
        print(f"{name:12} {len(files) / seconds:8.1f} files/s {size / seconds:8.2f} MB/s")
    print(f"ratio {median(alone) / median(pooled):.2f}")


def _alone(files: Sequence[Raw]) -> int:
    count = 0
    for raw in files:
        try:
            documents.extract(raw.uri, raw.content, raw.media_type)
            count += 1
        except SourceError as exc:
            print(exc)
    return count


def _pooled(extractors: Extractors, files: Sequence[Raw]) -> int:
    found = extractors.each((raw, None) for raw in files)
    return sum(not isinstance(extract, SourceError) for _, extract in found)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _round_trips(rounds: int) -> None:
    """What a process costs, and what a document of each size and kind takes without one."""
    nothing = [Raw("a.html", b"<p>words") for _ in range(200)]
    with Extractors(Limits(processes=1)) as extractors:
        start = _seconds(lambda: _pooled(extractors, nothing[:1]))
        trip = median(_seconds(lambda: _pooled(extractors, nothing)) / 200 for _ in range(rounds))
    print(f"start of a process {start * 1e3:.0f} ms, round trip {trip * 1e3:.2f} ms")
    print(f"{'ms a document':>14} {'.md':>8} {'.txt':>8} {'.html':>8}")
    for size in _SIZES:
        text = " ".join(_words(size, size)).replace(" a", "\n\n# A").encode()
        made = {".md": text, ".txt": text, ".html": _page(size, size)}
        row = [_each(Raw(f"a{suffix}", content), rounds) for suffix, content in made.items()]
        print(f"{size:>14,} " + " ".join(f"{seconds * 1e3:8.2f}" for seconds in row))


def _each(raw: Raw, rounds: int) -> float:
    return median(_seconds(lambda: _alone([raw])) for _ in range(rounds))


if __name__ == "__main__":
    main()

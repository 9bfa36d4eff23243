"""Writes the fixtures beside it: `python make.py SHARED/data/minilm`.

They hold the vectors that sentence-transformers (torch) gave for a few ordinary and all of the hard
texts.
"""

import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
ORDINARY = 64


def main(shared: Path) -> None:
    for source, target, count in (("chunks512", "chunks", ORDINARY), ("edge", "edge", None)):
        texts = json.loads((shared / f"{source}.json").read_text())[:count]
        vectors = np.load(shared / f"{source}_reference_torch.npy")[:count]
        (HERE / f"{target}.json").write_text(json.dumps(texts, indent=0) + "\n")
        np.save(HERE / f"{target}.npy", vectors)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

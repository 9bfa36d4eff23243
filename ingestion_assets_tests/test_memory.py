import subprocess
import sys

GROWTH = """
import numpy as np
from ingestion_assets.memory import prevent_fragmentation

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096

prevent_fragmentation()
before, freed_later, pins = resident(), [], []
for n in range(60):
    np.ones(8_000_000, np.uint8)  # freed at once: from now on glibc itself would keep such
    freed_later.append(np.ones(2_000_000, np.uint8))
    pins.append(bytes(2_000))  # stays, and holds what lies below
del freed_later
print((resident() - before) // 2**20)
"""


def test_what_was_large_and_is_free_goes_back_although_something_small_stays():
    done = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, check=True)
    assert int(done.stdout) < 20

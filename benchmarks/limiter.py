"""How near the limiter comes to the best fixed limit, on simulated servers and a virtual clock.

python benchmarks/limiter.py
"""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from statistics import mean

from ingestion_assets_tests.embedding.simulation import Comparison, Server, compare

COSTS = [(0.008, 0.002), (0.040, 0.004)]  # seconds a request and a text
TRIPS = [0.002, 0.2]


def main() -> None:
    arguments = _arguments()
    print("texts/s over the second half of a run, after a change over the last quarter")
    print(
        f"{'server':36}{'maximum':>8}{'best':>6}{'limit':>7}{'texts/s':>9}{'ratio':>7}{'worst':>7}"
    )
    for name, server, maximum, changes in _servers(arguments.jitter, arguments.requests // 2):
        share = 0.75 if changes else 0.5
        _show(
            name,
            maximum,
            [
                compare(
                    server,
                    maximum=maximum,
                    requests=arguments.requests,
                    changes=changes,
                    first=int(arguments.requests * share),
                    seed=seed,
                )
                for seed in range(arguments.seeds if arguments.jitter else 1)
            ],
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=800, help="of 32 texts each")
    parser.add_argument("--jitter", type=float, default=0.0, help="sigma of the service times")
    parser.add_argument("--seeds", type=int, default=5, help="runs with jitter")
    return parser.parse_args()


def _servers(
    jitter: float, half: int
) -> Iterator[tuple[str, Server, int, Mapping[int, Server] | None]]:
    for slots, rtt, cost in product([1, 4, 16], TRIPS, COSTS):
        name = f"{slots:2} slots, {_ms(rtt)} away, {_ms(cost[0])} + {_ms(cost[1])}"
        yield name, Server(slots, rtt, *cost, jitter), 64, None
    for (before, after), rtt in product([(1, 4), (4, 1), (1, 16), (16, 1)], TRIPS):
        server = Server(before, rtt, jitter=jitter)
        name = f"{before:2} slots, then {after:2}, {_ms(rtt)} away"
        yield name, server, 64, {half: replace(server, slots=after)}


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _show(name: str, maximum: int, found: list[Comparison]) -> None:
    best, limit = mean(run.best for run in found), mean(run.limit for run in found)
    rate, ratio = mean(run.rate for run in found), mean(run.ratio for run in found)
    worst = min(run.ratio for run in found)
    print(f"{name:36}{maximum:8}{best:6.0f}{limit:7.1f}{rate:9,.0f}{ratio:7.3f}{worst:7.3f}")


if __name__ == "__main__":
    main()

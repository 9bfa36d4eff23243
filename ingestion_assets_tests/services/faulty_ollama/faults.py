"""Rules that say which request fails how, F1 to F22 of the reference on Ollama §9."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

RUNNER = "http://127.0.0.1:40123"
BUSY = "server busy, please try again.  maximum pending requests exceeded"
HTML = "<html><body><h1>{}</h1></body></html>"


@dataclass(slots=True)
class Rule:
    """One fault and the requests that it strikes; every condition given must hold.

    Attributes:
        fault: F1 to F22; how each goes wrong is in `canned` and in the server.
        path: strikes requests to this path only.
        nth: requests that reach this rule, counted from 1.
        after: requests that reach it and are spared, before any is struck.
        lasts: seconds from the first request that is struck.
        match: part of a text in the request. F9 to F11 then strike the texts that match.
        batch: at least so many texts in the request.
        in_flight: at least so many requests under way.
        probability: by a generator of its own, started from the seed.
        start: seconds after the rules were set.
        until: seconds after the rules were set.
        times: strikes so often at most.
        seconds: how long a fault takes: F1, F4, F5, F18, F20.
        status: of F14 and F15, instead of 502 and 401.
        retry_after: header of F14's 429 or 503.
        variant: of F3 (chunked), F8 (oom), F12 (missing, extra, dimension, null, empty).
    """

    fault: str
    path: str = "/api/embed"
    nth: tuple[int, ...] = ()
    after: int = 0
    lasts: float = float("inf")
    match: str = ""
    batch: int = 0
    in_flight: int = 0
    probability: float = 1.0
    seed: int = 0
    start: float = 0.0
    until: float = float("inf")
    times: float = float("inf")
    seconds: float = 1.0
    status: int = 0
    retry_after: str = ""
    variant: str = ""
    _seen: int = 0
    _struck: int = 0
    _first: float | None = None
    _dice: random.Random = field(default_factory=random.Random)

    @classmethod
    def of(cls, rule: dict[str, Any]) -> Self:
        made = cls(**{**rule, "nth": tuple(rule.get("nth", ()))})
        made._dice.seed(made.seed)
        return made

    def strikes(self, path: str, texts: Iterable[str], n: int, in_flight: int, at: float) -> bool:
        """Whether the rule strikes this request, which is counted."""
        if path != self.path or not self.start <= at < self.until or n < self.batch:
            return False
        if in_flight < self.in_flight or not any(self.match in text for text in texts or [""]):
            return False
        self._seen += 1
        if self._seen <= self.after or (self.nth and self._seen not in self.nth):
            return False
        if self._struck >= self.times or self._dice.random() >= self.probability:
            return False
        self._first = at if self._first is None else self._first
        if at - self._first >= self.lasts:
            return False
        self._struck += 1
        return True


def canned(rule: Rule) -> tuple[int, str | None, str]:
    """Status, error text, or else HTML, of the faults that are a plain answer."""
    embeddings = f'do embedding request: Post "{RUNNER}/v1/embeddings": EOF'
    refused = "dial tcp 127.0.0.1:40123: connect: connection refused"
    killed = "llama-server process has terminated: signal: killed"
    oom = "llama-server process has terminated: cudaMalloc failed: out of memory"
    status = rule.status or 502
    plain: dict[str, tuple[int, str | None, str]] = {
        "F6": (400, embeddings, ""),
        "F7": (400, f'Post "{RUNNER}/tokenize": {refused}', ""),
        "F8": (500, oom if rule.variant == "oom" else killed, ""),
        "F9": (500, "failed to encode response: json: unsupported value: NaN", ""),
        "F10": (400, "embedding contains NaN or Inf values", ""),
        "F13": (503, BUSY, ""),
        "F14": (status, None, HTML.format(status)),
        "F15": (rule.status or 401, "unauthorized" if rule.status != 403 else None, ""),
        "F16": (400, "the input length exceeds the context length", ""),
        "F19": (200, None, HTML.format("Welcome to the airport")),
    }
    return plain[rule.fault]

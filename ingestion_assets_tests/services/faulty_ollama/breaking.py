"""The double in bad health: faults F1 to F22, struck by rule."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson

from ingestion_assets_tests.services.faulty_ollama.contract import RefusedError, parse_embed
from ingestion_assets_tests.services.faulty_ollama.faults import Rule, canned
from ingestion_assets_tests.services.faulty_ollama.http import GoneError, Reply, Request
from ingestion_assets_tests.services.faulty_ollama.runner import Config
from ingestion_assets_tests.services.faulty_ollama.server import (
    Handle,
    HealthyOllama,
    pull_lines,
)

FOREVER = 86_400.0


class FaultyOllama(HealthyOllama):
    """A server whose requests fail by the rules of its configuration, or of /_faults."""

    def __init__(self, config: Config) -> None:
        self._background: set[asyncio.Task[None]] = set()
        super().__init__(config)
        self._routes["/_faults"] = {"POST": self._faults}

    def reset(self, config: Config) -> None:
        super().reset(config)
        self._set_rules(config.rules)

    def _set_rules(self, rules: list[dict[str, Any]]) -> None:
        self._rules = [Rule.of(rule) for rule in rules]
        self._rules_since = asyncio.get_running_loop().time()

    async def _faults(self, request: Request) -> Reply:
        self._set_rules(orjson.loads(request.body))
        return Reply(200, orjson.dumps({"rules": len(self._rules)}))

    async def answer(self, path: str, handle: Handle, request: Request) -> Reply | None:
        """The reply as the first rule that strikes leaves it."""
        rule = self._struck(path, request)
        if rule is None:
            return await handle(request)
        before = {
            "F1": self._restart,
            "F2": self._close,
            "F4": self._stall,
            "F17": self._forget,
            "F18": self._hang,
            "F20": self._restart,
        }
        if rule.fault in before:
            await before[rule.fault](rule, request)
            return await handle(request)
        if rule.fault in ("F3", "F5", "F11", "F12", "F21"):
            return await self._damaged(rule, request, await handle(request))
        if rule.fault == "F22":
            return Reply(200, pull_lines(rule.variant), "application/x-ndjson")
        return _canned(rule)

    def _struck(self, path: str, request: Request) -> Rule | None:
        if not self._rules:
            return None
        at = asyncio.get_running_loop().time() - self._rules_since
        texts = _texts_of(path, request.body)
        for rule in self._rules:
            if rule.strikes(path, texts, len(texts), self.counts.in_flight, at):
                return rule
        return None

    async def _restart(self, rule: Rule, request: Request) -> None:
        """Refuse connections for a while; F20 also loses the loaded model."""
        if rule.fault == "F20":
            self.runner.unload()
        if self._server is not None:
            self._server.close()
            task = asyncio.create_task(self._return(rule.seconds))
            self._background.add(task)
            task.add_done_callback(self._background.discard)
            self._server = None
            for client in list(self._clients):
                client.transport.abort()
        raise GoneError

    async def _return(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.listen(self._host, self._port)

    async def _close(self, rule: Rule, request: Request) -> None:
        raise GoneError

    async def _stall(self, rule: Rule, request: Request) -> None:
        await request.nap(rule.seconds)

    async def _hang(self, rule: Rule, request: Request) -> None:
        await request.nap(FOREVER)

    async def _forget(self, rule: Rule, request: Request) -> None:
        self.missing = True

    async def _damaged(self, rule: Rule, request: Request, reply: Reply | None) -> Reply | None:
        if reply is None:
            return None
        if rule.fault in ("F3", "F5"):
            await self._break_off(rule, request, reply)
            return None
        return self._spoil(rule, request, reply)

    async def _break_off(self, rule: Rule, request: Request, reply: Reply) -> None:
        writer, body = request.writer, reply.body
        if rule.fault == "F5":
            writer.write(reply.head())
            step = max(len(body) // 10, 1)
            for i in range(0, len(body), step):
                writer.write(body[i : i + step])
                await request.nap(rule.seconds / 10)
            return
        half = body[: len(body) // 2]
        if rule.variant == "chunked":
            writer.write(reply.head("Transfer-Encoding: chunked"))
            writer.write(f"{len(half):x}\r\n".encode() + half + b"\r\n")
        else:
            writer.write(reply.head() + half)
        await writer.drain()
        raise GoneError

    def _spoil(self, rule: Rule, request: Request, reply: Reply) -> Reply:
        if reply.status != 200:
            return reply
        answer = orjson.loads(reply.body)
        rows = answer["embeddings"]
        if rule.fault == "F21":
            rows.reverse()
        elif rule.fault == "F11":
            self.runner.dead |= rule.variant == "state"
            for i, text in enumerate(_texts_of("/api/embed", request.body)):
                if rule.match in text:
                    rows[i] = [0.0] * len(rows[i])
        else:
            answer["embeddings"] = _BROKEN[rule.variant](rows)
        return Reply(200, orjson.dumps(answer))


def _canned(rule: Rule) -> Reply:
    status, error, html = canned(rule)
    headers = {"Retry-After": rule.retry_after} if rule.retry_after else {}
    if error is None:
        return Reply(status, html.encode(), "text/html", headers)
    body: dict[str, str] = {"error": error}
    if status == 401:
        body["signin_url"] = "https://ollama.com/connect"
    return Reply(status, orjson.dumps(body), headers=headers)


def _texts_of(path: str, body: bytes) -> list[str]:
    if path != "/api/embed":
        return []
    try:
        return parse_embed(body).texts
    except RefusedError:
        return []


_BROKEN: dict[str, Callable[[list[Any]], list[Any]]] = {
    "missing": lambda rows: rows[:-1],
    "extra": lambda rows: [*rows, rows[-1]],
    "dimension": lambda rows: [row[:-1] for row in rows],
    "null": lambda rows: [[None, *rows[0][1:]], *rows[1:]],
    "empty": lambda rows: [],
}

"""The one way in which sync code enters Dagster's event loop."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError

T = TypeVar("T")


def run_on(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end; when interrupted, cancel it and its children first.

    Raises:
        dagster.Failure: the run was terminated. Not retryable: a retry policy would otherwise
            start the terminated step again.
    """
    task = loop.create_task(coroutine)
    try:
        return loop.run_until_complete(task)
    except BaseException as exc:
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        if isinstance(exc, KeyboardInterrupt | DagsterExecutionInterruptedError):
            raise dg.Failure("interrupted", allow_retries=False) from exc
        raise

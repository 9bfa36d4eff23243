from typing import Any

import numpy as np
import pytest

from ingestion_assets.embedding.agreement import Agreement, claim, persist
from ingestion_assets.embedding.backoff import Backoff
from ingestion_assets.embedding.ollama import Ollama
from ingestion_assets.errors import (
    ModelError,
    ModelMismatchError,
    OllamaAnswerError,
    OllamaUnavailableError,
)
from ingestion_assets_tests.embedding.given import AT_ONCE
from ingestion_assets_tests.embedding.served import Served


async def agreement(first: Ollama, *, auto_pull: bool = False) -> Agreement:
    said = await claim(first, "m", auto_pull=auto_pull)
    return Agreement(said, auto_pull=auto_pull, backoff=AT_ONCE)


async def test_servers_of_the_same_model_agree() -> None:
    agreed = await agreement(Served().client("gpu1"))
    await agreed.readmit(Served().client("gpu1"))
    await agreed.readmit(Served().client("gpu2"))


@pytest.mark.parametrize("other", [{"digest": "e" * 64}, {"canary": (1.0, 0.0, 0.0)}], ids=str)
async def test_another_model_is_refused_and_both_servers_named(other: dict[str, Any]) -> None:
    agreed = await agreement(Served().client("gpu1"))
    with pytest.raises(ModelError, match=r"gpu2.*at http://gpu1:11434"):
        await agreed.readmit(Served(**other).client("gpu2"))


async def test_other_vectors_are_refused_and_both_servers_named() -> None:
    agreed = await agreement(Served().client("gpu1"))
    await agreed.prove(Served().client("gpu1"))
    with pytest.raises(ModelError, match=r"gpu2.*other vectors than at http://gpu1:11434"):
        await agreed.prove(Served(canary=(0.6, 0.8)).client("gpu2"))


async def test_other_vectors_than_in_an_earlier_run_are_refused() -> None:
    agreed = await agreement(Served().client("gpu1"))
    agreed.expect(np.array([0.6, 0.8], np.float32))
    with pytest.raises(
        ModelMismatchError, match=r"stored vectors.*cosine 0\.600.*`ollama cp m m:new"
    ):
        await agreed.prove(Served().client("gpu1"))


async def test_the_vector_of_an_earlier_run_stays_the_one_to_compare_with() -> None:
    agreed = await agreement(Served().client("gpu1"))
    assert agreed.canary is None
    await agreed.prove(Served().client("gpu1"))
    assert agreed.canary is not None
    assert agreed.canary.tolist() == [1.0, 0.0]
    earlier = np.array([0.9998, 0.02], np.float32)
    agreed.expect(earlier)
    assert (await agreed.prove(Served().client("gpu1"))).tolist() == [1.0, 0.0]
    assert agreed.canary is earlier


async def test_nearly_the_same_vectors_agree() -> None:
    agreed = await agreement(Served().client("gpu1"))
    await agreed.prove(Served().client("gpu1"))
    await agreed.prove(Served(canary=(0.9998, 0.02)).client("gpu2"))


async def test_a_runner_with_dead_vectors_is_unloaded_before_it_is_given_up() -> None:
    sick = Served(canary=(0.0, 0.0))
    agreed = await agreement(sick.client())
    with pytest.raises(OllamaAnswerError, match="dead vectors"):
        await agreed.prove(sick.client())
    assert sick.unloads >= 1


async def test_a_missing_model_is_pulled_where_that_is_allowed() -> None:
    served = Served()
    served.installed = False
    with pytest.raises(ModelError, match="`ollama pull m`"):
        await claim(served.client(), "m", auto_pull=False)
    said = await claim(served.client(), "m", auto_pull=True)
    assert said.identity.digest == served.digest
    assert served.pulls == 1


async def test_a_failure_in_passing_is_asked_again() -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    failures = [OllamaUnavailableError("gpu1", "refused")] * 2

    async def ask() -> str:
        if failures:
            raise failures.pop()
        return "answer"

    assert await persist(ask, Backoff(sleep, lambda: 1.0)) == "answer"
    assert pauses == [0.5, 1.0]


async def test_a_server_that_stays_down_is_an_error() -> None:
    async def ask() -> None:
        raise OllamaUnavailableError("gpu1", "refused")

    with pytest.raises(OllamaUnavailableError):
        await persist(ask, AT_ONCE)

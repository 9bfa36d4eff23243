import base64
import random
from xml.etree import ElementTree

import pytest

from ingestion_assets.defs.plot import plot, svg
from ingestion_assets.pace import Timeline


def _course(requests: int) -> dict[str, object]:
    timeline, rng = Timeline(), random.Random(1)
    for n in range(requests):
        timeline.add(n, n + rng.uniform(0.1, 9), rng.randrange(64))
    return timeline.data()


@pytest.mark.parametrize("requests", [0, 1, 5000])
def test_the_picture_is_well_formed_and_small(requests: int) -> None:
    drawn = svg(_course(requests))
    root = ElementTree.fromstring(drawn)
    labels = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert labels[:2] == ["chunks/s", "requests under way"]
    assert len(plot(_course(requests)).value) < 9_000


def test_markdown_has_it_as_an_image() -> None:
    prefix, _, data = plot(_course(9)).value.partition("base64,")
    assert prefix == "![chunks/s and concurrency](data:image/svg+xml;"
    assert base64.b64decode(data.rstrip(")")).decode() == svg(_course(9))

from collections.abc import Iterator

import pytest

from ingestion_assets_tests.sources.web.website import Website, website


@pytest.fixture
def site() -> Iterator[Website]:
    with website() as site:
        yield site

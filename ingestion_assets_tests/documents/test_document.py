import pytest

from ingestion_assets.documents.document import pages


def test_offsets_in_order_are_pages():
    assert pages([0, 10, 10, 25]) == [0, 10, 10, 25]


@pytest.mark.parametrize("said", [None, 12, "ten", "", [10, 0], ["0"], [0.5], [True], {"0": 1}])
def test_anything_else_that_is_called_pages_is_not(said):
    assert len(pages(said)) == 0

"""The stages of a run are one trace, with their requests and commits."""

from ingestion_assets_tests.defs.conftest import Materialize
from ingestion_assets_tests.spans import attributes, id_of, parent_of, recorded, trace_of, written


def test_the_stages_of_a_run_are_one_trace(materialize: Materialize, database: str) -> None:
    with recorded() as spans:
        result = materialize(key="notes/00")
        assert result.success
        found = spans.get_finished_spans()
        first = [span for span in found if span.parent is None]
        assert [span.name for span in first] == ["sources", "chunks", "fidelity", "embeddings"]
        stages = [span for span in first if span.name != "fidelity"]
        assert len({trace_of(span) for span in found}) == 1
        for stage in stages:
            assert attributes(stage)["dagster.run_id"] == result.run_id
            assert attributes(stage)["dagster.partition"] == "notes/00"
        below = {(span.name, parent_of(span)) for span in found if span.parent}
        assert below >= {("commit", id_of(stage)) for stage in stages}
        assert ("embed", id_of(stages[-1])) in below
        assert "First" not in written(spans)
        assert database not in written(spans)

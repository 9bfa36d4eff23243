from prometheus_client import generate_latest

from ingestion_assets.metrics import EmbeddingMetrics


def test_the_names_are_what_operators_ask_for():
    metrics = EmbeddingMetrics()
    metrics.embedded.labels("chunks").inc(2)
    metrics.embedded.labels("notes").inc(1)
    metrics.errors.labels("chunks", "PoisonTextError").inc()
    metrics.duration.labels("chunks").observe(0.2)
    metrics.depth.labels("chunks", "pending").set(3)
    text = generate_latest(metrics.registry).decode()
    for line in (
        'embedding_total{queue="chunks"} 2.0',
        'embedding_errors_total{error="PoisonTextError",queue="chunks"} 1.0',
        'embedding_duration_seconds_count{queue="chunks"} 1.0',
        'embedding_queue_depth{queue="chunks",state="pending"} 3.0',
    ):
        assert line in text.splitlines()
    assert metrics.texts_embedded() == 3


def test_two_of_them_know_nothing_of_each_other():
    one, other = EmbeddingMetrics(), EmbeddingMetrics()
    one.embedded.labels("chunks").inc()
    assert other.texts_embedded() == 0

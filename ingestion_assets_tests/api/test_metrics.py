"""What Prometheus and /api/pool/stats are told."""

from prometheus_client.parser import text_string_to_metric_families

from ingestion_assets_tests.api.given import service


def _figures(text: str) -> dict[tuple[str, ...], float]:
    """Values by name and labels, the labels in the order of their names."""
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_requests_are_counted_by_path_and_status(stored, ollama):
    async with service(stored, ollama.url) as http:
        for _ in range(3):
            await http.get("/api/search", params={"q": "whales"})
        await http.get("/api/search")
        await http.get("/some/path/of/a/scanner")
        await http.request("BREW", "/api/search")
        figures = _figures((await http.get("/metrics")).text)
    requests = "ingest_api_requests_total"
    assert figures[requests, "GET", "/api/search", "200"] == 3
    assert figures[requests, "GET", "/api/search", "422"] == 1
    assert figures[requests, "GET", "other", "404"] == 1
    assert figures[requests, "other", "/api/search", "405"] == 1
    assert figures["ingest_api_request_seconds_count", "/api/search"] == 5


async def test_pools_and_breakers_are_read_at_every_scrape(stored, ollama):
    async with service(stored, ollama.url, api_pool_max=7, query_workers=3) as http:
        figures = _figures((await http.get("/metrics")).text)
        pools = (await http.get("/api/pool/stats")).json()
    assert figures["ingest_api_database_pool", "maximum"] == pools["database"]["maximum"] == 7
    assert figures["ingest_api_http_pool", "limit"] == pools["http"]["limit"] == 3
    assert figures["ingest_api_breaker_state", ollama.url, "closed"] == 1
    assert figures["ingest_api_breaker_state", ollama.url, "open"] == 0


async def test_queries_leave_no_trace_in_the_figures(stored, ollama):
    async with service(stored, ollama.url) as http:
        await http.get("/api/search", params={"q": "secretword"})
        assert "secretword" not in (await http.get("/metrics")).text

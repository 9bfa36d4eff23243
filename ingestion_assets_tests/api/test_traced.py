"""A search is one trace, from the client's span to the request to Ollama."""

from ingestion_assets_tests.api.given import service
from ingestion_assets_tests.spans import attributes, id_of, parent_of, recorded, trace_of, written


async def test_a_search_goes_on_with_the_trace_of_its_client(stored, ollama):
    headers = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
    with recorded() as spans:
        async with service(stored, ollama.url) as http:
            await http.get("/health/live")
            await http.get("/api/search", params={"q": "hunter2"}, headers=headers)
        found = {span.name: span for span in spans.get_finished_spans()}
        request, search, question, embed = (
            found[name] for name in ("request /api/search", "search", "embed query", "embed")
        )
        assert "request /health/live" not in found
        assert parent_of(request) == int("cd" * 8, 16)
        assert parent_of(search) == id_of(request)
        assert parent_of(question) == id_of(search)
        assert parent_of(embed) == id_of(question)
        assert {trace_of(span) for span in (request, search, question, embed)} == {
            int("ab" * 16, 16)
        }
        assert attributes(request)["http.response.status_code"] == 200
        assert attributes(embed)["ingestion.endpoint"] == ollama.url
        assert "hunter2" not in written(spans)


async def test_an_answer_without_a_server_says_why(stored, ollama):
    with recorded() as spans:
        async with service(stored, "127.0.0.1:1") as http:
            await http.get("/api/search", params={"q": "whales", "method": "vector"})
        (request,) = (s for s in spans.get_finished_spans() if s.name.startswith("request"))
        (search,) = (s for s in spans.get_finished_spans() if s.name == "search")
        assert attributes(request)["http.response.status_code"] in (502, 503, 504)
        assert str(attributes(search)["error.type"]).startswith("Ollama")

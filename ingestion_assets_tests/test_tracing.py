"""A span says what failed and no more; without an endpoint there is nothing at all."""

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.trace import StatusCode

from ingestion_assets import tracing
from ingestion_assets_tests.spans import attributes, recorded, written

_IMPORTS = """
import sys
from ingestion_assets import tracing
from ingestion_assets.cli import worker
with tracing.span("a", {}), tracing.run("r"):
    tracing.note({})
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""


def test_what_fails_says_its_class_and_no_more():
    with recorded() as spans:
        with pytest.raises(ValueError, match="hunter2"), tracing.span("a", {}):
            raise ValueError("hunter2")
        (span,) = spans.get_finished_spans()
        assert attributes(span) == {"error.type": "ValueError"}
        assert span.status.status_code is StatusCode.ERROR
        assert "hunter2" not in written(spans)


def test_the_last_span_of_a_process_arrives_where_the_variables_say():
    received: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.path, body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        program = "from ingestion_assets import tracing\nwith tracing.span('the last', {}): pass"
        try:
            _run(
                program,
                {
                    "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
                    "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
                    "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
                },
            )
        finally:
            server.shutdown()
            thread.join()
    [(path, body)] = received
    assert path == "/v1/traces"
    for word in (b"the last", b"ingestion-assets", b"deployment.environment.name"):
        assert word in body


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
    ],
)
def test_nothing_is_imported_unless_traces_are_wanted(environment):
    assert _run(_IMPORTS, environment).stdout == "[]\n"


def test_without_the_extra_it_says_so_and_goes_on():
    missing = f"import sys; sys.modules['opentelemetry'] = None\n{_IMPORTS}"
    result = _run(missing, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
    assert result.stdout == "['opentelemetry']\n"
    assert "ingestion-assets[otel]" in result.stderr


def _run(program: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True)

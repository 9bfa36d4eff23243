# Two commands do all the set-up: `make run` ingests and searches, `make test` checks everything.
# Only Python >= 3.11 with venv is needed; uv is fetched if it is missing.

PYTHON ?= python3
UV_VERSION := 0.13.9
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
INGEST := .venv/bin/ingest
# Of the package, to be installed as well: `make test EXTRAS=celery` tests a fleet, too.
EXTRAS ?=

# Compiled once, modules are loaded in half the time and memory, in tests and servers alike.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run up test check docs install clean

run: install  ## ingest the sources of sources.yaml
	@$(INGEST) run

up: install  ## embedded services, Dagster's webserver and daemon
	@$(INGEST) up

test: check  ## lint, types, import rules, and the whole test suite
	$(UV) run --no-sync pytest -n auto --maxprocesses 4 --dist worksteal

check: install  ## everything but the tests
	$(UV) run --no-sync ruff format --check .
	$(UV) run --no-sync ruff check .
	$(UV) run --no-sync mypy
	$(UV) run --no-sync lint-imports
	$(UV) run --no-sync dg check defs

docs: install  ## the documentation as pages to browse, in site/
	@$(UV) sync --locked --quiet --group docs
	@.venv/bin/python -m ingestion_assets_tests.options > docs/options.md
	@NO_MKDOCS_2_WARNING=1 $(UV) run --no-sync mkdocs build --strict --quiet
	@echo "Open site/index.html"

install: $(UV)
	@$(UV) sync --locked --quiet $(addprefix --extra ,$(EXTRAS))

.uv/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python3")'
	@$(PYTHON) -m venv .uv
	@.uv/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

clean:  ## remove what was installed and everything that was ingested
	rm -rf .venv .uv .ingestion .dagster_home site

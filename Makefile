# Quintile's commands. Each sets up what it needs; a second run reuses what the first built.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3.14 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; \
	done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
SIZE ?= 1m
# Processes that share the tests: one more than cores, because many tests wait for a server.
CORES := $(shell getconf _NPROCESSORS_ONLN)
WORKERS ?= $(shell expr $(CORES) + 1)

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export DBT_SEND_ANONYMOUS_USAGE_STATS := false

.PHONY: help setup demo test test-fast lint lint-python lint-sql format bench screenshots lock \
	licences audit clean purge

help:
	@echo "make demo         the whole product on demo stores, at http://127.0.0.1:8000"
	@echo "make demo ONCE=1  the same without serving; prints one JSON object and ends"
	@echo "make test         every test"
	@echo "make test-fast    tests of units, the API, its contracts and isolation"
	@echo "make lint         style, types, layers, SQL and the dbt manifest"
	@echo "make format       put Python and SQL into the house format"
	@echo "make bench        what builds cost, also beside plain SQL, polars and DuckDB;"
	@echo "                  SIZE=100k, 1m (unless set), 5m or 10m;"
	@echo "                  PART=builds, connectors, shopify, klaviyo, api, load, pages or dbt for one"
	@echo "make screenshots  every page of the demo, in build/screenshots"
	@echo "make lock         requirements.txt and requirements-dev.txt, from constraints.txt"
	@echo "make licences     docs/licences.md, from what is installed"
	@echo "make audit        known vulnerabilities of what the service installs"
	@echo "make clean        remove the virtual environment and caches"
	@echo "make purge        make clean, and remove the embedded database with all its data"

setup: $(READY)

$(READY): pyproject.toml requirements-dev.txt
	@if [ -z "$(PYTHON)" ]; then \
		echo "Quintile needs Python 3.11 or newer and found none." >&2; \
		echo "Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; \
		exit 1; \
	fi
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "$(PYTHON) is not Python 3.11 or newer; Quintile needs that." >&2; exit 1; }
	@$(PYTHON) -c 'import shutil, sys; sys.exit(shutil.disk_usage(".").free < 2 * 2**30)' || { \
		echo "Less than 2 GiB of disk are free here; setting up needs that." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
		echo "Python's venv module is missing; on Debian: apt-get install python3-venv" >&2; \
		exit 1; }
	@echo "installing into $(VENV) (one to three minutes)"
	@# Nothing is resolved and nothing is built in an environment of its own: what is not in the
	@# list, with the hash of its file, is not installed.
	@$(BIN)/python -m pip install --quiet --require-hashes --no-deps \
		--requirement requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m pip check
	@touch $@

demo: $(READY)
	@$(BIN)/quintile demo $(if $(ONCE),--once)

test: $(READY)
	@$(BIN)/python -m tests.browser.ensure_chromium
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

test-fast: $(READY)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS) \
		tests/unit tests/contract tests/isolation tests/integration/test_api_*.py

lint: $(READY)
	@$(MAKE) --no-print-directory --jobs 2 --output-sync lint-python lint-sql

lint-python: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

lint-sql: $(READY)
	@$(BIN)/python -m tests.dbt.lint_sql
	@$(BIN)/dbt --quiet --warn-error parse && $(BIN)/python -m tests.dbt.check_manifest \
		&& $(BIN)/python -m tests.dbt.contracts

format: $(READY)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(READY)
	@$(BIN)/python -m tests.bench --size $(SIZE) $(if $(PART),--part $(PART)) \
		$(if $(LAYOUT),--layout $(LAYOUT))

screenshots: $(READY)
	@$(BIN)/python -m tests.browser.ensure_chromium
	@$(BIN)/python -m tests.browser.screenshots

# The hashes of all files of a release, so that the lists serve every platform.
LOCK = build/lock/bin/uv pip compile pyproject.toml build-requirements.in --constraint constraints.txt \
	--universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet
lock:
	@$(PYTHON) -m venv build/lock && build/lock/bin/pip install --quiet uv==0.13.9
	@$(LOCK) --output-file requirements.txt
	@$(LOCK) --extra dev --output-file requirements-dev.txt

licences: $(READY)
	@$(BIN)/python -m tests.licences > docs/licences.md

audit:
	@$(PYTHON) -m venv build/audit && build/audit/bin/pip install --quiet pip-audit==2.10.1
	@$(PYTHON) -m tests.audit build/audit/bin/pip-audit requirements.txt

clean:
	@[ ! -x $(BIN)/python ] || $(BIN)/python -m tests.cluster || true
	@rm -rf $(VENV) build .quintile/dbt .quintile/lint-passed .quintile/test target logs .pytest_cache .mypy_cache .ruff_cache

# The secret stays: credentials in another database may be sealed with it.
purge:
	@[ ! -x $(BIN)/quintile ] || QUINTILE_DATABASE_URL= $(BIN)/quintile db stop
	@rm -rf .quintile/pg .quintile/demo-anchor
	@$(MAKE) --no-print-directory clean

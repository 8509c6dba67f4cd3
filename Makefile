# Everything a newcomer runs. Needs make and Python 3.11 to 3.13; installs into .venv.
#
#   make demo     a query on a real CMS file and on a million generated events
#   make test     the whole test suite
#   make test-services   delivery to real S3 and Kafka servers, with faults
#   make test-kubernetes   clusters, the chart and its roles on a real Kubernetes (as root)
#   make lint     style, types and import rules
#   make bench    measurements next to their peers
#   make format   rewrite the code in the project's style
#   make clean    remove .venv and everything that was built

SUITABLE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	$$name -c '$(SUITABLE)' 2>/dev/null && echo $$name && break; done)

BIN := .venv/bin
INSTALL = $(BIN)/python -m pip install -qq --disable-pip-version-check --editable

# xdist runs one worker a core; more than eight gain nothing on this suite.
WORKERS ?= auto
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test test-services test-kubernetes lint bench format clean

help:
	@sed -n 's/^#   make/  make/p' $(MAKEFILE_LIST)

demo: .venv/.demo
	$(BIN)/sxdask demo

test: .venv/.dev
	$(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 8 --dist worksteal \
		-m 'not services and not kubernetes' $(PYTEST_ARGS)

test-services: .venv/.dev
	$(BIN)/python -m pytest -n 2 --dist loadfile -m services tests/services $(PYTEST_ARGS)

# Builds Kubernetes from Debian's source once (7 minutes on two cores), outside of the repository.
# The operator's library leaves connections to the collector of garbage, which warns of each.
# The plug-in of schemathesis, which nothing here uses, was seen to fail at the end of a red run.
test-kubernetes: .venv/.dev
	$(BIN)/python -m pytest -m kubernetes -W ignore::pytest.PytestUnraisableExceptionWarning \
		-p no:schemathesis tests/kubernetes $(PYTEST_ARGS)

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/.dev
	$(BIN)/python -m benchmarks

format: .venv/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	rm -rf build dist demo-output
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps are younger than pyproject.toml when what it asks for is installed.
.venv/.python:
	@test -n "$(PYTHON)" || { echo "make: needs Python 3.11, 3.12 or 3.13; name one with PYTHON=" >&2; exit 1; }
	@$(PYTHON) -c '$(SUITABLE)' || { echo "make: $(PYTHON) is not Python 3.11, 3.12 or 3.13" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.demo: pyproject.toml | .venv/.python
	$(INSTALL) '.[demo]'
	@touch $@

.venv/.dev: pyproject.toml | .venv/.python
	$(INSTALL) '.[dev,demo,peers,services]'
	@touch $@ .venv/.demo

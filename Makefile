# One command each. `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export G3_HOME ?= $(CURDIR)/.g3
# The demo's own photos beside the rendered ones: make demo PHOTOS="a.jpg b.jpg"
PHOTOS ?=
ROOMS := protos libs/kit libs/photo libs/geography libs/alignment libs/world libs/client \
	services/embedding services/retrieval services/verification services/orchestrator \
	workers/generation workers/ingest workers/training workers/evaluation infra/local
PACKAGES := $(foreach room,$(ROOMS),$(wildcard $(room)/g3_*))

.DEFAULT_GOAL := help
.PHONY: help install demo up down test test-slow lint format types protos provision bench clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# Everything below runs in this environment; it is made again when a requirement changes.
$(VENV)/.installed: requirements-dev.txt constraints.txt $(wildcard */pyproject.toml */*/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "G3 needs Python 3.11 or newer: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	@echo "installing every room and its tools into $(VENV): about 6 GB, some minutes"
	$(BIN)/python -m pip install -c constraints.txt -r requirements-dev.txt
	touch $@

install: $(VENV)/.installed ## Make the environment with every room in it

demo: install ## Start everything, ingest a rendered world, locate photos, write a map
	$(BIN)/g3 demo $(PHOTOS)

up: install ## Start the whole stack on this machine
	$(BIN)/g3 up

down: install ## Stop it; its data stay
	$(BIN)/g3 down

test: install provision lint types ## Lint, types and every test (unit, contract, integration, end to end)
	$(BIN)/python -m pytest -m "not slow" tests/unit tests/contract tests/integration tests/e2e

test-slow: install provision ## The tests that take minutes each
	$(BIN)/python -m pytest -m slow tests

provision: install ## Install the real servers that the tests talk to (RabbitMQ by apt when root, a Milvus core)
	$(BIN)/python -m tests.provision

lint: install ## Style, imports between rooms, stale stubs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python protos/generate.py --check

format: install ## Put the style right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: install ## Strict types
	$(BIN)/mypy $(PACKAGES) protos/generate.py tests

protos: install ## Generate the stubs from the contracts
	$(BIN)/python protos/generate.py

bench: install provision ## Every benchmark of tests/load, figures on standard output
	@for file in tests/load/*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

clean: ## Remove caches and the environment; the data of the stack stay
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis

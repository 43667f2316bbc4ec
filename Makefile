# One command each. `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export G3_HOME ?= $(CURDIR)/.g3
# The demo's own photos beside the rendered ones: make demo PHOTOS="a.jpg b.jpg"
PHOTOS ?=
ROOMS := protos libs/kit libs/photo libs/geography libs/choice libs/dialogue libs/alignment libs/world libs/client \
	services/embedding services/retrieval services/verification services/orchestrator \
	workers/generation workers/ingest workers/training workers/evaluation infra/local
PACKAGES := $(foreach room,$(ROOMS),$(wildcard $(room)/g3_*))

.DEFAULT_GOAL := help
.PHONY: help install demo eval up down demo-models demo-lmm demo-choice test test-slow unit lint format types protos provision bench clean

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

# Further options of g3-eval run, say EVAL="--photos 3000" or EVAL="-- --ask near,paper,knn --samples 10".
EVAL ?=

eval: install ## Evaluate G3, ablations and baselines on 1,000 held-out photos; resumable, report in .g3/eval
	$(BIN)/g3 evaluate $(EVAL)

up: install ## Start the whole stack on this machine
	$(BIN)/g3 up

down: install ## Stop it; its data stay
	$(BIN)/g3 down

# Where the training keeps its photos, states and reports; started again it goes on there.
TRAINED := .cache/demo-models
CITIES := --cities 3000
UNSEEN := --cities 500 --skip-cities 3000
ARRAYS = $(BIN)/python -m g3_world arrays --out $(TRAINED)

demo-models: install ## Train the demo's alignment model anew: render, pretrain, cache, align, measure (an hour)
	$(ARRAYS)/train --count 100000 --seed 1 $(CITIES)
	$(ARRAYS)/second --count 42000 --seed 2 $(CITIES)
	$(ARRAYS)/seen --count 2500 --seed 3 $(CITIES)
	$(ARRAYS)/unseen --count 2500 --seed 4 $(UNSEEN)
	$(ARRAYS)/unseen-references --count 4000 --seed 5 $(UNSEEN)
	$(BIN)/g3-train pretrain --preset demo --arrays $(TRAINED)/train --out $(TRAINED)/towers --minutes 38 --batch 512 \
		--learning-rate 3e-3 --weight-decay 0.05 --warm-up 100 --holdout 0.01 --keep last --dtype float16
	$(BIN)/g3-train cache --model $(TRAINED)/towers/model.safetensors --arrays $(TRAINED)/train --arrays $(TRAINED)/second \
		--out $(TRAINED)/cache
	$(BIN)/g3-train align --model $(TRAINED)/towers/model.safetensors --cache $(TRAINED)/cache --out $(TRAINED)/aligned \
		--minutes 5 --batch 512 --learning-rate 3e-3 --weight-decay 1e-4 --schedule cosine --warm-up 100 --holdout 0.01 \
		--patience 0 --keep last --dtype float16
	$(BIN)/g3-train measure --model $(TRAINED)/aligned/model.safetensors --references $(TRAINED)/second --most 20000 \
		--queries $(TRAINED)/seen --queries $(TRAINED)/unseen --more $(TRAINED)/unseen-references \
		--out $(TRAINED)/measured.json
	$(BIN)/python workers/training/tools/package_demo_model.py $(TRAINED) libs/world/g3_world/models

# The demo's choice, from retrieved references and gallery points alone; pools of g3-eval with answers of an LMM do better.
POOLS = $(BIN)/python workers/training/tools/world_pools.py --model libs/world/g3_world/models/alignment.safetensors \
	--references $(TRAINED)/second --most 20000

demo-choice: install ## Fit how the demo chooses among candidates anew: render, make pools, fit (half an hour)
	$(ARRAYS)/second --count 42000 --seed 2 $(CITIES)
	$(ARRAYS)/queries --count 8000 --seed 12 $(CITIES)
	$(ARRAYS)/unseen-references --count 4000 --seed 5 $(UNSEEN)
	$(ARRAYS)/unseen-queries --count 6000 --seed 15 $(UNSEEN)
	$(POOLS) --references $(TRAINED)/unseen-references --queries $(TRAINED)/queries --count 400 --set "seen, LMM" \
		--lmm libs/world/g3_world/models/lmm --seed 1 --out $(TRAINED)/seen-lmm.jsonl
	$(POOLS) --references $(TRAINED)/unseen-references --queries $(TRAINED)/unseen-queries --count 254 \
		--set "unseen-with-references, LMM" --lmm libs/world/g3_world/models/lmm --seed 2 --out $(TRAINED)/unseen-lmm.jsonl
	$(POOLS) --references $(TRAINED)/unseen-references --queries $(TRAINED)/queries --count 1300 --set seen --seed 1 \
		--out $(TRAINED)/seen.jsonl
	$(POOLS) --references $(TRAINED)/unseen-references --queries $(TRAINED)/unseen-queries --count 700 \
		--set unseen-with-references --seed 2 --out $(TRAINED)/unseen-with-references.jsonl
	$(POOLS) --queries $(TRAINED)/unseen-queries --skip 4000 --count 300 --set unseen-without --seed 3 \
		--out $(TRAINED)/unseen-without.jsonl
	$(BIN)/g3-train choice --pools $(TRAINED)/seen-lmm.jsonl --pools $(TRAINED)/unseen-lmm.jsonl \
		--pools $(TRAINED)/seen.jsonl --pools $(TRAINED)/unseen-with-references.jsonl \
		--pools $(TRAINED)/unseen-without.jsonl --out libs/choice/g3_choice/data/demo.json --data "rendered photos of the \
	procedural world: the profile default with the demo LMM, and retrieved references and gallery points without one"

# The lessons' photos are of the alignment's cities and were not in its training; what it is examined on, neither.
LMM := .cache/demo-lmm
LESSONS = --alignment libs/world/g3_world/models/alignment.safetensors --references $(LMM)/references
TAUGHT = $(LESSONS) --photos $(LMM)/photos --lessons $(LMM)/lessons

demo-lmm: install ## Train the demo's language model anew: render, lessons, see, answer, examine (two hours)
	$(BIN)/python -m g3_world arrays --out $(LMM)/references --count 42000 --seed 2 $(CITIES)
	$(BIN)/python -m g3_world arrays --out $(LMM)/photos --count 60000 --seed 12 $(CITIES)
	$(BIN)/python -m g3_world arrays --out $(LMM)/others --count 2500 --seed 3 $(CITIES)
	$(BIN)/g3-train lmm lessons $(LESSONS) --photos $(LMM)/photos --out $(LMM)/lessons
	$(BIN)/g3-train lmm lessons $(LESSONS) --photos $(LMM)/others --out $(LMM)/other-lessons
	$(BIN)/g3-train lmm see $(TAUGHT) --out $(LMM)/see --minutes 24
	$(BIN)/g3-train lmm answer $(TAUGHT) --eye $(LMM)/see/eye.safetensors --out $(LMM)/answer --minutes 27
	$(BIN)/g3-train lmm examine $(LESSONS) --photos $(LMM)/others --lessons $(LMM)/other-lessons \
		--model $(LMM)/answer/model --out $(LMM)/examined.json
	$(BIN)/python workers/training/tools/package_demo_lmm.py $(LMM) libs/world/g3_world/models

# Installing the servers waits for the network and the disk, the checks for the processor: they go side by side, and the
# tests that need servers come when both are done. Whatever fails ends it.
test: install ## Lint, types and every test (unit, contract, integration, end to end)
	$(MAKE) --no-print-directory -j2 provision lint types unit
	$(BIN)/python -m pytest -m "not slow" tests/contract tests/integration tests/e2e

unit: install ## The tests that need nothing but the environment
	$(BIN)/python -m pytest -m "not slow" tests/unit

test-slow: install provision ## The tests that take minutes each
	$(BIN)/python -m pytest -m slow tests

provision: install ## Install the real servers that the tests talk to (RabbitMQ by apt when root, a Milvus core, vLLM)
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

bench: install provision ## Every benchmark of tests/load; at the end, which of them missed an aim
	@failed=; for file in tests/load/*.py; do echo "== $$file"; $(BIN)/python $$file || failed="$$failed $$file"; done; \
	test -z "$$failed" || { echo "missed an aim or broke:$$failed"; exit 1; }

clean: ## Remove caches and the environment; the data of the stack stay
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis

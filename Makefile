# Every target explains itself: `make help`.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

INSTALLED := $(VENV)/.installed
BUILT := build/protos/.built

.PHONY: help install protos lock check test fuzz simulate faults soak up down status clean demo bench

help: ## Show what can be made.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(INSTALLED): requirements/all.lock pyproject.toml
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked packages into $(VENV) ..."
	@$(BIN)/pip install --quiet --require-hashes --requirement requirements/all.lock 2> >(grep -v '^WARNING: Location' >&2)
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --no-index --editable .
	@touch $@

$(BUILT): $(INSTALLED) protos/build.py protos/openapi.py $(shell find protos -name '*.proto')
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python protos/build.py
	@touch $@

install: $(BUILT) ## Install the locked packages and build the protos.

protos: ## Build the Python messages and Envoy's descriptor set anew.
	@rm -f $(BUILT)
	@$(MAKE) --no-print-directory $(BUILT)

lock: ## Resolve the dependencies anew into requirements/*.lock (needs uv).
	uv pip compile --quiet --all-extras --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --output-file requirements/all.lock pyproject.toml
	uv pip compile --quiet --constraint requirements/all.lock --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --output-file requirements/runtime.lock pyproject.toml

check: install ## Lint protos and code, check types and the walls between the rooms.
	$(BIN)/buf lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Most of a test is waiting for real processes: two at a time, file by file, cost half of the time on two cores.
WORKERS ?= 2
test: install ## Run all tests: unit, integration and the line end to end (WORKERS= at a time).
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

FUZZ_MINUTES ?= 5
fuzz: install ## Feed strange files to reader, row contract and chunk codec for FUZZ_MINUTES=5: no crash, no hang, no row lost.
	@$(BIN)/python -m tests.fuzz --minutes $(FUZZ_MINUTES)

SEEDS ?= 2000
simulate: install ## Run the protocols through SEEDS= crashes and outages in virtual time; SEED=123 replays one and shows it.
	@$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(SEEDS))

faults: install ## Let every fault happen to the line, one by one, and keep the table in docs/reliability.md.
	@FAULTS=patient FAULTS_TABLE=docs/reliability.md $(BIN)/pytest tests/faults -q --tb=short > build/faults-patient.log 2>&1 & patient=$$!; \
	FAULTS=busy FAULTS_TABLE=docs/reliability.md $(BIN)/pytest tests/faults -q --tb=short; busy=$$?; \
	wait $$patient; patient=$$?; cat build/faults-patient.log; exit $$((busy | patient))

soak: install ## Random faults for 20 minutes: nothing is lost, memory and open files stay flat (SOAK="--minutes 5" chooses).
	$(BIN)/python -m tests.faults.soak $(SOAK)

# Variables given on the command line (make up EMBEDDERS=2 OPENAI_RATE_LIMIT=0) reach the line through the environment.
up: install ## Start the line in the background; INGESTS= EMBEDDERS= INDEXERS= set how many of each.
	@$(BIN)/python -m sandbox up

down: ## Stop the line; what it has stored is kept.
	@test ! -x $(BIN)/python || $(BIN)/python -m sandbox down

status: ## Show what runs.
	@$(BIN)/python -m sandbox status

clean: ## Stop the line and drop what it has stored.
	@test ! -x $(BIN)/python || $(BIN)/python -m sandbox clean

demo: install ## Start the line, take a sample catalogue through it, search it, stop what was started.
	@$(BIN)/python -m sandbox.demo.whole

bench: install ## Measure the line: cost, speed, use of the quota, memory (BENCH="cost quota --repeats 1" chooses, "--doc docs/performance.md" keeps the tables).
	@$(BIN)/python -m benchmarks $(BENCH)

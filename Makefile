# make up and make test do all set-up on a fresh machine; see README.md.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
AWSCLI := .venv-awscli
# One more than the processors, and five at most: tests of nodes wait now and then. What takes
# longest comes first, so that no processor is idle at the end.
WORKERS := $(shell $(PYTHON) -c 'import os; print(min(len(os.sched_getaffinity(0)), 4) + 1)')
UV := $(shell command -v uv 2>/dev/null)

# uv when present, else venv and pip; either installs exactly what requirements/ pins.
ifdef UV
MAKE_VENV = $(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
INSTALL = $(UV) pip install --quiet --compile-bytecode --python $(BIN)/python
else
MAKE_VENV = $(PYTHON) -m venv $(VENV)
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

.PHONY: help install up demo test test-tools lint format bench bench-environments bench-events bench-console compatibility cli-reference docs screenshots assets lock clean

help: ## Show what there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.installed: requirements/run.txt pyproject.toml
	@echo "Installing lambdabox into $(VENV)"
	@$(MAKE_VENV)
	@$(INSTALL) -r requirements/run.txt
	@$(INSTALL) --no-deps -e .
	@$(BIN)/python -m compileall -q src/lambdabox
	@touch $@

$(VENV)/.installed-tests: requirements/test.txt $(VENV)/.installed
	@echo "Installing what the tests need into $(VENV)"
	@$(INSTALL) -r requirements/test.txt
	@touch $@

# A place of its own, because the AWS CLI insists on a botocore of its own.
$(AWSCLI)/.installed: VENV = $(AWSCLI)
$(AWSCLI)/.installed: BIN = $(AWSCLI)/bin
$(AWSCLI)/.installed: requirements/awscli.txt
	@echo "Installing the AWS CLI into $(AWSCLI)"
	@$(MAKE_VENV)
	@$(INSTALL) -r requirements/awscli.txt
	@touch $@

install: $(VENV)/.installed ## Install the program as .venv/bin/lambdabox

up: install ## Install and start the platform on 127.0.0.1:4566
	@exec $(BIN)/lambdabox up

demo: install ## The five-minute tour: deploy the examples, invoke them, show times, logs and bill
	@exec $(BIN)/python examples/demo.py

test: $(VENV)/.installed-tests $(AWSCLI)/.installed lint ## Install what tests need and run all of them
	@sh tests/install-servers
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not alone" \
		tests/system tests/api tests/contract tests/unit
	@$(BIN)/python -m pytest -m alone tests/system

TOOLS := .venv-tools

# A place of its own, because the SAM CLI pins what the program needs newer.
$(TOOLS)/.installed: VENV = $(TOOLS)
$(TOOLS)/.installed: BIN = $(TOOLS)/bin
$(TOOLS)/.installed: requirements/tools.txt
	@echo "Installing the SAM CLI into $(TOOLS)"
	@$(MAKE_VENV)
	@$(INSTALL) -r requirements/tools.txt
	@touch $@

tests/tools/node_modules/.installed: tests/tools/package-lock.json
	@echo "Installing the CDK and Serverless into tests/tools/node_modules"
	@cd tests/tools && npm ci --silent --no-fund --no-audit --ignore-scripts
	@touch $@

test-tools: $(VENV)/.installed-tests $(TOOLS)/.installed tests/tools/node_modules/.installed ## Deploy with the real SAM CLI, CDK and Serverless (needs npm)
	@$(BIN)/python -m pytest tests/tools

lint: $(VENV)/.installed-tests ## Check style, types and layers
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache --no-logo 2>/dev/null || $(BIN)/lint-imports

format: $(VENV)/.installed-tests ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(VENV)/.installed .venv-peer/.installed ## Measure, beside a peer where one can be installed
	@$(BIN)/python benchmarks/invoke.py

bench-environments: $(VENV)/.installed .venv-peer/.installed ## Measure cold starts and environments, as root
	@$(BIN)/python benchmarks/environments.py

bench-events: $(VENV)/.installed ## Measure the asynchronous path
	@$(BIN)/python benchmarks/events.py --backlog 1000000

bench-console: $(VENV)/.installed ## Measure the console's pages
	@$(BIN)/python benchmarks/console.py

.venv-peer/.installed: requirements/peer.txt
	@{ $(PYTHON) -m venv .venv-peer \
		&& .venv-peer/bin/python -m pip install --quiet --disable-pip-version-check -r $<; } \
		|| { echo "The peer cannot be installed, so there is nothing to compare with."; rm -rf .venv-peer; }
	@[ ! -d .venv-peer ] || touch $@

assets: ## Bundle what the console's pages load from npm packages (needs npm)
	@cd assets && npm ci --silent --no-fund --no-audit --ignore-scripts && npm run --silent build

compatibility: $(VENV)/.installed ## Write docs/compatibility.md from the code
	@$(BIN)/python -m lambdabox.api.compatibility > docs/compatibility.md

docs: $(VENV)/.installed-tests ## Render docs/ into site/, and fail on broken links
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Open site/index.html"

screenshots: $(VENV)/.installed-tests ## Take the pictures in docs/images anew (needs Chromium)
	@mkdir -p docs/images
	@SCREENSHOTS=docs/images $(BIN)/python -m pytest -q tests/system/console/test_console_tour.py

cli-reference: $(VENV)/.installed ## Write docs/cli.md from the commands' help
	@$(BIN)/python -m lambdabox.cli.reference > docs/cli.md

lock: ## Pin what pyproject.toml asks for (needs uv)
	uv pip compile --quiet --universal --no-annotate --no-header -p 3.11 pyproject.toml -o requirements/run.txt
	uv pip compile --quiet --universal --no-annotate --no-header -p 3.11 --extra test pyproject.toml -o requirements/test.txt

clean: ## Remove what make made
	rm -rf $(VENV) .venv-* site .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist

# Each target sets up what it needs by itself, in .venv and tests/js/node_modules; the second run needs no network.
# Options: make up ARGS="--port 8443"   make test ARGS="tests/login -k reset"   make test JOBS=4   make PYTHON=python3.12 ...

.DEFAULT_GOAL := help
.PHONY: help demo demo-ceremony up test test-all check format bench lock clean prerequisites \
	run-environment develop-environment lock-environment

PYTHON ?= $(shell for name in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
BIN := .venv/bin
# One more than there are processors: many tests wait for a browser, a process or a disk.
JOBS ?= $(shell expr $$(nproc 2>/dev/null || echo 2) + 1)
ARGS ?=
# The tests start hundreds of processes, which would compile the program each time. `make clean` removes what they keep.
test test-all: export PYTHONDONTWRITEBYTECODE :=
PYTEST := $(BIN)/python -m pytest --quiet

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

demo: run-environment ## Show the main job: a tenant arrives, a user signs in, everything leaves and is restored
	@$(BIN)/freehold demo $(ARGS)

demo-ceremony: run-environment ## Show the export ceremony: two administrators, a signed form, real gpg, restored elsewhere
	@$(BIN)/freehold demo-ceremony $(ARGS)

up: run-environment ## Start a server on embedded parts and print where it is
	@$(BIN)/freehold up $(ARGS)

test: prerequisites ## Run the tests, except for slow ones
	@$(PYTEST) --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder -m "not slow" $(ARGS)

test-all: prerequisites ## Run all tests
	@$(PYTEST) --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

check: develop-environment ## Check form, types and architecture; changes nothing
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(PYTEST) tests/architecture

format: develop-environment ## Put the code in form
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

bench: prerequisites ## Measure against the machine's limits and a published peer
	@$(BIN)/python -m bench $(ARGS)

lock: lock-environment ## Write the lock files anew (ARGS="--upgrade" for newer versions)
	@$(BIN)/python -m scripts.lock $(ARGS)

clean: ## Remove everything that the other targets made
	@rm -rf .venv tests/js/node_modules build dist src/*.egg-info
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find src tests scripts -name __pycache__ -prune -exec rm -rf {} +

run-environment develop-environment lock-environment:
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Freehold needs Python 3.11 or newer (Debian: apt-get install python3)" >&2; exit 1; }
	@$(PYTHON) -m scripts.environment $(@:-environment=)

prerequisites: develop-environment
	@$(BIN)/python -m scripts.prerequisites

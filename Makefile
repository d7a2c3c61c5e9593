# Every target sets itself up: a fresh clone needs python3 (3.11 or later), make and a package
# index. The virtual environment is .venv; `make VENV=...` takes another, `PYTHON=...` another Python,
# `JOBS=...` another number of test processes.
PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
CONFIGS ?= $(sort $(wildcard configs/demo/*.toml))
BIN := $(VENV)/bin
STAMP := $(VENV)/.resitile-installed

.DEFAULT_GOAL := help
.PHONY: help demo test lint format wheel clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP) ## the main job, a few minutes: networks on 4-state devices, one table, one report.html
	$(BIN)/resitile compare $(CONFIGS) --name demo $(DEMO_FLAGS)
	@echo "Again from the start: make demo DEMO_FLAGS=--overwrite"

test: $(STAMP) ## all tests but the slow ones, with the checks of `make lint`
	$(BIN)/python -m pytest -m "not slow" -n $(JOBS) --dist loadfile $(PYTEST_FLAGS)

lint: $(STAMP) ## style, layers and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

format: $(STAMP) ## put the files into the common format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: $(STAMP) ## build wheel and sdist into dist/
	$(BIN)/python -m build

clean: ## remove what was built and cached; the environment and runs/ stay
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests benchmarks scripts -name __pycache__ -type d -prune -exec rm -rf {} +

# Installed once; again when the requirements change.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than 3.11; name a newer one: make PYTHON=python3.12" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

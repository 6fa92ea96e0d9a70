# Both `quickstart` and `test` do all their own set-up; a second call sets nothing up again.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.DEFAULT_GOAL := help

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  \1\t/' | expand -t 14

setup: $(READY) ## make .venv with the package and the development tools

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is wanted, this is " + sys.version) if sys.version_info < (3, 11) else None'
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,fast]'
	touch $@

quickstart: $(READY) ## raw recordings → report, on the sample in this repository
	pipelines/quickstart.sh

test: $(READY) ## the whole test suite, a file of tests at a time on each core
	pytest -n auto --dist loadfile --max-worker-restart 0

check: $(READY) ## formatting, lint, types, layers, spelling
	ruff format --check .
	ruff check .
	ty check
	lint-imports
	codespell

clean: ## remove the environment and all runs
	rm -rf $(VENV) runs

.PHONY: help setup quickstart test check clean

# `make` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
READY := $(VENV)/.ready
# Tests wait for processes and deadlines as often as they compute: more of them than cores.
WORKERS := $(shell expr $$(nproc) \* 2)
# Python programs without the ending .py: the tools find them only by name.
SCRIPTS := benchmarks/overhead benchmarks/growth benchmarks/build benchmarks/sufficiency

export PIP_DISABLE_PIP_VERSION_CHECK := 1
.DELETE_ON_ERROR:
.PHONY: help demo test test-aarch64 lint bench growth bench-build sufficiency samples changelog clean

help:  ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: $(INSTALLED)  ## trace the sample app, build its slim image, run it
	@$(BIN)/python samples/demo.py

test: $(READY)  ## lint and run all tests, with the real programs they use
	@tests/install-parts
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m compileall -q slimtrace tracer builder  # so that no test's start has to do it
	$(BIN)/pytest -n $(WORKERS) --dist worksteal

test-aarch64: $(READY)  ## trace on an emulated aarch64: downloads 60 MB, takes minutes
	CI=true $(BIN)/pytest tests/aarch64/real_run.py -k aarch64-bookworm

lint: $(READY)  ## ruff and mypy
	$(BIN)/ruff check . $(SCRIPTS)
	$(BIN)/ruff format --check . $(SCRIPTS)
	$(BIN)/mypy  # the package, by its links to tracer/ and builder/
	$(BIN)/mypy tests samples benchmarks
	$(BIN)/mypy --scripts-are-modules $(SCRIPTS)

bench: $(READY)  ## measure what tracing costs, beside strace
	@$(BIN)/python benchmarks/overhead

growth: $(READY)  ## measure a stop's cost among a million, and the tracer's memory
	@$(BIN)/python benchmarks/growth

bench-build: $(READY)  ## measure what it costs to write a layer and to read an image
	@$(BIN)/python benchmarks/build

sufficiency: $(READY)  ## ask slim images of each keep level what no run asked, and write the tables (root)
	@$(BIN)/python benchmarks/sufficiency --write $(APPS)

samples: $(READY)  ## slim each sample at each level, and write the tables of samples/README.md (root)
	@$(BIN)/python samples/measure.py $(SAMPLES)

changelog: $(READY)  ## show what the next release's part of CHANGELOG.md will say
	@$(BIN)/towncrier build --draft --version next

clean:  ## remove what these targets made
	rm -rf $(VENV) demo benchmarks/.work samples/.work *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The virtual environment, with slimtrace alone or with the development tools too: made once, and
# again when pyproject.toml changes.
$(INSTALLED): pyproject.toml
	@tests/make-venv $(PYTHON) $(VENV)
	@touch $@

$(READY): pyproject.toml
	@tests/make-venv $(PYTHON) $(VENV) dev
	@touch $(INSTALLED) $@

# `make` lists what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Programs without an ending, which the tools do not find by themselves.
SCRIPTS := benchmarks/overhead benchmarks/growth benchmarks/build

export PIP_DISABLE_PIP_VERSION_CHECK := 1
.DELETE_ON_ERROR:
.PHONY: help demo test test-aarch64 lint bench growth bench-build samples clean

help:  ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: $(READY)  ## trace the sample app, build its slim image, run it
	@$(BIN)/python samples/demo.py

test: $(READY)  ## lint and run all tests, with the real programs they use
	@tests/install-parts
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m compileall -q slimtrace tracer builder  # else each of a thousand starts may
	$(BIN)/pytest -n auto --dist worksteal

test-aarch64: $(READY)  ## a real run on aarch64, emulated: downloads 60 MB, takes minutes
	CI=true $(BIN)/pytest tests/aarch64/real_run.py -k aarch64-bookworm

lint: $(READY)  ## ruff and mypy
	$(BIN)/ruff check . $(SCRIPTS)
	$(BIN)/ruff format --check . $(SCRIPTS)
	$(BIN)/mypy  # the package, by its links to tracer/ and builder/
	$(BIN)/mypy tests samples benchmarks
	$(BIN)/mypy --scripts-are-modules $(SCRIPTS)

bench: $(READY)  ## what tracing costs, beside strace
	@$(BIN)/python benchmarks/overhead

growth: $(READY)  ## what a stop costs among a million, and the tracer's memory
	@$(BIN)/python benchmarks/growth

bench-build: $(READY)  ## what it costs to write a layer and to read an image
	@$(BIN)/python benchmarks/build

samples: $(READY)  ## slim every sample at each level, and write samples/README.md's table (root)
	@$(BIN)/python samples/measure.py $(SAMPLES)

clean:  ## remove what these targets made
	rm -rf $(VENV) demo benchmarks/.work samples/.work *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The virtual environment, made once, and again when pyproject.toml asks for something else.
$(READY): pyproject.toml
	@tests/make-venv $(PYTHON) $(VENV)
	@touch $@

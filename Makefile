# What a person types. Every target works from a fresh clone, with no step before it.
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
PIP := PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip -qq
STAMPS := $(VENV)/stamps

.PHONY: up down venv test lint bench docs soak

## up: start the service and print its address; run it again after an edit
up: $(STAMPS)/run
	@$(BIN)/juliabox up

## down: stop the service and its sessions; all data is kept
down: $(STAMPS)/run
	@$(BIN)/juliabox down

## venv: the virtual environment with this checkout installed
venv: $(STAMPS)/run

## test: all tests; ARGS="tests/cli -k config" picks some
test: $(STAMPS)/run $(STAMPS)/test
	@$(BIN)/python tests/prepare.py
	@$(BIN)/python tests/run.py $(ARGS)

## lint: what CI asks of style and types
lint: $(STAMPS)/run $(STAMPS)/lint
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

## bench: figures side by side with the peers, and those of the portal
bench: $(STAMPS)/run $(STAMPS)/bench
	@$(BIN)/python tests/prepare.py
	@$(BIN)/python -m benchmarks $(ARGS)

## docs: the documentation as web pages in site/
docs: $(STAMPS)/run $(STAMPS)/docs
	@$(BIN)/mkdocs build --strict --quiet

## soak: the long fault runs, which go on where they were cut off, and drawn inputs by the thousand
soak: $(STAMPS)/run $(STAMPS)/test
	@$(BIN)/python tests/prepare.py
	@$(BIN)/python -m pytest -m 'soak or drawn' --hypothesis-profile=soak --timeout=7200 $(ARGS)

$(STAMPS)/run: setup.py pyproject.toml
	@sh services/juliabox_cli/make_venv.sh $(VENV)
	@echo "Installing JuliaBox into $(VENV)"
	@$(PIP) install -e .
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/%: pyproject.toml $(STAMPS)/run
	@echo "Installing what $* needs"
	@$(PIP) install -e '.[$*]'
	@touch $@

# make train   set up all that is needed, then run the quickstart (RECIPE=..., ARGS="key=value ...")
# make test    set up all that is needed, then lint, types and all tests
# make check   lint and types only
# make setup   only set up; PYTHON=python3.12 chooses the interpreter
# make up      start the services of compose.yaml: sandboxes, PostgreSQL, the viewer (docs/compose.md)
# make down    stop them; what they keep stays
# make clean   remove the virtual environment (runs stay)
SHELL := /bin/bash
RECIPE ?= recipes/quickstart.yaml
ARGS ?=
WORKERS ?= 2
# The models here are small: more threads than this cost more than they bring. Export it to override.
OMP_NUM_THREADS ?= 1
export OMP_NUM_THREADS
PY := .venv/bin/python

.PHONY: train test check setup setup-tests up down clean
.DEFAULT_GOAL := train

setup:
	@bash scripts/setup.sh

setup-tests:
	@bash scripts/setup.sh tests

train: setup
	@.venv/bin/contextrl train $(RECIPE) $(ARGS)

check: setup-tests
	@echo "check: ruff"
	@$(PY) -m ruff check --quiet .
	@$(PY) -m ruff format --quiet --check . || { echo "check: to mend it, run .venv/bin/ruff format ."; exit 1; }
	@echo "check: mypy --strict"
	@$(PY) -m mypy

test: check
	@echo "test: pytest"
	@$(PY) -m pytest -q -n $(WORKERS) $(ARGS)

up:
	@bash scripts/compose_env.sh
	@docker compose up --detach --wait
	@bash scripts/compose_env.sh --show

down:
	@docker compose down

clean:
	rm -rf .venv

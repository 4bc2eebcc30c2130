# Targets run the tools of .venv, whatever the shell has activated.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
PYTHON ?= python3
PORT ?= 5000
# One process more than there are processors: a quarter of the time a test waits, for a server or a kill.
TESTERS := $(shell expr $$(nproc 2>/dev/null || echo 2) + 1)
RELEASE ?= released/imagenet32
export BASE ?= main
UV_VERSION := 0.13.8
SYNC := .venv/bin/uv pip sync --quiet --require-hashes --compile-bytecode --python .venv/bin/python requirements.lock

.DEFAULT_GOAL := help
.PHONY: help setup doctor repro exp test coverage headline bench chaos lint ui demo study sync graph reference lock clean ci ci-lock ci-remote ci-experiment ci-comment

help:  ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.synced  ## Make .venv with every package at its locked version

.venv/.synced: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 11) <= v < (3, 14) else f"error: python {v.major}.{v.minor} is not supported: name one from 3.11 to 3.13, as in make PYTHON=python3.12 $(MAKECMDGOALS)")'
	@test -x .venv/bin/pip || $(PYTHON) -m venv .venv || { echo "error: python3 cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; rm -rf .venv; exit 1; }
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@echo "installing the packages of requirements.lock into .venv"
	@$(SYNC) 2>.venv/sync.log || { echo "trying again with the system's certificates"; $(SYNC) --system-certs; }
	@.venv/bin/uv pip install --quiet --offline --no-deps --no-build-isolation --python .venv/bin/python --editable .
	@touch $@

doctor: setup  ## Say what is missing here, and what to type
	@ganpipe doctor

repro: setup  ## Run the whole pipeline: what is up to date is not run again
	@ganpipe check
	@dvc repro

study: setup  ## Run one of the smaller studies: make study NAME=gaussian, SET="train.steps=1000" for other settings, without spaces in one
	@test -f "studies/$(NAME)/dvc.yaml" || { echo "error: NAME is one of: $(notdir $(patsubst %/,%,$(wildcard studies/*/)))" >&2; exit 1; }
	@cd "studies/$(NAME)" && ganpipe check
	@cd "studies/$(NAME)" && $(if $(SET),dvc exp run $(foreach setting,$(SET),-S '$(setting)'),dvc repro)

exp: setup  ## Compare the experiments in the terminal: what differs, and the accuracies
	@ganpipe experiments

test: setup  ## Run the tests (TESTS=tests/e2e for some of them)
	@python -m pytest --numprocesses $(TESTERS) --dist loadfile --no-loadscope-reorder $(TESTS)

coverage: setup  ## Run the tests, and say which lines and branches they reach (coverage/index.html)
	@python -m pytest --numprocesses $(TESTERS) --dist loadfile --no-loadscope-reorder --cov --cov-report=term --cov-report=html:coverage $(TESTS)

headline: setup  ## Measure the released discriminator on CIFAR-10, beside the paper's figure and all controls (RELEASE=FOLDER)
	@dvc repro --quiet evaluation_sets
	@python benchmarks/headline.py $(RELEASE)

bench: setup  ## Measure what README and docs say of speed
	@python benchmarks/train.py
	@python benchmarks/features.py

chaos: setup  ## Run the pipeline while stages are killed, disks fill up, networks fail and files are damaged (half an hour and more)
	@python tests/chaos/chaos.py --rounds 50

lint: setup  ## Check style and types
	@ruff check . && ruff format --check . && mypy

ui: setup  ## Open the MLflow pages on http://127.0.0.1:5000 (PORT=... for another)
	@ganpipe ui --port $(PORT)

demo: setup  ## Open the page on which to draw, explore and inspect, on http://127.0.0.1:7860 (PORT=... for another)
	@ganpipe serve --port $(if $(filter file,$(origin PORT)),7860,$(PORT))

lock: setup  ## Renew requirements.lock from pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --extra pipeline --extra dev --extra ray --extra onnx --extra demo --upgrade --output-file requirements.lock pyproject.toml

graph: setup  ## Write into dvc.yaml, and those of the studies, what their code depends on
	@python ci/graph.py

reference: setup  ## Write docs/reference/settings.md and commands.md from the code
	@python ci/reference.py

sync: setup  ## Bring MLflow up to date: what it could not take, what DVC brought back from its cache
	@ganpipe sync

ci: lint ci-lock ci-remote test  ## Check what CI checks of each push

ci-lock: setup  ## Check that dvc.lock fits the code and the settings
	@python ci/lock.py fits

ci-remote: setup  ## Check that the DVC remote has all that dvc.lock names
	@python ci/lock.py pushed

ci-experiment: setup  ## Run again what this commit changed against BASE (main), in a copy, and compare (PUSH=1: and push)
	@python ci/experiment.py $(if $(PUSH),--push) -- "$$BASE"

ci-comment:  ## Put report.md on the pull request that a CI job is of
	@$(PYTHON) ci/comment.py

clean:  ## Remove unfinished work and downloads (results, tracked runs and what MLflow has not been told yet stay)
	@[ ! -d .ckpt ] || find .ckpt -mindepth 1 -maxdepth 1 ! -name tracking -exec rm -rf {} +
	rm -rf coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis

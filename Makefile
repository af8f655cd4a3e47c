# dgm-run: `make help` lists the targets.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: help run test test-all check types format bench bench-check docs lecture results results-plan results-keep clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-12s %s\n", $$1, $$2}'

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dgm-run needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

run: $(READY) ## train a VAE with a VampPrior on the embedded digits (about a minute, some four with the installation)
	$(BIN)/dgm-run model=vae prior=vampprior

test: $(READY) ## the fast tests
	$(BIN)/python -m pytest -n auto --dist loadgroup -m 'not slow'

test-all: $(READY) ## all tests, with those that train to a number, and with Ray, the services of loggers and the examples' libraries
	$(BIN)/python -m pip install --quiet --editable '.[dev,examples,onnx,ray,wandb,mlflow,trackio]'
	$(BIN)/python -m pytest -n auto --dist loadgroup

check: $(READY) ## formatting, lint, types, language, spelling and the fast tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m tests.language
	$(BIN)/codespell
	$(MAKE) types
	$(MAKE) test

types: $(READY) ## the type check
	$(BIN)/mypy

format: $(READY) ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY) ## speed as ratios against peers and against the GEMMs alone
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	$(BIN)/python -m benchmarks

bench-check: $(READY) ## fails if a line of the benchmark is slower by 15% than the saved ratios
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	$(BIN)/python -m benchmarks --check --no-compile --only vae --only vampprior --only likelihood --only cd-1 --only pcd-1 --only cd-25 --only ais

docs: $(READY) ## build the site of docs/ into site/
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs site
	@echo 'the site starts at site/README.html'

lecture: $(READY) ## run the commands of docs/lecture.md (under ten minutes), and renew its pictures
	$(BIN)/python docs/lecture.py

FAST := $(shell grep '^[a-z]' conf/results.txt)
comma := ,

results: $(READY) ## run the presets of conf/results.txt (three hours; needs MNIST), and keep their numbers; run it again to resume
	$(BIN)/dgm-run -m +experiment=$(subst $() $(),$(comma),$(strip $(FAST))) hydra.sweep.dir=outputs/results trainer.resume=auto
	$(MAKE) results-keep

results-plan: $(READY) ## list all presets by cost, with the verdict on those whose number is kept in results/
	$(BIN)/python -m benchmarks.results plan

results-keep: $(READY) ## copy what proves the numbers of finished presets in outputs/results into results/, and write RESULTS.md
	$(BIN)/python -m benchmarks.results keep outputs/results

clean: ## remove the environment and what tests left (runs in outputs/ stay)
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache

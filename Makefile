# Needs Python >= 3.10 and make; everything else goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Python compiles what it imports; pip would first compile all that there is, some 40 s.
INSTALL := $(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable

# Many container images set this, and pip compiles nothing here: every process would compile PyTorch, Ray and pandas
# again whenever it imports them, which takes longer than all else that most tests do.
export PYTHONDONTWRITEBYTECODE :=

# Two test processes on two cores: more threads would only wait for each other, three times as long in all.
test fast release-check: export OMP_NUM_THREADS = 1

.PHONY: demo test release-check fast format docs setup clean

demo: $(VENV)/.ndabench  ## install and run a sweep that decides a claim
	$(BIN)/python -m ndabench.sweep sweeps/findings/anomaly.yaml

test: setup  ## format check, lint, types, import contracts, the site and all tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --num-workers 2
	$(BIN)/lint-imports
	$(MAKE) docs
	$(BIN)/pytest -n 2 --dist worksteal -m "not release" --durations=25

release-check: setup  ## whole sweeps and long trainings: slow, and rarely broken
	$(BIN)/pytest -n 2 --dist worksteal -m release

fast: setup  ## the tests that take about a minute
	$(BIN)/pytest -n 2 --dist worksteal -m "not slow"

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: setup  ## the documentation as a site, which needs no server: build/docs/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --config-file docs/site/mkdocs.yml

setup: $(STAMP)

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "ndabench needs Python 3.10 or newer; set PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ndabench: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) .
	touch $@

$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) '.[test,docs]'
	touch $(VENV)/.ndabench $@

clean:
	rm -rf $(VENV)

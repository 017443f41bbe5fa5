PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

.PHONY: demo test check bench schemas clean

# Makes .venv and installs, once for each change of the dependencies.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	touch $@

# Makes a dataset with planted truths, runs the job on a local Ray, prints what it found.
demo: $(STAMP)
	$(BIN)/featflow demo

# Runs all tests.
test: $(STAMP)
	$(BIN)/python -m pytest

# Lint, types, import contracts.
check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Peak memory of a dataset and of one ten times longer, and of a column of ten million values: about twenty minutes.
# Whether p-values, q-values and intervals are what they say: about forty.
bench: $(STAMP)
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/cardinality.py
	$(BIN)/python benchmarks/calibration.py
	$(BIN)/python benchmarks/moments.py

# Writes schemas/ from tables.py and config.py.
schemas: $(STAMP)
	$(BIN)/python schemas/generate.py

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache featflow-demo

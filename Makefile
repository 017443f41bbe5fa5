PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
BENCHMARKS := kernels device moments measures images peers scale search memory cardinality calibration units faults nights

.PHONY: demo test check bench $(BENCHMARKS:%=bench-%) schemas clean
.NOTPARALLEL:

# Makes .venv and installs, once for each change of the dependencies.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	touch $@

# Makes a dataset with planted truths, runs the job on a local Ray, prints what it found.
demo: $(STAMP)
	$(BIN)/featflow demo

# Runs all tests, or those of FILE ("make test FILE=tests/pipeline"), files side by side on three processes, as tests often
# wait for others; in the order that tests/conftest.py gives. Threads do not spin for work while other processes want the core.
test: $(STAMP)
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder $(FILE)

# Lint, types, import contracts.
check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Every benchmark of docs/benchmarks.md at full size, figures into benchmarks/results/: hours, on a machine with nothing
# else to do. "make -k bench" goes on after one that fails; "make bench-peers" runs one.
bench: $(BENCHMARKS:%=bench-%)

$(BENCHMARKS:%=bench-%): bench-%: $(STAMP)
	mkdir -p benchmarks/results
	$(BIN)/python benchmarks/$*.py --json benchmarks/results/$*.json

# Writes schemas/ from tables.py and config/.
schemas: $(STAMP)
	$(BIN)/python schemas/generate.py

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache featflow-demo

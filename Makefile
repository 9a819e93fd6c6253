# make run    the program on your logs, or on test data when there are none (ARGS="--input logs --engine polars")
# make install  makes .venv with what ./logmill needs, and starts nothing
# make test   every check and the whole suite: ruff, mypy, import directions, pytest (PYTEST_ARGS="-k geo")
# make check  the same: it is what CI runs
# make test-fast   the tests of single functions alone, in four minutes on two cores (the others are marked slow)
# make fuzz   every property with new examples, three times as many; then reader, archives and whole runs against the
#             reference over new bytes for FUZZ_MINUTES (60)
# make sanitize  the tests of the compiled code under AddressSanitizer and UndefinedBehaviorSanitizer (needs GCC)
# make chaos  kills runs at every write, rename and transaction, CHAOS_KILLS (200) of them, and lets each fail once;
#             kills Python workers, executors and workers of a Spark cluster, CLUSTER_KILLS (60) of them;
#             exchanges versions under four kinds of readers for RACE_SECONDS (120)
# make cluster  a Spark cluster and a server of object storage, as processes on this machine, to try
#             (CLUSTER_ARGS="--workers 4"); make cluster-stop ends them
# make bench  the same job on Logmill and its peers, side by side (ARGS="--sizes 2GB,10GB --data json --peers duckdb")
# make clean  removes the virtual environment and the tools' caches; your data stays

# The first Python that is new enough; PYTHON=/path/to/python3.12 names another.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && exit; done; \
	echo python3)
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m scripts.install
ARGS ?=
PYTEST_ARGS ?=
PYTEST := -m pytest -n 2 --dist worksteal --durations=15 --durations-min=5
FUZZ_MINUTES ?= 60
CHAOS_KILLS ?= 200
RACE_SECONDS ?= 120
CLUSTER_ARGS ?=
CLUSTER_KILLS ?= 60
CODE := main.py api.py config.py cli jobs pipeline data_generator utils scripts benchmarks tests

.PHONY: help install run test test-fast check lint fuzz sanitize chaos cluster cluster-stop bench clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^# make/make/p' Makefile

install: $(VENV)/.installed

# ./logmill, but for another VENV than its own.
run: $(VENV)/.installed
	@$(BIN)/python $(if $(filter .venv,$(VENV)),-X logmill=./logmill) main.py $(ARGS)

# The suite runs even where a check failed, so that one call shows everything; either failure is make's failure.
test: $(VENV)/.installed-dev
	@$(MAKE) --no-print-directory lint; checks=$$?; $(BIN)/python $(PYTEST) $(PYTEST_ARGS) && exit $$checks

check: test

test-fast: $(VENV)/.installed-dev
	$(BIN)/python $(PYTEST) -m "not slow" $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/python -m ruff check $(CODE)
	$(BIN)/python -m ruff format --check $(CODE)
	$(BIN)/python -m mypy
	$(BIN)/python -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'

fuzz: $(VENV)/.installed-dev
	HYPOTHESIS_PROFILE=explore $(BIN)/python $(PYTEST) -m hypothesis
	FUZZ_MINUTES=$(FUZZ_MINUTES) $(BIN)/python -m tests.properties.fuzz

sanitize: $(VENV)/.installed-dev
	$(BIN)/python -m tests.sanitized

chaos: $(VENV)/.installed-dev
	$(BIN)/python -m tests.end_to_end.chaos --kills $(CHAOS_KILLS)
	$(BIN)/python -m tests.end_to_end.disk_sweep --here --rounds 10000
	$(BIN)/python -m tests.end_to_end.disk_sweep --rounds $(CHAOS_KILLS)
	$(BIN)/python -m tests.end_to_end.cluster_sweep --kills $(CLUSTER_KILLS)
	$(BIN)/python -m tests.end_to_end.race --seconds $(RACE_SECONDS)
	LOGMILLTEST_PUBLICATIONS=100 $(BIN)/python -m pytest tests/end_to_end/test_storage_server.py -k mixes
	LOGMILLTEST_DAYS=30 $(BIN)/python -m pytest tests/end_to_end/test_incremental_runs.py -k thirty

cluster: $(VENV)/.installed
	@$(BIN)/python -m scripts.cluster start $(CLUSTER_ARGS)

cluster-stop: $(VENV)/.installed
	@$(BIN)/python -m scripts.cluster stop

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks $(ARGS)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp per list of requirements: pip runs only when a list changed.
$(VENV)/.installed: requirements.txt | $(BIN)/python
	@$(INSTALL) requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@$(INSTALL) requirements-dev.txt
	@touch $@

$(VENV)/.installed-bench: requirements-bench.txt $(VENV)/.installed-dev
	@$(INSTALL) requirements-bench.txt
	@touch $@

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
		echo "error: there is no $(PYTHON). Install Python 3.11 or later (Debian: apt install python3 python3-venv)," \
			"or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "error: $(PYTHON) is $$($(PYTHON) --version 2>&1); Logmill needs Python 3.11 or later." \
			"Install one and name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Making a virtual environment in $(VENV) with $$($(PYTHON) --version) ..." >&2
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "error: $(PYTHON) cannot make a virtual environment. Debian and Ubuntu: apt install python3-venv." >&2; exit 1; }

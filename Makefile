# One verb a chore, the same by hand and in CI. `make demo` and `make test` set everything up by themselves.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SOURCES := $(shell find src -name '*.py' -o -name '*.pyx' -o -name '*.pxd') setup.py pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help install demo test check format conformance others bench soak docs clean

help:
	@echo 'make demo         set up, then show what Fate does (under two minutes, most of it installing)'
	@echo 'make test         set up, then run the tests'
	@echo 'make check        format, lint, types, layers'
	@echo 'make format       put the code into the form that `make check` wants'
	@echo 'make conformance  CPython'"'"'s asyncio tests, and Twisted'"'"'s, against Fate'
	@echo 'make others       test suites of other projects (uvloop, tornado, aiohttp, ...) against Fate; SUITE=tornado: one'
	@echo 'make bench        Fate beside its peers: loop, network, Deferreds; charts in docs/_static/bench'
	@echo 'make soak         a server on Fate under storms and faults; SECONDS=600, CONNECTIONS=10000'
	@echo 'make docs         build the documentation into docs/_build'
	@echo 'Variables: PYTHON=python3.12  VENV=.venv  FATE_PURE=1 (do not compile)'

# The environment is made anew when the way it was made changes: another Python, compiled or not.
BUILD := $(PYTHON) FATE_PURE=$(FATE_PURE)
$(VENV)/made: $(SOURCES)
	@if [ "$$(cat $(VENV)/made 2>/dev/null)" != "$(BUILD)" ]; then rm -rf $(VENV); $(PYTHON) -m venv $(VENV); fi
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || (echo 'Fate needs Python 3.11 or later: make PYTHON=python3.11 ...'; exit 1)
	@rm -rf build/lib* build/bdist*
	@echo 'Setting up $(VENV): half a minute or so.'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check .
	@$(BIN)/python -c 'import fate; print("Fate is", "compiled" if fate.compiled else "not compiled: it runs as plain Python, slower")'
	@echo '$(BUILD)' > $@

# Only what the extra asks for: `pip install '.[test]'` would compile Fate a second time.
$(VENV)/made-%: $(VENV)/made
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["$*"], sep="\n")' > $(VENV)/$*.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(VENV)/$*.txt
	@touch $@

install: $(VENV)/made

demo: $(VENV)/made
	$(BIN)/python examples/demo.py

test: $(VENV)/made-test
	$(BIN)/python -m pytest

check: $(VENV)/made-test $(VENV)/made-check  # mypy reads the types of what the tests install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy tests/defer/typed.py  # programs that say what types Deferreds have
	$(BIN)/lint-imports

format: $(VENV)/made-check
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

conformance: $(VENV)/made-conformance
	$(BIN)/python tests/conformance/cpython.py
	$(BIN)/python tests/conformance/twisted_deferred.py
	$(BIN)/python tests/conformance/twisted_reactor.py

SUITE ?= all
others: $(VENV)/made
	$(BIN)/python tests/conformance/others.py --suite $(SUITE)

SECONDS ?= 600
CONNECTIONS ?= 10000
soak: $(VENV)/made
	$(BIN)/python tests/soak/soak.py --seconds $(SECONDS) --connections $(CONNECTIONS)

bench: $(VENV)/made
	$(BIN)/python -m benchmarks --charts docs/_static/bench

docs: $(VENV)/made-docs
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build
	@echo 'open docs/_build/index.html'

clean:
	rm -rf build dist docs/_build .venv .venv-* src/*.egg-info
	find src -name '*.so' -delete

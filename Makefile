# One verb a chore, the same by hand and in CI. `make demo` and `make test` set everything up by themselves.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SOURCES := $(shell find src -name '*.py' -o -name '*.pyx' -o -name '*.pxd') setup.py pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help install demo test check compilers format conformance fidelity others bench bench-growth bench-sim bugs soak torture interrupts sanitize sanitized docs clean

help:
	@echo 'make demo         set up, then show what Fate does (two minutes, most of them installing and compiling)'
	@echo 'make test         set up, then run the tests on all processors; TESTS=tests/net: a part'
	@echo 'make check        format, lint, types, layers'
	@echo 'make format       put the code into the form that `make check` wants'
	@echo 'make compilers    each C compiler found here takes the compiled modules; what a failed compile says'
	@echo 'make conformance  the tests of CPython'"'"'s asyncio, Twisted and seven other projects against Fate (an hour)'
	@echo 'make fidelity     scripts of socket calls on the real kernel and in a universe: the same? SCRIPTS=10000'
	@echo 'make others       only those of the other projects (uvloop, tornado, aiohttp, ...); SUITE=tornado: one'
	@echo 'make bench        Fate beside its peers: loop, network, Deferreds; charts in docs/_static/bench'
	@echo 'make bench-growth does twice the work cost more than twice as much? Each operation doubled, up to 100,000'
	@echo 'make bench-sim    universes beside other simulators of asyncio; SIM_PYTHON=python3.13 or 3.12, which they need'
	@echo 'make bugs         known bugs of redis-py, anyio, aiojobs and asyncio, found by `fate explore`; BUG=redis: one'
	@echo 'make soak         a server on Fate under storms and faults; SECONDS=600, CONNECTIONS=10000'
	@echo 'make torture      every call of a loop in any order, abuse included, against a model; SECONDS=600'
	@echo 'make interrupts   exceptions between any two steps of a run: is anything lost or stuck? COUNT=10000'
	@echo 'make sanitize     the compiled modules'"'"' tests, and the torture, under GCC'"'"'s address and undefined-behaviour sanitizers'
	@echo 'make docs         build the documentation into docs/_build'
	@echo 'Variables: PYTHON=python3.12  VENV=.venv  FATE_PURE=1 (do not compile)'

# A library built with a sanitizer loads only where the sanitizer's own came first.
ifneq ($(FATE_SANITIZE),)
UNDER := LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libstdc++.so)" PYTHONMALLOC=malloc \
  ASAN_OPTIONS="detect_leaks=0:log_path='$(CURDIR)/build/sanitize/report'" UBSAN_OPTIONS=print_stacktrace=1
endif

# The environment is made anew when the way it was made changes: another Python, compiled or not.
BUILD := $(PYTHON) FATE_PURE=$(FATE_PURE) FATE_SANITIZE=$(FATE_SANITIZE)
$(VENV)/made: $(SOURCES)
	@if [ "$$(cat $(VENV)/made 2>/dev/null)" != "$(BUILD)" ]; then rm -rf $(VENV); $(PYTHON) -m venv $(VENV); fi
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || (echo 'Fate needs Python 3.11 or later: make PYTHON=python3.11 ...'; exit 1)
	@rm -rf build/lib* build/bdist*
	@echo 'Setting up $(VENV): one to three minutes, most of them compiling.'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check .
	@$(UNDER) $(BIN)/python -c 'import fate; print("Fate is", "compiled" if fate.compiled else "not compiled: it runs as plain Python, slower")'
	@echo '$(BUILD)' > $@

# Only what the extra asks for: `pip install '.[test]'` would compile Fate a second time.
$(VENV)/made-%: $(VENV)/made
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["$*"], sep="\n")' > $(VENV)/$*.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(VENV)/$*.txt
	@touch $@

install: $(VENV)/made

demo: $(VENV)/made
	$(BIN)/python examples/demo.py

# A process for each processor, up to eight: more would wait for each other where tests measure time.
# TESTS=tests/net runs a part, WORKERS=0 all in one process, which is what a debugger needs.
WORKERS ?= logical --maxprocesses 8
TESTS ?=
test: $(VENV)/made-test
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(TESTS)

check: $(VENV)/made-test $(VENV)/made-check  # mypy reads the types of what the tests install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy tests/defer/typed.py  # programs that say what types Deferreds have
	$(BIN)/lint-imports

# Every C compiler that is here, and what an install says where there is none.
compilers: $(VENV)/made-compilers $(VENV)/made-test
	$(BIN)/python -m tests.compilers

format: $(VENV)/made-check
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

SUITE ?= all
conformance: $(VENV)/made-conformance
	$(BIN)/python tests/conformance/cpython.py
	$(BIN)/python tests/conformance/cpython.py --universe
	$(BIN)/python tests/conformance/twisted_deferred.py
	$(BIN)/python tests/conformance/twisted_reactor.py
	$(BIN)/python tests/conformance/others.py --suite $(SUITE)

SCRIPTS ?= 10000
fidelity: $(VENV)/made-test
	$(BIN)/python -m tests.sim.fidelity --scripts $(SCRIPTS)

others: $(VENV)/made
	$(BIN)/python tests/conformance/others.py --suite $(SUITE)

SECONDS ?= 600
CONNECTIONS ?= 10000
soak: $(VENV)/made
	$(BIN)/python tests/soak/soak.py --seconds $(SECONDS) --connections $(CONNECTIONS)

torture: $(VENV)/made-test
	PYTHONMALLOC=debug $(BIN)/python -m tests.torture --seconds $(SECONDS)

COUNT ?= 10000
interrupts: $(VENV)/made-test
	$(BIN)/python -m tests.interrupts --count $(COUNT)

# GCC's sanitizers in Fate's own modules. Leaks are not looked for: the interpreter does not free all when it ends.
# What they find ends the process and is in build/sanitize, also where that process was a test's child; what the second
# of the two finds goes to stderr, hence -s.
# One test is left out: it runs a Python without anything of its environment, so without the sanitizer's library.
SANITIZED ?= tests/asyncio_on_fate tests/core tests/defer tests/fuse tests/net tests/reactor tests/sim tests/test_*.py tests/tx \
  --deselect tests/sim/test_determinism.py::test_one_seed_is_one_history_in_every_process
TORTURE ?= 180
sanitize:
	@$(MAKE) VENV=.venv-sanitize FATE_REQUIRE_EXT=1 FATE_SANITIZE=address,undefined sanitized
sanitized: $(VENV)/made-test
	@rm -rf build/sanitize && mkdir -p build/sanitize
	$(UNDER) $(BIN)/python -m pytest -q -s $(SANITIZED) || { cat build/sanitize/* 2>/dev/null; exit 1; }
	$(UNDER) $(BIN)/python -m tests.torture --seconds $(TORTURE) --shorten 0 || { cat build/sanitize/* 2>/dev/null; exit 1; }
	@! cat build/sanitize/* 2>/dev/null
	@echo 'No error of memory, no undefined behaviour.'

bench: $(VENV)/made bench-growth
	$(BIN)/python -m benchmarks --charts docs/_static/bench

bench-growth: $(VENV)/made
	$(BIN)/python -m benchmarks.growth

# The first of these that there is; pyenv has commands that are none, so each is asked.
SIM_PYTHON ?= $(shell for python in $(PYTHON) python3.13 python3.12; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && echo $$python && break; done)
bench-sim:
	@test -n '$(SIM_PYTHON)' || (echo 'The other simulators ask for Python 3.12 or later: make bench-sim SIM_PYTHON=...'; exit 1)
	$(SIM_PYTHON) -m benchmarks.sim

BUG ?=
bugs: $(VENV)/made
	$(BIN)/python -m benchmarks.bugs --reports $(if $(BUG),--only $(BUG))

docs: $(VENV)/made-docs
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build
	@echo 'open docs/_build/index.html'

clean:
	rm -rf build dist docs/_build .venv .venv-* src/*.egg-info
	find src -name '*.so' -delete

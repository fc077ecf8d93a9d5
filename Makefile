# make demo, make test: each sets up what it needs in .venv the first time and starts at once the next.
# Without a compiler: CAROUSEL_NO_NATIVE=1 make demo (the eager engine alone).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	--constraint constraints.txt --build-constraint constraints.txt
BUILT_FROM := pyproject.toml constraints.txt $(wildcard CMakeLists.txt) $(shell find csrc -type f 2>/dev/null)

.PHONY: demo test lint test-all test-sanitize bench docs wheel clean

demo: $(VENV)/.installed
	$(BIN)/carousel demo --output build/demo

test: lint
	$(BIN)/python -m pytest

test-all: lint
	$(BIN)/python -m pytest -m ''

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks.cells
	$(BIN)/python -m benchmarks.rivals_of_cells
	$(BIN)/python -m benchmarks.structured
	$(BIN)/python -m benchmarks.labelling
	$(BIN)/python -m benchmarks

# What the registry, the public list and the benchmarks say in the README and docs; docs/cells, a page for each cell.
docs: $(VENV)/.installed
	$(BIN)/python docs/generate.py

wheel: $(VENV)/.installed
	$(BIN)/python -m pip wheel --no-deps --wheel-dir dist .

clean:
	rm -rf build dist $(VENV)

$(VENV)/.made: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip
	touch $@

$(VENV)/.installed: $(VENV)/.made $(BUILT_FROM)
	$(INSTALL) --editable .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(INSTALL) --group test
	touch $@

$(VENV)/.installed-bench: $(VENV)/.installed-test
	$(INSTALL) --group bench
	touch $@

# The core built with sanitizers, on the interpreter of .venv. Python and PyTorch are not instrumented, so leaks, which
# would be theirs, are not reported. ThreadSanitizer does not follow a fork.
SANITIZED_TESTS = $(wildcard tests/test_core*.py tests/test_engine_native*.py tests/test_online*.py tests/test_labelling_*.py) tests/test_random_equations.py
SANITIZED = PYTHONPATH=build/$(1)/site LD_PRELOAD="$$($(CXX) -print-file-name=lib$(1).so) \
	$$($(CXX) -print-file-name=libstdc++.so)" $(BIN)/python tests/sanitized.py $(SANITIZED_TESTS)

test-sanitize: build/asan/.built build/tsan/.built
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 $(call SANITIZED,asan)
	TSAN_OPTIONS=halt_on_error=1:ignore_noninstrumented_modules=1 $(call SANITIZED,tsan) -k 'not fork'

build/asan/.built: SANITIZERS = address,undefined
build/tsan/.built: SANITIZERS = thread
build/%/.built: $(VENV)/.installed-test $(BUILT_FROM)
	rm -rf build/$*
	$(INSTALL) --no-deps --target build/$*/site --config-settings=cmake.build-type=RelWithDebInfo \
		--config-settings=cmake.define.CAROUSEL_SANITIZE=$(SANITIZERS) .
	touch $@

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
	$(BIN)/python -m benchmarks

# The table of cells in the README and docs/cells.md, from the registry.
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

# The core built with a sanitizer, beside the package's Python files, on the interpreter of .venv. PyTorch and
# Python are not instrumented, so leaks (CPython's own at exit) are not reported; what the core does is.
SANITIZED_TESTS := $(wildcard tests/test_core*.py tests/test_engine*.py tests/test_native*.py)
SANITIZED_RUN = PYTHONPATH=build/$(1)/site LD_PRELOAD="$$($(CXX) -print-file-name=$(2)) $$($(CXX) -print-file-name=libstdc++.so)" \
	$(BIN)/python -X faulthandler -c \
	"import sys; sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in type(f).__module__]; \
	import pytest, carousel._core as core; print(core.__file__); sys.exit(pytest.main(sys.argv[1:]))" \
	-p no:cacheprovider -p no:doctest -o addopts='' -q $(SANITIZED_TESTS)

test-sanitize: $(VENV)/.installed-test build/asan/.built build/tsan/.built
	ASAN_OPTIONS=detect_leaks=0:halt_on_error=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
		$(call SANITIZED_RUN,asan,libasan.so)
	TSAN_OPTIONS=halt_on_error=1:report_bugs=1:ignore_noninstrumented_modules=1 $(call SANITIZED_RUN,tsan,libtsan.so)

build/asan/.built: SANITIZERS = address,undefined
build/tsan/.built: SANITIZERS = thread
build/%/.built: $(VENV)/.installed-test $(BUILT_FROM)
	rm -rf build/$*
	$(INSTALL) --no-deps --target build/$*/site --config-settings=cmake.build-type=RelWithDebInfo \
		--config-settings=cmake.define.CAROUSEL_SANITIZE=$(SANITIZERS) .
	touch $@

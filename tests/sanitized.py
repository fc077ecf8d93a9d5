"""Runs pytest on the package that PYTHONPATH names: `make test-sanitize`. An editable install would come before it."""

import importlib
import sys

import pytest


def main() -> int:
    sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in type(finder).__module__]
    print(f"the core under test: {importlib.import_module('carousel._core').__file__}")
    # Sanitizers write to the process's standard error itself, so that must not be captured.
    return pytest.main(["--capture=sys", "-p", "no:cacheprovider", "-o", "addopts=", "-m", "not long", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())

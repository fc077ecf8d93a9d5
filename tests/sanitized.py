"""Runs pytest on the package that PYTHONPATH names: `make test-sanitize`. An editable install would come before it."""

import sys

sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in type(finder).__module__]

import carousel._core  # noqa: E402
import pytest  # noqa: E402

print(f"the core under test: {carousel._core.__file__}")
# Sanitizers write to the process's standard error itself, so that must not be captured.
sys.exit(pytest.main(["--capture=sys", "-p", "no:cacheprovider", "-o", "addopts=", "-m", "not long", *sys.argv[1:]]))

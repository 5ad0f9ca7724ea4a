# `make figures` and `make test` are all a fresh machine needs: Python >= 3.11 and make.
PYTHON ?= python3
BIN := .venv/bin
OUT ?= out

.PHONY: figures test test-all lint bounds interpreted clean

figures: .venv/base
	$(BIN)/entropic figures --out $(OUT)

# Test files share the cores between processes; one thread each, so that none waits for another.
PYTEST := NUMBA_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --dist loadfile

test: .venv/test
	$(PYTEST) -rs -m "not slow" -p no:cacheprovider

# Every test, with all extras: a test skipped for a missing one is a failure here.
test-all: .venv/all
	ENTROPIC_ALL_EXTRAS=1 $(PYTEST)

KERNEL_TESTS := tests/test_toys_kernels.py tests/test_toys_sampling.py tests/test_toys_reducing.py

# Kernels with bounds checks, which numba makes only while compiling: hence the empty cache.
bounds: .venv/test
	NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=$$(mktemp -d) $(BIN)/python -m pytest -q -m "not slow" \
		-p no:cacheprovider $(KERNEL_TESTS) tests/test_toys_mixture.py tests/test_theory_las.py

# The same kernels as plain Python.
interpreted: .venv/test
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -q -p no:cacheprovider $(KERNEL_TESTS) \
		tests/test_theory_las.py -k "kernels or plain_loop or brute"

lint: .venv/all
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/made:
	$(PYTHON) -m venv .venv
	touch $@

.venv/base: .venv/made pyproject.toml constraints.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/test: .venv/base
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[test]"
	touch $@

.venv/all: .venv/test
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[test,dev,imagenet,certified]"
	touch $@

clean:
	rm -rf .venv $(OUT) build *.egg-info

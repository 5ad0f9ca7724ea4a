# `make figures` and `make test` are all a fresh machine needs: Python >= 3.11 and make.
PYTHON ?= python3
BIN := .venv/bin
OUT ?= out

.PHONY: figures test test-all lint bounds clean

figures: .venv/base
	$(BIN)/entropic figures --out $(OUT)

test: .venv/test
	$(BIN)/python -m pytest -q -m "not slow" -p no:cacheprovider

# Every test, with all extras; later issues add theirs to the `all` extra.
test-all: .venv/all
	$(BIN)/python -m pytest -q

# Bounds are only checked when the cache is empty.
bounds: .venv/test
	NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=$$(mktemp -d) $(BIN)/python -m pytest -q -m "not slow" tests/test_toys_kernels.py tests/test_toys_sampling.py

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
	touch $@ .venv/base

.venv/all: .venv/test
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[test,dev]"
	touch $@ .venv/test .venv/base

clean:
	rm -rf .venv $(OUT) build *.egg-info

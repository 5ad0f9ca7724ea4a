# `make figures` and `make test` are all a fresh machine needs: Python >= 3.11 and make.
PYTHON ?= python3
BIN := .venv/bin
OUT ?= out

.PHONY: figures test test-all lint docs gallery bounds interpreted clean

figures: .venv/base
	$(BIN)/entropic figures --out $(OUT)

# Test files share the cores between processes; one thread each, so that none waits for another.
PYTEST := NUMBA_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --dist loadfile

test: .venv/test
	$(PYTEST) -rs -m "not slow" -p no:cacheprovider

# Every test: after the fast ones, the slow ones and those that a missing extra skipped, with all
# extras. A test skipped for a missing one is a failure here.
test-all: test .venv/all
	ENTROPIC_ALL_EXTRAS=1 $(PYTEST) -m "slow or extras"

KERNEL_TESTS := tests/test_toys_kernels.py tests/test_toys_sampling.py tests/test_toys_reducing.py

# Kernels with bounds checks, which numba makes only while compiling: hence the empty cache.
bounds: .venv/test
	NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=$$(mktemp -d) $(PYTEST) -m "not slow" \
		-p no:cacheprovider $(KERNEL_TESTS) tests/test_toys_mixture.py tests/test_theory_las.py

# The same kernels as plain Python.
interpreted: .venv/test
	NUMBA_DISABLE_JIT=1 $(PYTEST) -p no:cacheprovider $(KERNEL_TESTS) \
		tests/test_theory_las.py -k "kernels or plain_loop or brute"

lint: .venv/all
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell
	$(BIN)/codespell -D docs/british.txt README.md CONTRIBUTING.md docs

# The site, into out/docs; a warning is an error.
docs: .venv/all
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs $(OUT)/docs

# The pictures of the site, from what `make figures` drew.
gallery: figures
	$(BIN)/python -m figures.parts.gallery $(OUT) docs/gallery

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
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[test,dev,docs,imagenet,certified]"
	touch $@

clean:
	rm -rf .venv $(OUT) build *.egg-info

# Needs python3 (3.11 or newer, with venv), make and a C compiler. `make help` lists the targets.

PYTHON ?= python3
BUDGET ?= 90s
LOCK_OPTIONS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
LOCK := requirements.lock

.DEFAULT_GOAL := help
.PHONY: help demo test format lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.runtime ## Install, then tune the example model for the devices of this machine
	$(BIN)/farm tune examples/digits.onnx --data examples/digits.npz \
		--devices cpu,gpu,dsp --budget $(BUDGET)

test: $(VENV)/.dev emulator ## Format check, lint, strict types, import layers, tests: what CI runs
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	@$(MAKE) --no-print-directory --jobs 2 types tests

# Side by side: the types keep one processor busy, tests often wait for their children.
.PHONY: types tests
types:
	$(BIN)/lint-imports
	$(BIN)/mypy
tests:
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

# Tests that execute code for the Hexagon are skipped without its emulator.
.PHONY: emulator
emulator:
	@.ci/install emulator || true

format: $(VENV)/.dev ## Format the code and fix what the linter can fix
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

lock: .uv/bin/uv ## Write requirements.lock from pyproject.toml (LOCK_OPTIONS=--upgrade renews pins)
	.uv/bin/uv pip compile pyproject.toml --quiet --group dev --universal --python-version 3.11 \
		--no-annotate --custom-compile-command "make lock" --output-file $(LOCK) $(LOCK_OPTIONS)

clean: ## Remove what make, the build and the tools made; runs and the store stay
	rm -rf $(VENV) .uv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache .coverage htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The lock holds the runtime's and the developers' versions. As constraints it pins what the farm
# itself needs; as requirements it installs everything.
$(VENV)/.runtime: pyproject.toml $(LOCK) | $(BIN)/pip
	@echo "Installing the farm into $(VENV) ..." >&2
	$(PIP) install --constraint $(LOCK) setuptools
	$(PIP) install --constraint $(LOCK) --no-build-isolation --editable '.[dsp]'
	@echo "Installed $$(du -sh $(VENV) | cut -f1) into $(VENV)." >&2
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	@echo "Installing the developers' tools into $(VENV) ..." >&2
	$(PIP) install --requirement $(LOCK)
	@touch $@

$(BIN)/pip: | python-is-usable
	$(PYTHON) -m venv $(VENV)

.uv/bin/uv: | python-is-usable
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip --quiet --disable-pip-version-check install uv

.PHONY: python-is-usable
python-is-usable:
	@command -v "$(PYTHON)" >/dev/null || { \
		echo "There is no $(PYTHON): install Python 3.11 or newer, or name one:" \
			"make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "The farm needs Python 3.11 or newer, and $(PYTHON) is" \
			"$$($(PYTHON) --version 2>&1); name another: make PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu:" \
			"apt-get install python3-venv" >&2; exit 1; }

# make run     the gateway on 127.0.0.1:4000, with a provider that needs no key
# make test    everything that runs on a fresh machine
# make check   format, lint, types, architecture, generated files current

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What dependencies pull in is pinned there.
CONSTRAINTS := $(if $(wildcard constraints.txt),-c constraints.txt)
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
SOURCES := plugin tests proto

.PHONY: run test check format proto envoy lock

# exec: Ctrl-C goes to Tollgate alone, which stops its parts in order.
run: $(VENV)/run
	@exec $(BIN)/tollgate up $(ARGS)

test: $(VENV)/dev
	$(BIN)/pytest -q $(ARGS)

check: $(VENV)/dev
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/python proto/generate.py --check
	$(BIN)/pytest -q tests/unit/test_architecture.py tests/unit/test_envoy_config.py

format: $(VENV)/dev
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

# Generated, and committed: `make check` fails when they are not current.
proto: $(VENV)/dev
	$(BIN)/python proto/generate.py

envoy: $(VENV)/run
	$(BIN)/tollgate envoy-config --config envoy/settings.yaml > envoy/grpc.yaml

lock: $(VENV)/dev
	$(BIN)/python -m pip --disable-pip-version-check freeze --exclude-editable > constraints.txt

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Tollgate needs Python 3.11 or later; name one with: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/run: pyproject.toml $(wildcard constraints.txt) | $(BIN)/python
	$(PIP) $(CONSTRAINTS) -e .
	@touch $@

$(VENV)/dev: pyproject.toml $(wildcard constraints.txt) | $(BIN)/python
	$(PIP) $(CONSTRAINTS) -e '.[dev]'
	@touch $(VENV)/run $@

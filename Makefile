PYTHON ?= python3
PY = .venv/bin/python

.PHONY: run test test-services lint messages

run: .venv/runtime
	@$(PY) site/run.py

test: .venv/development
	$(PY) -m pytest

test-services: .venv/development
	DATABASE_URL=$${DATABASE_URL:-postgres://postgres@127.0.0.1:5432/vestnik} REDIS_URL=$${REDIS_URL:-redis://127.0.0.1:6379/0} $(PY) -m pytest

lint: .venv/development
	.venv/bin/ruff check . && .venv/bin/ruff format --check .

.venv/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "Vestnik needs Python 3.11 or newer, and '$(PYTHON)' was not found."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Vestnik needs Python 3.11 or newer; this is %d.%d." % sys.version_info[:2])'
	@$(PYTHON) -m venv .venv

.venv/runtime: requirements.txt | .venv/bin/python
	@$(PY) -m pip install -q --disable-pip-version-check -r requirements.txt && touch $@

.venv/development: requirements-dev.txt requirements.txt | .venv/bin/python
	@$(PY) -m pip install -q --disable-pip-version-check -r requirements-dev.txt && touch $@ .venv/runtime

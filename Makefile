PYTHON ?= python3
PY = .venv/bin/python
# What `make test-services` connects to.
DATABASE_URL ?= postgres://postgres@127.0.0.1:5432/vestnik
REDIS_URL ?= redis://127.0.0.1:6379/0

.PHONY: run test test-services bench bench-faults profile lint extract-messages messages

run: .venv/runtime
	@$(PY) site/run.py

test: .venv/development
	env -u DATABASE_URL -u REDIS_URL $(PY) -m pytest

test-services: .venv/development
	DATABASE_URL=$(DATABASE_URL) REDIS_URL=$(REDIS_URL) $(PY) -m pytest

bench: .venv/runtime
	$(PY) bench/load.py

bench-faults: .venv/runtime
	$(PY) bench/faults.py

profile: .venv/runtime
	$(PY) bench/hotspots.py

lint: .venv/development
	.venv/bin/ruff check . && .venv/bin/ruff format --check .

extract-messages: .venv/development
	DEBUG=true $(PY) manage.py makemessages -l ru --no-location --no-wrap -i .venv -i var -i node_modules -i site/static

messages: extract-messages
	DEBUG=true $(PY) manage.py compilemessages -l ru -i .venv

.venv/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "Vestnik needs Python 3.11 or newer, and '$(PYTHON)' was not found."; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "Vestnik needs Python 3.11 or newer; this is %d.%d." % v[:2])'
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "Vestnik cannot start: no environment could be made in .venv (on Debian: apt install python3-venv)."; exit 1; }

.venv/runtime: requirements.txt | .venv/bin/python
	@echo "Installing packages …"
	@$(PY) -m pip install -q --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/development: requirements-dev.txt requirements.txt | .venv/bin/python
	@echo "Installing packages …"
	@$(PY) -m pip install -q --disable-pip-version-check -r requirements-dev.txt
	@touch $@ .venv/runtime

PYTHON ?= python3
PY = .venv/bin/python
# What `make test-services` connects to.
DATABASE_URL ?= postgres://postgres@127.0.0.1:5432/vestnik
REDIS_URL ?= redis://127.0.0.1:6379/0

.PHONY: run test test-services bench bench-faults bench-site lighthouse css profile screenshots lint extract-messages messages

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

bench-site: .venv/runtime
	$(PY) bench/public_site.py

lighthouse: .venv/runtime bench/node_modules/installed
	$(PY) bench/lighthouse.py

# Bootstrap less what we do not use, and the dark colours for browsers without scripts; both results
# are kept, so that a site needs no Node.
css: bench/node_modules/installed
	cd bench && npx purgecss --config purgecss.config.cjs --output ../site/static/vendor/bootstrap-5.3.9/bootstrap.used.min.css
	$(PY) bench/dark_css.py

profile: .venv/runtime
	$(PY) bench/hotspots.py

# Every public page in all widths, themes and languages, to be looked at.
screenshots: .venv/development
	env -u DATABASE_URL -u REDIS_URL $(PY) -m pytest site/config/tests/screenshots.py

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

bench/node_modules/installed: bench/package.json bench/package-lock.json
	@command -v npm >/dev/null || { echo "This needs Node.js 18.20 or newer with npm (on Debian: apt install npm)."; exit 1; }
	cd bench && npm ci --no-audit --no-fund
	@touch $@

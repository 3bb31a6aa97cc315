# Thin lines over modules and management commands. All that has to be there beforehand: python3 (3.11 or newer) and make.
PYTHON ?= python3
VENV := .venv/bin/python
STACK := $(PYTHON) -m omni.devstack
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help up down reset test check fix lock vendor bench e2e shots peer-medusa dev

help:  ## show what there is to do
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up:  ## install what is missing, start everything, print addresses and logins; Ctrl-C stops it (PORT, OMNI_HOME)
	@$(STACK) up

down:  ## stop what `make up` started from another terminal
	@$(STACK) down

reset:  ## remove this copy's data, so that the next start begins with the demo data again
	@$(STACK) reset

test: dev  ## run the tests against a throw-away PostgreSQL and Valkey (ARGS="-k name")
	@$(VENV) -m pytest $(ARGS)

check: dev  ## lint, types, rooms, translations, migrations, API schema, lock files (ARGS="mypy rooms")
	@$(VENV) -m omni.devstack.check $(ARGS)

fix: dev  ## mend what tools can mend: imports, format, new texts in the catalogues, the committed API schema
	@$(VENV) -m ruff check --fix --quiet; $(VENV) -m ruff format --quiet
	@$(VENV) -m omni.devstack.translations update
	@$(VENV) -m omni.devstack.schema write

lock: dev  ## resolve the dependencies again and write the lock files (ARGS=--upgrade for newer versions)
	@$(VENV) -m omni.devstack.locks $(ARGS)

vendor: dev  ## copy the pinned browser files out of the npm packages (needs npm)
	@$(VENV) -m omni.devstack.vendor

bench: dev  ## measure the hot paths against raw SQL (ARGS="capture --json")
	@$(VENV) manage.py bench $(ARGS)

e2e: dev  ## drive the pages with a browser and let axe look at them (needs chromium)
	@$(VENV) -m pytest -m e2e $(ARGS)

shots: dev  ## take the screenshots of the documentation anew (needs chromium)
	@$(VENV) -m pytest -m shots $(ARGS)

peer-medusa: dev  ## install and start the real Medusa 2, for `pytest -m peer` (needs npm)
	@$(VENV) -m omni.devstack.peers.medusa $(or $(ARGS),start)

dev:
	@$(STACK) venv-dev

# One command for each thing people do here; `make` alone lists them. Settings come from the environment and from .env.
SHELL := /bin/sh
.DEFAULT_GOAL := help

# Interpreters are tried in this order: one that is on the PATH need not run (version managers leave such names), nor be new enough.
# Who names one in PYTHON gets that one or none.
CANDIDATES := $(or $(PYTHON),python3.13 python3.12 python3.11 python3 python)
MANIFESTS := constraints.txt schemas/pyproject.toml $(wildcard libs/*/pyproject.toml services/*/pyproject.toml)
PACKAGES := $(patsubst %/pyproject.toml,-e ./%,$(filter %.toml,$(MANIFESTS)))
PIP := .venv/bin/python -m pip --disable-pip-version-check install -q -c constraints.txt

.PHONY: help
help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: .venv/.run ## start every service on its embedded backends (DATA_DIR, ROOMS_PORT, ITEMS_PORT, SEARCH_PORT); ISSUER=1: writes want a token
	@.venv/bin/python tools/run.py

.PHONY: token
token: .venv/.run ## print a token for SUBJECT (developer) with SCOPES ("rooms:write items:write"); needed after `make run ISSUER=1`
	@SUBJECT='$(subst ','\'',$(SUBJECT))' SCOPES='$(subst ','\'',$(SCOPES))' .venv/bin/python tools/issuer.py token

.PHONY: demo
demo: .venv/.run ## import the sample rooms and items into the running stack and show four searches
	@.venv/bin/python tools/demo.py

.PHONY: import
import: .venv/.run ## import a file into the running stack: `make import FILE=samples/rooms.ndjson` (rooms; SERVICE=items for items)
	@SERVICE='$(SERVICE)' FILE='$(subst ','\'',$(FILE))' .venv/bin/python tools/load.py

.PHONY: events
events: .venv/.run ## show what happens, as it happens: `make events ARGS="--type RoomUpdated"` (rooms; SERVICE=items for items)
	@SERVICE='$(SERVICE)' ARGS='$(subst ','\'',$(ARGS))' .venv/bin/python tools/events.py

.PHONY: lineage
lineage: .venv/.run ## how a listing went from its request into the index: `make lineage ID=…`
	@ID='$(subst ','\'',$(ID))' .venv/bin/python tools/lineage.py

.PHONY: status
status: .venv/.run ## what waits, what died, how far the index is behind, renewed every second; ONCE=1 says it once
	@.venv/bin/python tools/status.py

.PHONY: reset
reset: .venv/.made ## delete what Atrium keeps in DATA_DIR, and nothing else there
	@.venv/bin/python tools/reset.py

.PHONY: test
test: .venv/.tox ## lint, types and every test; `make test ARGS="-k relay"` hands ARGS to pytest
	@.venv/bin/python -m tox run -q -e lint,test $(if $(ARGS),-- $(ARGS))

.PHONY: lint
lint: .venv/.tox ## ruff, mypy, import-linter and the schema gate
	@.venv/bin/python -m tox run -q -e lint

.PHONY: fmt
fmt: .venv/.tox ## format the code and fix what can be fixed
	@.venv/bin/python -m tox run -q -e fmt

# (Some systems have a variable NAME of their own.)
.PHONY: service
service: .venv/.run ## make a new service of listings: `make service NAME=bicycles` (SINGULAR=bicycle)
	@NAME='$(if $(filter command,$(origin NAME)),$(subst ','\'',$(NAME)))' SINGULAR='$(subst ','\'',$(SINGULAR))' .venv/bin/python tools/new_service.py

.PHONY: chaos
chaos: .venv/.chaos ## kill, stop and repeat at random: `make chaos SECONDS=60 SEED=1` (several seeds: SEED="1 2 3"; REAL=0: embedded)
	@.venv/bin/python tools/chaos.py --seconds $(or $(SECONDS),60) --seed $(or $(SEED),1) $(if $(REAL),--real $(REAL))

.PHONY: servers
servers: .venv/.made ## start real PostgreSQL, RabbitMQ, Elasticsearch and S3 for the tests, without containers
	@.venv/bin/python tools/servers.py start

.PHONY: servers-stop
servers-stop: .venv/.made ## stop them; their data stays
	@.venv/bin/python tools/servers.py stop

# Each stamp is as new as what was installed under it: a changed manifest installs again, nothing else does.
.venv/.run: $(MANIFESTS) | .venv/.made
	@echo "installing the services into .venv (a minute the first time)" >&2
	@$(PIP) $(PACKAGES)
	@touch $@

.venv/.chaos: .venv/.run
	@$(PIP) -e './libs/common[testing]'
	@touch $@

.venv/.tox: constraints.txt | .venv/.made
	@echo "installing tox into .venv" >&2
	@$(PIP) tox
	@touch $@

# Written last: a .venv without it was interrupted, and is made anew. (SIG_DFL: an interrupt ends it without a traceback.)
.venv/.made:
	@for candidate in $(CANDIDATES); do \
	    "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
	    "$$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1 || { lacking="$$candidate"; continue; }; \
	    echo "making .venv with $$candidate ($$($$candidate -V 2>&1))" >&2; \
	    "$$candidate" -c 'import runpy, signal; signal.signal(signal.SIGINT, signal.SIG_DFL); runpy.run_module("venv.__main__", run_name="__main__")' --clear .venv || exit 1; \
	    .venv/bin/python -m pip --version >/dev/null || exit 1; \
	    echo "$$candidate" >$@; \
	    exit 0; \
	done; \
	if [ -n "$$lacking" ]; then echo "atrium: $$lacking lacks venv; on Debian install python3-venv" >&2; \
	else echo "atrium: Python 3.11 or later is needed, and none of these runs: $(CANDIDATES)" >&2; fi; \
	exit 1

# A PYTHON that comes too late is said, not ignored.
ifneq ($(PYTHON),)
ifneq ($(wildcard .venv/.made),)
ifneq ($(PYTHON),$(shell cat .venv/.made))
$(error PYTHON is $(PYTHON), but .venv was made with $(shell cat .venv/.made); remove .venv to change it)
endif
endif
endif

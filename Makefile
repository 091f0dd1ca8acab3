# Everything a machine with git, make and python3 >= 3.11 needs to build, run and check Watchword.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
FUZZ_SECONDS ?= 60
BENCH  := .venv-bench
INTEROP := .interop

.DEFAULT_GOAL := help
.PHONY: help run demo test browser interop soak vectors drills fuzz mutants check fix bench bench-http bench-revocation bench-connections bench-authority clean

help: ## say what each command does
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 20

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { echo "Watchword needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
	  || { echo "Watchword needs Python's venv module (on Debian: apt-get install python3-venv)." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing what Watchword stands on into $(VENV) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check -e '.[server,postgres,fastapi,test,dev]'
	@touch $@

run: $(READY) ## start the authority and the example service; Ctrl-C stops both
	@$(BIN)/python -m examples.run

demo: $(READY) ## tell the whole story against real processes and print what happened
	@$(BIN)/python -m examples.story

test: $(READY) ## run all tests
	@$(BIN)/python -m pytest -n auto --dist loadgroup

browser: $(READY) ## run what a real Chromium tries: WebSockets and streams of pages; needs Chromium
	@$(BIN)/python -m pytest browser

$(INTEROP)/.ready: interop/package.json
	@command -v npm >/dev/null || { echo "make interop needs Node.js and npm." >&2; exit 1; }
	@mkdir -p $(INTEROP) && cp interop/package.json $(INTEROP)
	@cd $(INTEROP) && npm install --silent --no-audit --no-fund
	@touch $@

interop: $(READY) $(INTEROP)/.ready ## try guards on the tokens of issuers that others wrote; needs Node.js
	@$(BIN)/python -m pytest interop

soak: $(READY) ## look for what breaks the promise in SOAK_RUNS (100000) made-up worlds; SEED=… makes a failure again
	@$(BIN)/python -m tests.promise.soak

vectors: $(READY) ## run public test vectors from ../shared/vectors, or from the folder in TEST_VECTORS
	@$(BIN)/python -m pytest vectors

drills: $(READY) ## break replicas, database, network and clocks on purpose, and show what guards made of it
	@$(BIN)/python -m pytest tests/system/drills -q

fuzz: $(READY) ## feed made-up bytes to all that reads bytes, for FUZZ_SECONDS (60)
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/pip install --quiet --disable-pip-version-check -e '.[fuzz]'
	@mkdir -p var/fuzz/corpus
	@$(BIN)/python fuzz/verify.py -max_total_time=$(FUZZ_SECONDS) -timeout=5 -max_len=16384 -artifact_prefix=var/fuzz/ \
	  -verbosity=0 -print_final_stats=1 var/fuzz/corpus

mutants: $(READY) ## change the code in a thousand ways and name the changes that no test minds (an hour)
	@$(BIN)/python -c 'import mutmut' 2>/dev/null || $(BIN)/pip install --quiet --disable-pip-version-check -e '.[mutants]'
	@$(BIN)/mutmut run
	@$(BIN)/mutmut results

check: $(READY) ## lint, types and the layers of the layout
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fix: $(READY) ## let ruff mend what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

$(BENCH)/.ready: pyproject.toml bench/prepare.py bench/peers/package.json
	@$(PYTHON) bench/prepare.py $(BENCH) libraries
	@touch $@

bench: $(BENCH)/.ready ## measure tokens, rules and the wall against other libraries
	@$(BENCH)/main/bin/python -m bench $(ARGS)

bench-http: $(BENCH)/.ready ## measure what the wall costs over HTTP (on Linux)
	@$(BENCH)/main/bin/python -m bench http $(ARGS)

bench-revocation: $(READY) ## measure how soon a revoked token is refused, and what guards cost (on Linux)
	@$(BIN)/python -m bench.revocation $(ARGS)

bench-connections: $(READY) ## measure how soon a revoked caller's open connection is closed, and its cost (on Linux)
	@$(BIN)/python -m bench.connections $(ARGS)

$(BENCH)/.servers: pyproject.toml bench/prepare.py bench/authority/package.json
	@$(PYTHON) bench/prepare.py $(BENCH) servers
	@touch $@

bench-authority: $(READY) $(BENCH)/.servers ## measure tokens a second against other servers, and sign-ins beside them (on Linux)
	@$(BIN)/python -m bench.authority $(ARGS)

clean: ## remove what was built and installed, but no data
	rm -rf $(VENV) $(BENCH) $(INTEROP) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis mutants

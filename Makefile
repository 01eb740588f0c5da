# `make run` and `make test` need Python 3.11 and a network to install from; they set up everything else themselves.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN = $(VENV)/bin
# How many processes of tests `make test` has side by side.
PROCESSES ?= 2

.PHONY: run test check bench bench-litellm flood attack lock clean litellm-releases
.PHONY: parties parties-python parties-npm parties-frameworks parties-languages parties-litellm

run: $(VENV)/.ready
	$(BIN)/counterseal demo

test: $(VENV)/.ready
	$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder

check: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.ready
	$(BIN)/python -m bench

bench-litellm: $(VENV)/.ready
	$(BIN)/python -m bench.litellm

flood: $(VENV)/.ready
	$(BIN)/python -m bench.flood

attack: $(VENV)/.ready
	$(BIN)/python -m bench.attack --tokens 1000000

# Programs that this project did not write and its flow tests talk to: Node and Python packages, none needed to run Counterseal. And
# the verifying servers of docs/verify/, for whose languages there are tools.
# They may be made side by side: `make --jobs 2 parties`.
parties: parties-python parties-npm parties-frameworks parties-languages parties-litellm

parties-python: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
	    --requirement tests/parties/requirements.txt

# npm is one of the Python packages.
parties-npm: parties-python
	PYTHON=$(BIN)/python sh tests/parties/install.sh

parties-languages: parties-python
	PYTHON=$(BIN)/python sh tests/parties/languages.sh

# An environment of its own, as LiteLLM's is: made beside that of the project.
parties-frameworks:
	test -x $(VENV)-frameworks/bin/python || $(PYTHON) -m venv $(VENV)-frameworks
	$(VENV)-frameworks/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
	    --requirement tests/parties/frameworks/requirements.txt

parties-litellm:
	PYTHON=$(PYTHON) sh tests/parties/litellm/install.sh

# The guardrail in each LiteLLM that tests/parties/litellm/releases.txt names: three minutes more, so not in `make test`.
litellm-releases: $(VENV)/.ready
	for release in $$(sed -n 's/^litellm==\([^ ]*\).*/\1/p' tests/parties/litellm/releases.txt); do \
	    PYTHON=$(BIN)/python sh tests/parties/litellm/install.sh $$release && \
	    LITELLM_RELEASE=$$release $(BIN)/python -m pytest -q tests/flows/test_litellm_guardrail.py \
	        tests/integrations/litellm/test_guardrail.py || exit 1; \
	done

# Every dependency at one version, by hash, without an address.
lock: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet pip-tools
	$(BIN)/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header \
	    --strip-extras --all-extras --allow-unsafe --output-file constraints.txt pyproject.toml

$(VENV)/.ready: constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Counterseal needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 run" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-frameworks build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Each target sets up what it needs: a fresh machine needs only make and Python 3.11 or newer.
#   make test ARGS="-k naming"       pass arguments on
#   make demo PYTHON=python3.12      choose the interpreter (only when .venv does not exist yet)

PYTHON ?= python3
VENV ?= .venv
UV ?= uv
ARGS ?=
ONLY ?= *
PORT ?= 8000
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

# An interpreter that was asked for is taken at its word; otherwise the first that is new enough.
PYTHONS := $(if $(filter file,$(origin PYTHON)),$(PYTHON) python3.13 python3.12 python3.11 python3.14,$(PYTHON))
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SETUP := $(VENV)/.setup-done
TORCH := $(VENV)/.torch-done
BENCH := $(VENV)/.bench-done

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help setup setup-torch setup-bench demo serve test test-fast check fix lint types arch docs docs-check messages screenshots golden bench lock clean

help: ## show these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

setup: $(SETUP) ## make .venv with the locked versions; quick when nothing changed

demo: $(SETUP) ## index a few pictures, search them, and write a page to look at
	@$(BIN)/dinoseek demo $(ARGS)

serve: $(SETUP) ## search the demo gallery in the browser on http://127.0.0.1:8000 (PORT=...)
	@test -d demo/demo.dino || $(BIN)/dinoseek demo
	@$(BIN)/dinoseek serve demo/demo.dino --port $(PORT) $(ARGS)

test: $(SETUP) ## all tests (those that need PyTorch or real weights skip, visibly, without them)
	@$(BIN)/python -m pytest $(ARGS)

test-fast: $(SETUP) ## the tests that need neither PyTorch nor weights nor patience
	@$(BIN)/python -m pytest -m "not slow and not torch and not weights" $(ARGS)

check: lint types arch docs-check test ## everything that must hold before a change goes in

fix: $(SETUP) ## format the code and repair what ruff can
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format

lint: $(SETUP) ## format check, ruff, and the container's files
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/hadolint Dockerfile
	@$(BIN)/check-jsonschema -q --builtin-schema vendor.compose-spec compose.yaml

types: $(SETUP) ## mypy --strict
	@$(BIN)/mypy

arch: $(SETUP) ## imports go down the layers only
	@$(BIN)/lint-imports

docs: $(SETUP) ## write docs/cli.md from --help
	@$(BIN)/cog -r docs/cli.md

docs-check: $(SETUP)
	@$(BIN)/cog --check docs/cli.md

messages: $(SETUP) ## bring the page's translations up to date (needs gettext)
	@$(BIN)/python tools/messages.py

screenshots: $(SETUP) ## draw the pictures of docs/images anew (needs Chromium; ARGS="--model FILE")
	@$(BIN)/python tools/screenshots.py $(ARGS)

golden: $(TORCH) ## compute the expected outputs in tests/golden anew, with transformers
	@$(BIN)/python tools/make_golden.py $(ARGS)

bench: $(BENCH) ## measure against ONNX Runtime, OpenVINO, PyTorch and faiss (ONLY=search ARGS=...)
	@for script in $$(grep -l '^if __name__' bench/$(ONLY).py); do echo "== $$script"; $(BIN)/python $$script $(ARGS) || exit 1; done

setup-torch: $(TORCH) ## add PyTorch (CPU build) and transformers, for the comparison tests

setup-bench: $(BENCH) ## add the peers that bench/ measures against

lock: ## resolve requirements/*.in anew (needs uv)
	@UV="$(UV)" sh requirements/lock.sh

clean: ## remove .venv, caches and the demo
	rm -rf $(VENV) build dist demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests bench tools -name __pycache__ -type d -prune -exec rm -rf {} +

# The build backend is locked too, so nothing outside the lock is ever fetched.
$(SETUP): requirements/dev.txt pyproject.toml
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { $(make-venv); }
	@echo "installing the locked versions into $(VENV) ..."
	@$(PIP) install -qq --require-hashes -r requirements/dev.txt
	@$(PIP) install -qq --no-deps --no-build-isolation --editable .
	@touch $@

define make-venv
for python in $(PYTHONS); do \
  if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
    exec $$python -m venv --clear $(VENV); \
  fi; \
done; \
echo "dinoseek needs Python 3.11 or newer with venv (tried: $(PYTHONS)); install one or name it: make PYTHON=/path/to/python3" >&2; \
exit 1
endef

# PyPI's Linux build brings several GB of CUDA; the CPU build is asked for by its local version, so that one can never
# be taken: first from the indexes that pip knows, then from PyTorch's own.
$(TORCH): $(SETUP) requirements/torch.txt
	@version=$$(sed -n 's/^torch==//p' requirements/torch.txt); \
	test "$$(uname)" != Linux || version="$$version+cpu"; \
	echo "installing PyTorch $$version and transformers into $(VENV) ..."; \
	$(PIP) install -qq --no-deps "torch==$$version" 2>/dev/null \
	  || $(PIP) install -qq --no-deps --index-url $(TORCH_INDEX) "torch==$$version"
	@$(PIP) install -qq -r requirements/torch.txt
	@touch $@

$(BENCH): $(TORCH) requirements/bench.txt
	@echo "installing the peers of the bench into $(VENV) ..."
	@$(PIP) install -qq --require-hashes -r requirements/bench.txt
	@touch $@

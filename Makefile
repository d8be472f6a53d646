# Every target sets itself up from nothing but Python 3.11 to 3.13 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup run test test-all test-clients check fuzz drill format lock pretrain bench-zero-shot bench-chapter bench-autoregression bench-engines bench-serving bench-accuracy bench-robustness bench-memory bench-large bench-training bench-page bench-formats bench-jobs screenshots http-collection clean

help:  ## Say what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-21s %s\n", $$1, $$2}'

setup: $(STAMP)  ## Make .venv with everything in it; .venv/bin/outfielder is the command

$(STAMP): requirements.lock pyproject.toml clients/python/pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"Outfielder needs Python 3.11, 3.12 or 3.13, this is {v[0]}.{v[1]}: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . -e clients/python
	@touch $@

run: setup  ## Start API and worker, train the starter models, forecast AirPassengers
	$(BIN)/outfielder up

# Two processes that compute, for each loads TensorFlow, and one for tests that wait. Which stay in one process, for what
# they share, says tests/conftest.py.
PYTEST := $(BIN)/python -m pytest -n 3 --dist loadscope --no-loadscope-reorder --durations=15

test: setup  ## Every promise once (thirteen to eighteen minutes on two cores), and which tests were slowest
	$(PYTEST) -m "not exhaustive"

test-all: setup  ## All tests, with the sweeps over all combinations, more examples and programs compiled as in service; before a release (40 minutes)
	HYPOTHESIS_PROFILE=exhaustive $(PYTEST)

check: setup  ## Lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv-fuzz/.installed: tests/fuzz/schemathesis.lock
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

fuzz: setup .venv-fuzz/.installed  ## Ask for what nobody would, and see that others are served (half an hour)
	$(BIN)/python -m tests.fuzz

drill: setup  ## Kill, pause and take away what the service runs on, and count jobs and versions afterwards (half an hour)
	$(BIN)/python -m tests.drill

CLIENTS := inference mlserver timegpt

# Real clients, in environments of their own: they exclude versions that the service needs.
.venv-clients-%/.installed: tests/clients/%.lock
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

test-clients: setup $(CLIENTS:%=.venv-clients-%/.installed)  ## Run the clients of other servers against this one (2 minutes)
	$(BIN)/python -m tests.clients

format: setup  ## Mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

pretrain: setup  ## Pretrain the zero-shot model that ships in the package (5 minutes)
	$(BIN)/python -m pretraining

bench-chapter: setup  ## Train every preset as the chapter does, beside the published figures (10 to 20 minutes)
	$(BIN)/python -m benchmarks.chapter

bench-autoregression: setup  ## What 10 and 100 steps cost, against feeding the whole series again
	$(BIN)/python -m benchmarks.autoregression

bench-engines: setup  ## What an engine call costs, in TensorFlow and in ONNX Runtime, by preset and batch
	$(BIN)/python -m benchmarks.engines

SERVING_PEERS := tutorial litserve mlserver pytriton
SERVING_STAMPS := $(SERVING_PEERS:%=.venv-serving-%/.installed)

# Each peer has an environment of its own: their requirements exclude each other.
.venv-serving-%/.installed: benchmarks/serving/peers/%.lock
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

bench-serving: setup $(SERVING_STAMPS)  ## Serving beside other model servers (half an hour, 10 GB of environments; install wrk)
	$(BIN)/python -m benchmarks.serving

PEERS := .venv-peers
PEERS_STAMP := $(PEERS)/.installed

$(PEERS_STAMP): benchmarks/peers.lock
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r benchmarks/peers.lock
	@touch $@

bench-accuracy: setup $(PEERS_STAMP)  ## Train on competition series, beside Theta and AutoETS (about an hour and a half)
	$(BIN)/python -m benchmarks.accuracy --peers $(PEERS)/bin/python

bench-zero-shot: setup $(PEERS_STAMP)  ## Forecasts without training, beside Theta and AutoETS (4 minutes)
	$(BIN)/python -m benchmarks.zero_shot --peers $(PEERS)/bin/python

bench-robustness: setup  ## What one hostile series does to the others, and intermittent demand (hours)
	$(BIN)/python -m benchmarks.robustness

SERIES ?= 10000
POINTS ?= 1000

bench-large: setup  ## An upload larger than memory: sent, trained on, forecast (SERIES=100000 POINTS=1000: half an hour, 6 GB of disk)
	$(BIN)/python -m benchmarks.large_dataset --series $(SERIES) --points $(POINTS)

bench-memory: setup  ## What trainings take of memory, beside the estimate by which they are refused (15 minutes)
	$(BIN)/python -m benchmarks.memory

.venv-torch/.installed: benchmarks/training/torch.lock
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

bench-training: setup .venv-torch/.installed  ## Training beside the chapter's own way and PyTorch (an hour)
	$(BIN)/python -m benchmarks.training --torch .venv-torch/bin/python

bench-jobs: setup  ## A thousand waiting jobs on SQLite and PostgreSQL: submitted, listed, started, watched (5 minutes)
	$(BIN)/python -m benchmarks.jobs

bench-parts: setup  ## One `auto` job on two workers against one (half an hour, on an idle machine)
	$(BIN)/python -m benchmarks.parts

bench-formats: setup  ## 100,000 series as Arrow streams and as JSON (3 minutes)
	$(BIN)/python -m benchmarks.formats

bench-page: setup  ## What the page costs a browser: bytes, paint, frames, clicks (2 minutes; install Chromium)
	$(BIN)/python -m benchmarks.page

screenshots: setup  ## Take the pictures of docs/images (2 minutes; install Chromium)
	$(BIN)/python -m tests.page.screenshots

http-collection: setup  ## Write examples/outfielder.http anew from /openapi.json
	$(BIN)/python -m tests.examples.http_collection

LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate --no-emit-package outfielder-client

lock:  ## Resolve the lock files anew (needs uv); versions and hashes only
	$(LOCK) pyproject.toml --group dev --output-file requirements.lock
	$(LOCK) pyproject.toml --constraint requirements.lock --output-file requirements-runtime.lock
	$(LOCK) pyproject.toml --extra cuda12 --constraint requirements.lock --output-file requirements-gpu.lock
	$(LOCK) benchmarks/peers.in --output-file benchmarks/peers.lock
	$(LOCK) benchmarks/training/torch.in --output-file benchmarks/training/torch.lock
	$(LOCK) tests/fuzz/schemathesis.in --output-file tests/fuzz/schemathesis.lock
	for name in $(CLIENTS); do $(LOCK) tests/clients/$$name.in --output-file tests/clients/$$name.lock; done
	for peer in $(SERVING_PEERS); do $(LOCK) benchmarks/serving/peers/$$peer.in --output-file benchmarks/serving/peers/$$peer.lock; done

clean:  ## Remove the environment and caches; keeps trained models and jobs
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

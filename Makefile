# The one door. `make help` lists what it opens.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev

.PHONY: help demo test check bench gen lock clean install dev image wrapper-image

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/bin/uv: requirements/build.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt
	@touch $@

$(STAMP): $(VENV)/bin/uv requirements/base.txt pyproject.toml controlplane/__init__.py
	@echo "Installing what Quarterdeck needs into $(VENV) …"
	$(BIN)/uv pip install --quiet --python $(VENV) --compile-bytecode --require-hashes -r requirements/base.txt
	$(BIN)/uv pip install --quiet --python $(VENV) --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q controlplane hostagent wrapper gen examples
	@touch $@

$(DEV_STAMP): $(STAMP) requirements/dev.txt
	@echo "Installing what building and testing need …"
	$(BIN)/uv pip install --quiet --python $(VENV) --require-hashes -r requirements/dev.txt
	@touch $@

install: $(STAMP) ## what running needs, into .venv
dev: $(DEV_STAMP) ## what building and testing need, into .venv

demo: $(STAMP) ## install, start everything here and play: prints the page's address; Ctrl-C ends it
	@exec $(BIN)/quarterdeck up --demo

test: $(DEV_STAMP) system-packages ## all tests, on SQLite and PostgreSQL (PYTEST="-k name" narrows)
	@mkdir -p build; rm -f build/incomplete; status=0; \
	ran() { [ $$1 -eq 0 ] || [ $$1 -eq 5 ] || { status=1; [ $$1 -eq 1 ] || touch build/incomplete; }; }; \
	$(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 2 -m "not alone" --junitxml=build/parts.xml $(PYTEST); ran $$?; \
	$(BIN)/python -m pytest -m alone --junitxml=build/whole.xml $(PYTEST); ran $$?; \
	exit $$status  # most side by side, then what needs the machine to itself; 5: nothing selected, 2 and more: not all ran

image: ## the control plane's image, quarterdeck/controlplane (BASE=… another Debian, TAG=…)
	docker build $(if $(BASE),--build-arg BASE=$(BASE)) -f deploy/Dockerfile -t quarterdeck/controlplane$(if $(TAG),:$(TAG)) .

wrapper-image: ## the image that sessions in containers need on each host: quarterdeck/wrapper (BASE=… another Debian)
	docker build $(if $(BASE),--build-arg BASE=$(BASE)) -f deploy/Dockerfile.wrapper -t quarterdeck/wrapper .

bench: $(DEV_STAMP) system-packages ## figures of house, stream, bus and placement, each beside its ceiling in the same run
	$(BIN)/python -m tests.bench.house
	$(BIN)/python -m tests.bench.stream
	$(BIN)/python -m tests.bench.bus --events 2000
	$(BIN)/python -m tests.bench.allocation
	QUARTERDECK_TEST_STREAMS=12 $(BIN)/python -m pytest -q -s tests/e2e/test_many_streams.py

check: $(DEV_STAMP) ## style, types, layers, protos, gen/
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/gen.py --check --against proto/baseline.binpb.gz

gen: $(DEV_STAMP) ## gen/ from proto/
	$(BIN)/python scripts/gen.py

.PHONY: system-packages
system-packages:
	@scripts/system_packages.sh

lock: $(VENV)/bin/uv ## requirements/*.txt from *.in
	for set in build base wrapper controlplane dev; do $(BIN)/uv pip compile -q --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-header --python-version 3.11 requirements/$$set.in -o requirements/$$set.txt; done

clean: ## removes what the other targets made, but no data directory
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

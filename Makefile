# SCOT. `make demo` and `make test` do all their own set-up; see CONTRIBUTING.md for the rest.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: demo test fuzz check lint format imports types js docs bench wheel sbom clean

demo:  ## an operating room, live, in your browser; ends with Ctrl-C
	@$(PYTHON) -m tools.set_up
	@exec $(BIN)/scot demo $(ARGS)

test:  ## every test, in a real browser too; make test ARGS='-k replay'
	@$(PYTHON) -m tools.set_up test browser
	$(BIN)/python -m pytest $(ARGS)

fuzz:  ## every reader of foreign bytes, a minute each; make fuzz ARGS='--seconds 600 desk'
	@$(PYTHON) -m tools.set_up test
	$(BIN)/python -m tests.fuzz $(ARGS)

check: lint imports types js test docs  ## what CI checks, except the built wheel

lint:
	@$(PYTHON) -m tools.set_up test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format:  ## put the code in form and repair what can be repaired
	@$(PYTHON) -m tools.set_up test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

imports:
	@$(PYTHON) -m tools.set_up test
	$(BIN)/lint-imports --no-logo

types:
	@$(PYTHON) -m tools.set_up test
	$(BIN)/mypy

js:
	@$(PYTHON) -m tools.set_up test
	$(BIN)/python -m tools.js_types

docs:  ## the documentation, in docs/_build/html; make docs ARGS='-t source' with the code beside it
	@$(PYTHON) -m tools.set_up test docs
	$(BIN)/sphinx-build -q -W --keep-going -b html $(ARGS) docs docs/_build/html

bench:  ## the figures of benchmarks/ beside their peers, on a quiet machine; make bench ARGS=latency
	@$(PYTHON) -m tools.set_up test bench
	@$(BIN)/python -m benchmarks $(ARGS)

wheel:  ## the package and its bill of materials, in dist/
	@$(PYTHON) -m tools.set_up test
	rm -rf dist
	$(BIN)/python -m build --wheel --outdir dist . >/dev/null
	$(BIN)/python -m tools.sbom
	@ls -l dist

sbom:  ## what is in a release, bundled libraries too, in dist/ as CycloneDX
	@$(PYTHON) -m tools.set_up test
	$(BIN)/python -m tools.sbom

clean:  ## all that was built or installed here
	rm -rf .venv build dist docs/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

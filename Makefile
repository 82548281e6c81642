# `make demo` and `make test` need Python 3.11 or newer and nothing else: they make an environment in
# .venv, install into it what constraints.txt pins, and then work without a network.

PYTHON ?= python3
RUN := .venv/bin/python -m

.PHONY: demo test test-slow check format docs speed clean

demo: .venv/.installed
	$(RUN) mvadapter demo --output demo

test: .venv/.installed-dev
	$(RUN) pytest -m "not slow" -n 2 --dist loadscope

test-slow: .venv/.installed-dev
	$(RUN) pytest -m slow

check: .venv/.installed-dev
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	.venv/bin/python -c "from importlinter.cli import lint_imports_command; lint_imports_command()"
	$(RUN) sphinx -W -q -b html docs docs/_build/html

format: .venv/.installed-dev
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

docs: .venv/.installed-dev
	$(RUN) sphinx -W -q -b html docs docs/_build/html

speed: .venv/.installed
	.venv/bin/python speed/run.py

clean:
	rm -rf .venv demo docs/_build

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'mvadapter needs Python 3.11 or newer, this is ' + sys.version.split()[0] + '; name another with make PYTHON=...')"
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	$(RUN) pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[train,report]"
	touch .venv/.installed

.venv/.installed-dev: .venv/.installed
	$(RUN) pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch .venv/.installed-dev

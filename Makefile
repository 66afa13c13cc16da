# The commands of a checkout. `make` lists them.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
SHELL_SCRIPTS = $(shell find . \( -name .git -o -name .venv -o -name var -o -name node_modules \) -prune \
	-o -type f -exec awk 'FNR == 1 && /^\#!.*sh$$/ { print FILENAME } { nextfile }' {} +)
LONG := year or lives
WAITING := shell or ssh or queue or browser or demo or quick

.PHONY: help install demo serve test units faults soak lint types format lock

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

install: .venv/.installed ## make the virtual environment, when requirements.txt changed

.venv/.installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed.")'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || sh tests/install_system_packages.sh python3-venv
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

demo: install ## a fleet of real sites, upgraded and served (SERVE=0, RESET=1, PORT=8000)
	@$(BIN)/python manage.py demo $(if $(filter 0 no,$(SERVE)),--no-serve) $(if $(filter 1 yes,$(RESET)),--reset) \
		$(if $(PORT),--port $(PORT))

serve: install ## the dashboard and its workers (PORT=8000)
	@$(BIN)/python manage.py migrate --verbosity 0
	@$(BIN)/python manage.py serve $(if $(PORT),--port $(PORT))

test: install ## every test: units, PostgreSQL, real SSH, real browser
	@sh tests/install_system_packages.sh
	$(MAKE) --no-print-directory units
	$(BIN)/pytest -n 2 -m "$(LONG)"
	$(BIN)/pytest -n 4 --dist loadfile -m "$(WAITING)"

units: install ## the tests that need no server, browser or worker
	$(BIN)/pytest -n 2 -m "not ($(LONG) or $(WAITING) or faults or soak)"

faults: install ## every fault at every moment of an upgrade, on a real SSH server (as root: with dropped packets)
	@sh tests/install_system_packages.sh
	$(BIN)/pytest -n 2 -m faults

soak: install ## hundreds of upgrades while something is killed every second or two (N=200, SEED=…)
	@sh tests/install_system_packages.sh
	SOAK_UPGRADES=$(N) SOAK_SEED=$(SEED) $(BIN)/pytest -s -m soak

lint: install ## everything that reads the code without running it
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/djlint templates --lint --quiet
	$(BIN)/lint-imports --no-logo
	$(BIN)/shellcheck $(SHELL_SCRIPTS)
	$(BIN)/python manage.py makemigrations --check --dry-run
	RELEASEMGR_HTTPS=yes $(BIN)/python manage.py check --deploy --fail-level ERROR
	$(BIN)/mypy

types: install ## mypy
	$(BIN)/mypy

format: install ## put code and templates into shape
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format .

lock: install ## write requirements.txt anew from pyproject.toml
	$(BIN)/pip-compile --quiet --generate-hashes --extra dev --strip-extras --allow-unsafe --no-header \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options \
		--output-file requirements.txt pyproject.toml

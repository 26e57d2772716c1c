# SPDX-License-Identifier: GPL-2.0-only
# `make demo`: proactive reclaim on the simulated machine. `make test`: everything, guest tests included.
# Both do all set-up themselves. `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SOURCES := $(wildcard damon/native/src/*.[ch] damon/native/src/workload/*.[ch])
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
PACKAGES := $(shell sed -n 's/^\([a-z0-9][a-z0-9.+-]*\).*/\1/p' images/packages.txt)
PACKAGES_ARM64 := $(shell sed -n 's/^\([a-z0-9][a-z0-9.+-]*\).*/\1/p' images/packages-arm64.txt)
# Tests start hundreds of programs: each would compile all its modules again.
unexport PYTHONDONTWRITEBYTECODE
PYTEST_FLAGS ?=
OUTCOMES := build/outcomes.json
NORMAL := -q -n 4 --dist loadfile --no-loadscope-reorder --durations=20 --ignore=tests/rules

.PHONY: dist docs docs-images docs-images-vm share help build system demo demo-vm test test-long test-debug test-arm64 test-fast features lint bench fuzz clean sanitize

help:
	@echo "make demo     proactive reclaim on the simulated machine: no root, no guest"
	@echo "make test     everything, guest tests included (installs system packages, builds kernel and image once)"
	@echo "make test-long  what is too long for each run: hours; PARTS=\"soak boots\" for some (docs/explanation/testing.md)"
	@echo "make test-debug  the core tests in a kernel with debug information (builds it)"
	@echo "make test-arm64  the core tests in arm64 guests (installs a cross compiler and QEMU for it, builds a second kernel)"
	@echo "make demo-vm  proactive reclaim on real page tables, in a guest"
	@echo "make lint     formatting, types, import rules, spelling, words, length of functions, warnings of the C compiler"
	@echo "make bench    benchmarks: ratios measured side by side"
	@echo "make fuzz     an hour (FUZZ_SECONDS) of damaged and hostile input for every parser; what fails is kept in tests/fuzz/failures"
	@echo "make sanitize  the C helpers under AddressSanitizer and UBSan, SEEDS (1000) random machines and contexts"
	@echo "make test-fast  only what needs no guest"
	@echo "make docs     the pages as HTML, in build/docs; a warning is an error"
	@echo "make docs-images  the pictures of the pages, from runs on the simulated machine"
	@echo "make docs-images-vm  the pictures that show real page tables, from runs in a guest of Linux 7.3"
	@echo "make dist     sdist and wheel, in dist/; the wheel is built from the sdist"
	@echo "make share    man pages, completions and pages of commands, from the commands' parsers"
	@echo "make features  docs/reference/features.md: what works where, from the last 'make test'"

# python3-venv is not part of Debian's python3; without root, say so and stop.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than 3.11: give a newer one, e.g. make PYTHON=python3.12" >&2; exit 3; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || $(SUDO) apt-get install -qq -y python3-venv >/dev/null || \
		{ echo "python3-venv is missing: apt-get install python3-venv" >&2; exit 3; }
	@$(PYTHON) -m venv $(VENV)

$(STAMP): $(BIN)/python pyproject.toml setup.py $(SOURCES)
	@echo "setting up $(VENV) ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check "setuptools>=77"
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install -q --disable-pip-version-check -e ".[vmtest,dev]"
	@touch $@

build: $(STAMP)

# Only what is missing is installed, and only then is root asked for.
system:
	@missing=""; for p in $(PACKAGES); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q "ok installed" || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then echo "installing system packages:$$missing"; \
	$(SUDO) apt-get update -qq && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -qq -y --no-install-recommends $$missing >/dev/null; fi

demo: $(STAMP)
	@$(BIN)/python -m damon.cli.demo

demo-vm: $(STAMP) system
	@$(BIN)/vmtest build kernel
	@$(BIN)/vmtest build image
	@$(BIN)/python -m pytest $(PYTEST_FLAGS) -q -s -p no:xdist tests/vm/test_main_job.py -k reclaim

# The helper, the workload program, and the C that tests compile; damon/kernel/shim is compiled against kernel trees.
# What is for arm64 only is compiled where its compiler is installed (images/packages-arm64.txt).
C_SOURCES = $(wildcard benchmarks/*.c damon/native/src/*.c damon/native/src/workload/*.c vmtest/truth/*.c tests/*/*.c)
C_FILES = $(C_SOURCES) $(wildcard damon/native/src/*.h damon/native/src/workload/*.h vmtest/truth/*.h damon/kernel/shim/*.[ch] damon/kernel/shim/standin/*.h)
lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/codespell
	@$(BIN)/clang-format --dry-run -Werror $(C_FILES)
	@for cc in $(CC) $$(command -v aarch64-linux-gnu-gcc); do \
	for file in $(C_SOURCES); do $$cc -std=gnu11 -O1 -Wall -Wextra -Werror -c -o /dev/null $$file || exit; done; done
	@$(BIN)/python -m tests.shim_warnings
	@$(BIN)/python -m pytest -q -p no:xdist tests/rules

test-fast: $(STAMP)
	@$(BIN)/python -m pytest $(PYTEST_FLAGS) $(NORMAL) -m "not long" --ignore=tests/vm

# Four files at a time, those with guests first: while one waits, two processors stay busy. A guest test that cannot run
# is a failure here, not a skip.
test: $(STAMP) system
	@$(BIN)/vmtest build kernel
	@$(BIN)/vmtest build kernel page-idle-no-damon
	@$(BIN)/vmtest build image
	@rm -f $(OUTCOMES)
	@VMTEST_REQUIRED=1 $(BIN)/python -m pytest $(PYTEST_FLAGS) $(NORMAL) -m "not long and not arm64" --outcomes $(OUTCOMES)
	@echo "NOT RUN here: what takes long, guests of arm64 among it: make test-long (docs/explanation/testing.md says when it last ran)"

# One after the other, to the end; the exit code is 1 when any part failed.
test-long: $(STAMP) system
	@$(BIN)/vmtest build kernel
	@$(BIN)/vmtest build kernel page-idle-no-damon
	@$(BIN)/vmtest build image
	@$(BIN)/python -m tests.long $(PARTS)

# The same tests on another architecture, and what only concerns it.
CORE_TESTS := tests/vm/test_boot.py tests/vm/test_linux_mm.py tests/vm/test_workload.py tests/vm/test_main_job.py
test-debug: $(STAMP) system
	@$(BIN)/vmtest build kernel page-idle-debug
	@$(BIN)/vmtest build image
	@VMTEST_REQUIRED=1 $(BIN)/python -m pytest $(PYTEST_FLAGS) $(NORMAL) -m "not long and not arm64" --guest-kernel page-idle-debug $(CORE_TESTS)

test-arm64: PACKAGES += $(PACKAGES_ARM64)
test-arm64: $(STAMP) system
	@$(BIN)/vmtest build kernel page-idle-arm64
	@$(BIN)/vmtest build image --arch arm64
	@VMTEST_REQUIRED=1 $(BIN)/python -m pytest $(PYTEST_FLAGS) -q -p no:xdist --guest-kernel page-idle-arm64 \
		tests/vm/test_arm64.py $(CORE_TESTS)

# docs/reference/features.md from the outcomes of the last `make test`.
features: $(STAMP)
	@$(BIN)/python -m tests.features $(OUTCOMES)

share: $(STAMP)
	@$(BIN)/python -m share.generate

docs: $(STAMP)
	@$(BIN)/sphinx-build -q -W --keep-going -b html docs build/docs
	@echo "build/docs/index.html"

docs-images: $(STAMP)
	@$(BIN)/python -m share.images

docs-images-vm: $(STAMP) system
	@$(BIN)/vmtest build kernel
	@$(BIN)/vmtest build image
	@$(BIN)/python -m benchmarks.heatmaps

# auditwheel names the oldest C library that the wheel runs on, and refuses one that needs others.
dist: $(STAMP)
	@rm -rf dist build/dist
	@$(BIN)/python -m build --outdir build/dist .
	@mkdir -p dist && cp build/dist/*.tar.gz dist/
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/auditwheel repair --wheel-dir dist build/dist/*.whl
	@ls -l dist

bench: $(STAMP)
	@for b in benchmarks/bench_*.py; do echo "== $$b"; $(BIN)/python -m benchmarks.$$(basename $$b .py) || exit; done

# A random seed, two processes. `make test` has a fixed number of inputs and replays what failed before.
FUZZ_SECONDS ?= 3600
fuzz: $(STAMP)
	@$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

# C helpers that check themselves. `make test` plays a few of the seeds.
SEEDS ?= 1000
sanitize: $(STAMP)
	@$(BIN)/python -m tests.sanitize $(SEEDS)

clean:
	rm -rf $(VENV) build dist *.egg-info damon/native/libdamon.so damon/native/bin

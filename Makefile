# What the README names. Every target installs what it needs first (tests/setup/packages.txt).
.PHONY: demo test lint bench hw-test setup fmt
SHELL := /bin/bash
CARGO ?= cargo

setup:
	@tests/setup/install.sh

## demo: one controller and two nodes on loopback; CHECK=1 walks the main job and exits
demo: setup
	@$(CARGO) build --quiet --workspace --bins
	@$(CARGO) run --quiet -p headend-tests --bin demo -- $(if $(CHECK),--check)

## test: every test of every package
test: setup
	@$(CARGO) build --quiet --workspace --bins
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
	    $(CARGO) nextest run --workspace --no-fail-fast && $(CARGO) test --workspace --doc --quiet; \
	else \
	    $(CARGO) test --workspace --no-fail-fast; \
	fi

## lint: formatting, clippy with warnings as errors, dependency rules
lint:
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings
	@if command -v cargo-deny >/dev/null; then cargo-deny check bans licenses sources; \
	 else echo "lint: cargo-deny is not installed; its bans are also checked by tests/tests/tidy.rs"; fi

## bench: packaging beside ffmpeg on the same input, in one run
bench: setup
	@$(CARGO) build --quiet --release -p headend-node
	@$(CARGO) run --quiet -p headend-tests --bin bench

## hw-test: the kernel's DVB API and PC/SC in a virtual machine; HEADEND_BENCH=FILE takes real hardware
hw-test: setup
	@tests/setup/install.sh hw-tests/setup/packages.txt
	@$(CARGO) build --quiet -p headend-node -p headend-hw-tests
	@$(CARGO) run --quiet -p headend-hw-tests --bin hw-host

fmt:
	@$(CARGO) fmt --all

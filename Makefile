# What the README names. Every target installs what it needs first (tests/setup/packages.txt).
.PHONY: demo test lint bench fuzz hw-test setup fmt
SHELL := /bin/bash
CARGO ?= cargo

setup:
	@tests/setup/install.sh

## demo: one controller and two nodes on loopback; CHECK=1 walks the main job and exits
demo: setup
	@$(CARGO) build --quiet --workspace --bins
	@$(CARGO) run --quiet --bin demo -- $(if $(CHECK),--check)

## test: every test of every package
test: setup
	@$(CARGO) build --quiet --workspace --bins
	@$(CARGO) test --quiet -p headend-dvb-sys --features regenerate --test regenerate
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

## bench: packaging beside ffmpeg, a captured multiplex with its viewers, descrambling beside Debian's libdvbcsa
bench: setup
	@$(CARGO) build --quiet --release -p headend-node
	@$(CARGO) run --quiet --bin bench
	@$(CARGO) bench --quiet -p headend-csa --bench csa

## fuzz: each target of tests/fuzz for SECS seconds (60); needs `cargo install cargo-fuzz`
fuzz:
	@for target in $$(cargo fuzz list --fuzz-dir tests/fuzz); do \
	    RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run --fuzz-dir tests/fuzz --sanitizer none $$target -- \
	        -max_total_time=$(or $(SECS),60) -max_len=65536 -timeout=10 -rss_limit_mb=1024 || exit 1; \
	done

## hw-test: the kernel's DVB API and PC/SC in a virtual machine; HEADEND_BENCH=FILE takes real hardware
hw-test: setup
	@tests/setup/install.sh hw-tests/setup/packages.txt
	@$(CARGO) build --quiet --bin headend-node --bin hw-guest --bin hw-host
	@$(CARGO) run --quiet --bin hw-host

fmt:
	@$(CARGO) fmt --all

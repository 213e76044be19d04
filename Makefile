# divvy: build the filter, try it in a real Envoy, test it. `make` lists the targets.
#
# Works with GNU make 3.81 (macOS) and newer, needs rustup and Python 3 with pip.

# Envoy that is fetched where ENVOY does not name one; envoy/fetch pins the hashes.
ENVOY_VERSION ?= 1.40.0
MATRIX := 1.36.4 1.37.0 1.38.2 1.39.3 1.40.0
OLDEST := $(firstword $(MATRIX))
FUNC_E_VERSION := v1.6.0
CARGO_FUZZ_VERSION := 0.13.2

WASM_TARGET := wasm32-wasip1
WASM := target/divvy.wasm
CARGO_TARGET := $(or $(CARGO_TARGET_DIR),target)
# CI builds what is committed; elsewhere a new dependency may change the lock file.
LOCKED := $(if $(CI),--locked)

FETCHED_ENVOY := target/envoy/$(ENVOY_VERSION)/envoy
# For the demo and the tests, wherever they run. With ENVOY given, nothing is fetched.
WITH_ENVOY = ENVOY='$(abspath $(or $(ENVOY),$(FETCHED_ENVOY)))'
NEEDS_ENVOY := $(if $(ENVOY),,$(FETCHED_ENVOY))

BUILT_FUNC_E := target/func-e/func-e
FUNC_E = $(or $(shell command -v func-e),$(BUILT_FUNC_E))

# The image, and a whole Istio to try it on; tests/istio/go.mod pins its versions.
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
IMAGE_LAYOUT := target/image
LAB := target/istio
LAB_BIN := $(LAB)/bin

PARTS := test-format test-lints test-lints-wasm test-lints-fuzz test-unit test-cli test-host test-lab test-envoy

# What is instrumented for fuzzing stays apart from everything else that is built.
CARGO_FUZZ := target/fuzz/cargo-fuzz-$(CARGO_FUZZ_VERSION)/bin/cargo-fuzz
FUZZ_TARGETS := $(basename $(notdir $(wildcard tests/fuzz/src/bin/*.rs)))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: help build install image push lab test-istio run-istio envoy run check run-func-e demo run-built tour-built test $(PARTS) test-matrix test-demo soak \
  bench probes guardrail-table fuzz build-fuzz ci fmt clean toolchain

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo 'ENVOY=/path takes that Envoy, ENVOY_VERSION=$(ENVOY_VERSION) fetches another one,'
	@echo 'CONFIG=file makes the demo shop serve and watch that file, FUZZ_SECONDS=3600 fuzzes longer,'
	@echo 'PREFIX=/path installs the command line there, in bin,'
	@echo 'make fuzz-TARGET runs one of: $(FUZZ_TARGETS).'

build: $(WASM) ## the deployable filter: target/divvy.wasm

# Cargo looks for itself whether something changed; the list spares even that, and
# keeps the file's time when nothing did. The toolchain is no reason to rebuild.
# The command line is no part of the filter.
SOURCES := $(shell find src -path src/cli -prune -o \( -name '*.rs' -o -name Cargo.toml \) -print) Cargo.toml Cargo.lock rust-toolchain.toml

# The same bytes on every machine: where a panic came from is told without its folders.
# The stack ends 64 KiB before the end of its MiB, and the data that comes behind it has
# addresses which take a byte less each.
WASM_FLAGS = target.$(WASM_TARGET).rustflags = [ \
  "--remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo", "-Clink-arg=-zstack-size=983040"]

$(WASM): $(SOURCES) | toolchain
	cargo build $(LOCKED) --package divvy --lib --release --target $(WASM_TARGET) --config '$(WASM_FLAGS)'
	cargo build $(LOCKED) --package divvy-slim
	@mkdir -p $(@D)
	$(CARGO_TARGET)/debug/divvy-slim $(CARGO_TARGET)/$(WASM_TARGET)/release/divvy.wasm $@

install: toolchain ## the command line: divvy, into cargo's folder, or below PREFIX=/path
	cargo install --locked --path src/cli $(if $(PREFIX),--root '$(PREFIX)')

# What rust-toolchain.toml asks for. Said in arguments, because a rustup before 1.28 does not
# read the file here, and a newer one may be told not to install anything unasked.
toolchain:
	@command -v rustup >/dev/null || \
	  { echo 'make: rustup is missing: install it (see rustup.rs), open a new shell, try again' >&2; exit 1; }
	@[ "$$(rustup component list --installed 2>/dev/null | \
	    grep -c -e '^rust-std-$(WASM_TARGET)' -e '^clippy' -e '^rustfmt')" = 3 ] || \
	  rustup toolchain install "$$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)" \
	    --profile minimal --component clippy --component rustfmt --target $(WASM_TARGET) --no-self-update

image: $(IMAGE_LAYOUT)/index.json ## an OCI image of the filter: target/image; prints its digest
	@sed 's/.*"digest":"\([^"]*\)".*/\1/' $<

$(IMAGE_LAYOUT)/index.json: $(WASM) istio/image.py LICENSE Cargo.toml
	@python3 istio/image.py $(WASM) LICENSE '$(VERSION)' $(@D) >/dev/null

push: $(IMAGE_LAYOUT)/index.json $(LAB_BIN)/crane ## push the image: make push IMAGE=host/repository:tag
	@[ -n '$(IMAGE)' ] || { echo 'make: whereto? make push IMAGE=host/repository:tag' >&2; exit 1; }
	@$(LAB_BIN)/crane push $(IMAGE_LAYOUT) '$(IMAGE)'

envoy: $(FETCHED_ENVOY) ## fetch the pinned Envoy

target/envoy/%/envoy:
	@python3 envoy/fetch/fetch.py $*

run: run-built ## the demo shop on 127.0.0.1:10000; Ctrl-C stops it
	@exec env $(WITH_ENVOY) $(CARGO_TARGET)/debug/divvy-demo $(if $(CONFIG),--config '$(CONFIG)')

check: run-built ## does Envoy take CONFIG=file? Starts, asks, stops
	@exec env $(WITH_ENVOY) $(CARGO_TARGET)/debug/divvy-demo --check $(if $(CONFIG),--config '$(CONFIG)')

run-func-e: run-built $(FUNC_E) ## the same, Envoy started by func-e
	@exec env $(WITH_ENVOY) $(CARGO_TARGET)/debug/divvy-demo --func-e '$(abspath $(FUNC_E))' $(if $(CONFIG),--config '$(CONFIG)')

demo: tour-built ## a guided tour in the terminal, two minutes; DEMO_FAST=1 for one
	@exec env $(WITH_ENVOY) $(CARGO_TARGET)/debug/divvy-tour $(if $(SVG),--svg '$(SVG)')

# Before anything runs, so that whoever waits for it waits for it alone.
run-built: $(WASM) $(NEEDS_ENVOY)
	cargo build $(LOCKED) --package divvy-demo --bin divvy-demo --no-default-features

tour-built: $(WASM) $(NEEDS_ENVOY)
	cargo build $(LOCKED) --package divvy-demo --bin divvy-tour

$(BUILT_FUNC_E):
	@command -v go >/dev/null || \
	  { echo 'make: func-e is missing, and so is Go, which could build it: install one of them' >&2; exit 1; }
	GOBIN='$(abspath $(@D))' go install github.com/tetratelabs/func-e/cmd/func-e@$(FUNC_E_VERSION)

test: toolchain ## formatting, lints, every test; sums up at the end
	@.ci/parts $(PARTS)

test-format: toolchain ## is everything as cargo fmt leaves it?
	cargo fmt --all --check
	cargo fmt --manifest-path tests/fuzz/Cargo.toml --check

test-lints: toolchain ## clippy on everything that runs on this machine
	cargo clippy $(LOCKED) --workspace --all-targets -- -D warnings

test-lints-wasm: toolchain ## clippy on the filter as WebAssembly
	cargo clippy $(LOCKED) --package divvy --lib --target $(WASM_TARGET) -- -D warnings
	cargo clippy $(LOCKED) --package divvy-bench --examples --target $(WASM_TARGET) -- -D warnings

test-lints-fuzz: toolchain ## clippy on the fuzz targets, which are a workspace of their own
	cargo clippy $(LOCKED) --manifest-path tests/fuzz/Cargo.toml --target-dir $(CARGO_TARGET) \
	  --no-default-features -- -D warnings

test-unit: toolchain ## the core and the tools, doc tests included
	cargo test $(LOCKED) --no-fail-fast --package divvy --package divvy-slim

test-cli: toolchain ## the command line, as a person would use it
	cargo test $(LOCKED) --no-fail-fast --package divvy-cli

test-host: $(WASM) ## the built filter in a host of our own
	cargo test $(LOCKED) --no-fail-fast --package divvy-host-tests

test-lab: $(WASM) $(NEEDS_ENVOY) probes ## what the Envoy tests and the demo stand on; the bench in small
	$(WITH_ENVOY) cargo test $(LOCKED) --no-fail-fast --package divvy-lab --package divvy-demo \
	  --package divvy-bench

test-envoy: $(WASM) $(NEEDS_ENVOY) ## the built filter in a real Envoy
	$(WITH_ENVOY) cargo test $(LOCKED) --no-fail-fast --package divvy-envoy-tests

lab: $(LAB)/ready ## build a whole Istio below target/istio: needs Go 1.26, takes minutes

# Files of Istio's and the Gateway API's modules that no program brings along.
$(LAB)/ready: tests/istio/go.mod tests/istio/go.sum
	@command -v go >/dev/null || { echo 'make: Go is missing, which builds Istio: install 1.26 or newer' >&2; exit 1; }
	@go version | awk '{ split(substr($$3, 3), v, "."); exit !(v[1] > 1 || v[2] >= 26) }' || \
	  { echo "make: Istio needs Go 1.26 or newer, this is $$(go version)" >&2; exit 1; }
	@mkdir -p $(LAB_BIN)
	cd tests/istio && GOFLAGS=-mod=readonly GOTOOLCHAIN=local go build -buildvcs=false -ldflags='-s -w' -o '$(abspath $(LAB_BIN))/' tool
	@mv $(LAB_BIN)/server $(LAB_BIN)/etcd
	@cd tests/istio && istio=$$(go list -m -f '{{.Dir}}' istio.io/istio) && \
	  gateway=$$(go list -m -f '{{.Dir}}' sigs.k8s.io/gateway-api) && cd '$(abspath $(LAB))' && \
	  cat "$$istio/manifests/charts/base/files/crd-all.gen.yaml" >crds.yaml && \
	  cat "$$istio/tools/packaging/common/envoy_bootstrap.json" >envoy_bootstrap.json && \
	  awk 'FNR == 1 { print "---" } { print }' "$$gateway"/config/crd/standard/*_[a-u]*.yaml >gateway-api.yaml
	@touch $@

# For those who push and want no lab: this one takes seconds.
$(LAB_BIN)/crane: tests/istio/go.mod
	@command -v go >/dev/null || { echo 'make: Go is missing, which builds crane: install 1.26 or newer, or push $(IMAGE_LAYOUT) with another tool' >&2; exit 1; }
	@mkdir -p $(@D)
	cd tests/istio && GOFLAGS=-mod=readonly GOTOOLCHAIN=local go build -buildvcs=false -ldflags='-s -w' -o '$(abspath $@)' github.com/google/go-containerregistry/cmd/crane

test-istio: $(IMAGE_LAYOUT)/index.json $(LAB)/ready $(NEEDS_ENVOY) ## the files of istio/ on a real Istio
	$(WITH_ENVOY) cargo test $(LOCKED) --package divvy-istio-tests

run-istio: $(IMAGE_LAYOUT)/index.json $(LAB)/ready $(NEEDS_ENVOY) ## the shop on a real Istio, to try with kubectl; Ctrl-C ends it
	cargo build $(LOCKED) --package divvy-istio-tests
	@exec env $(WITH_ENVOY) $(CARGO_TARGET)/debug/divvy-istio-demo

test-matrix: toolchain ## the Envoy tests on every supported minor version
	@.ci/parts $(MATRIX:%=test-envoy-%)

test-envoy-%:
	@$(MAKE) --no-print-directory test-envoy ENVOY= ENVOY_VERSION=$*

test-demo: ## the demos as a person would use them
	@.ci/demo
	@.ci/tour

test-demo-%:
	@ENVOY= ENVOY_VERSION=$* .ci/demo

soak: $(WASM) $(NEEDS_ENVOY) ## the long versions of the tests
	DIVVY_SOAK=1 $(WITH_ENVOY) cargo test $(LOCKED) --no-fail-fast \
	  --package divvy --package divvy-host-tests --package divvy-envoy-tests -- --include-ignored

# Yardsticks for the bench: filters written by hand, and with the SDK alone.
probes: toolchain
	cargo build $(LOCKED) --package divvy-bench --examples --target $(WASM_TARGET) --profile probes

bench: $(WASM) $(NEEDS_ENVOY) probes ## what a request costs, in rounds: ten minutes of a quiet Linux machine
	cargo build $(LOCKED) --package divvy-bench --profile bench
	@exec env $(WITH_ENVOY) $(CARGO_TARGET)/release/divvy-bench

guardrail-table: toolchain ## computes and checks the tables of envoy/docs/GUARDRAIL.md
	cargo test $(LOCKED) --package divvy --test core -- --ignored --nocapture the_tables

export FUZZ_SECONDS FUZZ_JOBS
fuzz: build-fuzz ## every fuzz target for a minute, two at a time
	@python3 tests/fuzz/run.py $(FUZZ_TARGETS)

fuzz-%: build-fuzz
	@python3 tests/fuzz/run.py $*

# Safe Rust has nothing for an address sanitizer to find, and without one the pinned stable
# toolchain will do.
build-fuzz: $(CARGO_FUZZ)
	$(CARGO_FUZZ) build --sanitizer none --fuzz-dir tests/fuzz --target-dir target/fuzz/build

$(CARGO_FUZZ): | toolchain
	cargo install --locked --root '$(patsubst %/bin/,%,$(dir $@))' --version $(CARGO_FUZZ_VERSION) cargo-fuzz

ci: ## all that has to pass before a change lands
	@.ci/parts build test-demo test-demo-$(OLDEST) $(PARTS) test-istio test-envoy-$(OLDEST) fuzz

fmt: toolchain ## format everything
	cargo fmt --all
	cargo fmt --manifest-path tests/fuzz/Cargo.toml

clean: ## remove all that was built and fetched
	rm -rf target

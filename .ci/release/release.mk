# A release: its files, their verification, and the tools for both. RELEASING.md explains it.

DIST ?= dist
CYCLONEDX_VERSION := 0.5.9
ABOUT_VERSION := 0.9.3
DENY_VERSION := 0.20.2
RELEASE_BIN := target/release-tools/bin
COSIGN := $(RELEASE_BIN)/cosign
HELM := $(RELEASE_BIN)/helm
# Nothing is sent to a public log: the key is the caller's.
OFFLINE := --signing-config .ci/release/signing.json

release: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null)
release: export SOURCE_COMMIT ?= $(shell git rev-parse HEAD 2>/dev/null)$(if $(shell git status --porcelain 2>/dev/null),-changed)

# Parts of `make ci-full`.
RELEASE_PARTS := test-licences test-chart test-release

.PHONY: release verify-release sign-image static-cli release-cli test-release test-licences test-advisories notices test-chart helm cosign

# Static, so that it runs on every Linux and alone in an image. Needs libc.a: libc6-dev on Debian, glibc-static on Fedora.
STATIC_TARGET := $(shell uname -m)-unknown-linux-gnu
STATIC_CLI := $(CARGO_TARGET)/$(STATIC_TARGET)/release/divvy
REMAPPED := $(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo
STATIC_FLAGS = target.$(STATIC_TARGET).rustflags = [ \
  "-Ctarget-feature=+crt-static", "--remap-path-prefix=$(REMAPPED)", "--remap-path-prefix=$(CURDIR)=/divvy"]

# The program of this machine: macOS has no static C library.
RELEASE_CLI := $(if $(filter Linux,$(shell uname -s)),$(STATIC_CLI),$(CARGO_TARGET)/release/divvy)

BUILD_CLI = CFLAGS='-ffile-prefix-map=$(REMAPPED) -ffile-prefix-map=$(CURDIR)=/divvy' \
  cargo build --locked --package divvy-cli --release $(if $(filter Linux,$(shell uname -s)),--target $(STATIC_TARGET) --config '$(STATIC_FLAGS)')

static-cli: toolchain
	$(BUILD_CLI)

# With the page of `divvy ui`, which the image does not need.
release-cli: $(PAGE)/index.html | toolchain
	$(BUILD_CLI) --features page

release: $(WASM) $(NATIVE) release-cli $(RELEASE_BIN)/cargo-cyclonedx $(if $(COSIGN_KEY),$(COSIGN)) ## write a release to dist/: make release COSIGN_KEY=cosign.key signs it
	@[ -n '$(SOURCE_DATE_EPOCH)' ] && [ -n '$(SOURCE_COMMIT)' ] || \
	  { echo 'make: set SOURCE_DATE_EPOCH and SOURCE_COMMIT: this is not a clone of the repository' >&2; exit 1; }
	@CLI='$(abspath $(RELEASE_CLI))' MODULE='$(abspath $(NATIVE))' CLI_TARGET="$$(rustc -vV | sed -n 's/^host: //p')" TOOLS='$(abspath $(RELEASE_BIN))' \
	  python3 .ci/release/assemble.py '$(DIST)' '$(VERSION)'
ifdef COSIGN_KEY
	$(COSIGN) sign-blob --yes --key '$(COSIGN_KEY)' $(OFFLINE) --bundle '$(DIST)/SHA256SUMS.sigstore.json' '$(DIST)/SHA256SUMS' >/dev/null
	@echo 'signed: $(DIST)/SHA256SUMS.sigstore.json'
else
	@echo 'NOT SIGNED: anyone can make such files. Sign them with make release COSIGN_KEY=cosign.key'
endif
	@cd '$(DIST)' && ls -l

verify-release: $(if $(wildcard $(DIST)/SHA256SUMS.sigstore.json),$(COSIGN)) ## verify a release: make verify-release DIST=folder COSIGN_PUB=cosign.pub
	@if [ ! -f '$(DIST)/SHA256SUMS.sigstore.json' ]; then \
	  [ -z '$(COSIGN_PUB)' ] || { echo 'make: $(DIST) has no signature, although COSIGN_PUB is given' >&2; exit 1; }; \
	  echo 'NOT SIGNED: nothing shows who made these files'; \
	elif [ -z '$(COSIGN_PUB)' ]; then \
	  echo 'make: $(DIST) is signed: give the public key, COSIGN_PUB=cosign.pub' >&2; exit 1; \
	else \
	  $(COSIGN) verify-blob --key '$(COSIGN_PUB)' --bundle '$(DIST)/SHA256SUMS.sigstore.json' --insecure-ignore-tlog '$(DIST)/SHA256SUMS'; \
	fi
	@cd '$(DIST)' && sha256sum --check --strict --quiet SHA256SUMS
	@python3 .ci/release/verify.py '$(DIST)'

sign-image: $(COSIGN) $(LAB_BIN)/crane ## sign a pushed image: make sign-image IMAGE=host/repository:tag COSIGN_KEY=cosign.key
	@[ -n '$(IMAGE)' ] && [ -n '$(COSIGN_KEY)' ] || \
	  { echo 'make: IMAGE or COSIGN_KEY is missing: make sign-image IMAGE=host/repository:tag COSIGN_KEY=cosign.key' >&2; exit 1; }
	@$(COSIGN) sign --yes --key '$(COSIGN_KEY)' $(OFFLINE) "$$($(LAB_BIN)/crane digest --full-ref '$(IMAGE)')"

test-release: $(COSIGN) $(LAB_BIN)/crane ## make a signed release twice, in two folders, and verify it as a stranger
	@python3 .ci/release/test.py

# Advisories need their database, which a build without a network cannot have: test-advisories.
test-licences: $(RELEASE_BIN)/cargo-deny $(RELEASE_BIN)/cargo-about ## licences and sources of all crates, and the notices
	$(RELEASE_BIN)/cargo-deny --locked --offline check licenses bans sources
	$(RELEASE_BIN)/cargo-deny --locked --offline --manifest-path tests/fuzz/Cargo.toml --config deny.toml check licenses sources
	@$(MAKE) --no-print-directory notices NOTICES=target/notices
	@cmp target/notices/filter.txt istio/THIRD-PARTY.txt && cmp target/notices/cli.txt src/cli/THIRD-PARTY.txt && cmp target/notices/module.txt src/module/THIRD-PARTY.txt || \
	  { echo 'make: the notices are about other crates: make notices' >&2; exit 1; }

test-advisories: $(RELEASE_BIN)/cargo-deny ## known vulnerabilities of all crates: needs the database of RustSec
	$(RELEASE_BIN)/cargo-deny --locked check advisories

NOTICES ?=
ABOUT = $(RELEASE_BIN)/cargo-about generate --locked --offline --fail --config .ci/release/about.toml
notices: $(RELEASE_BIN)/cargo-about ## write the notices of third parties again
	@mkdir -p $(or $(NOTICES),target)
	$(ABOUT) --manifest-path Cargo.toml --target $(WASM_TARGET) --output-file $(if $(NOTICES),$(NOTICES)/filter.txt,istio/THIRD-PARTY.txt) .ci/release/notices.hbs
	$(ABOUT) --manifest-path src/cli/Cargo.toml --features page --target x86_64-unknown-linux-gnu --output-file $(if $(NOTICES),$(NOTICES)/cli.txt,src/cli/THIRD-PARTY.txt) .ci/release/notices.hbs
	$(ABOUT) --manifest-path src/module/Cargo.toml --target x86_64-unknown-linux-gnu --output-file $(if $(NOTICES),$(NOTICES)/module.txt,src/module/THIRD-PARTY.txt) .ci/release/notices.hbs

# They read files and run once: a quick build matters more than quick programs.
$(RELEASE_BIN)/cargo-%: export CARGO_PROFILE_RELEASE_OPT_LEVEL = 1
$(RELEASE_BIN)/cargo-%: export CARGO_PROFILE_RELEASE_LTO = off
$(RELEASE_BIN)/cargo-%: export CARGO_PROFILE_RELEASE_CODEGEN_UNITS = 16
$(RELEASE_BIN)/cargo-cyclonedx: | toolchain
	cargo install --locked --root target/release-tools --version $(CYCLONEDX_VERSION) cargo-cyclonedx
$(RELEASE_BIN)/cargo-about: | toolchain
	cargo install --locked --root target/release-tools --version $(ABOUT_VERSION) --features cli cargo-about
$(RELEASE_BIN)/cargo-deny: | toolchain
	cargo install --locked --root target/release-tools --version $(DENY_VERSION) cargo-deny

GO_TOOL = command -v go >/dev/null || { echo 'make: Go is missing, which builds $(@F): install 1.26 or newer' >&2; exit 1; }; \
  mkdir -p $(@D); cd .ci/release && GOFLAGS=-mod=readonly GOTOOLCHAIN=local go build -buildvcs=false -ldflags='-s -w' -o '$(abspath $@)'
cosign: $(COSIGN)
$(COSIGN): .ci/release/go.mod
	@$(GO_TOOL) github.com/sigstore/cosign/v3/cmd/cosign
helm: $(HELM)
$(HELM): .ci/release/go.mod
	@$(GO_TOOL) helm.sh/helm/v4/cmd/helm

# The chart and the signed image on a real API server and Istio.
test-chart: $(IMAGE_LAYOUT)/index.json $(LAB)/ready $(NEEDS_ENVOY) $(HELM) $(COSIGN) ## tests of the chart and of the signed image on a real Istio
	$(WITH_ENVOY) $(TEST) --test release

# Everything a developer, CI and a packager runs. Needs Go and make; `make test` also gcc, for the race detector.
# On Debian and Ubuntu `make test` fetches what its integration tests talk to, without installing it (tools/system-packages).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.NOTPARALLEL: # the order of what is printed is the order of what is done

VERSION := $(shell tools/version)
# Unix time of the last commit: a clock that says less is wrong.
BUILT   := $(shell git log -1 --format=%ct 2>/dev/null)
# Static and reproducible: no C, no paths of this machine, version and time from git and nothing from the clock.
GOBUILD := CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION) -X main.built=$(BUILT)"
# The agent goes without net/http's HTTP/2, half a megabyte that a scrape and a page do without.
AGENT   := -tags nethttpomithttp2
ARCHS   := amd64 arm64 armv7
# How long for each fuzz target, how long to soak and how many rounds of kills and cuts, what else to tell the demo or the bench:
# make fuzz FUZZTIME=10m
FUZZTIME ?= 1m
SOAK     ?= 10m
ROUNDS   ?= 1000
ARGS     ?=
RUN      ?=

LINTERS := .cache/bin/gofumpt .cache/bin/staticcheck
# Lint and tests share one build of every dependency, and compiling those is most of a cold run: hence -race for all three,
# where gcc is there. What only computes is not watched: SQLite and its C library, which keep to one thread at a time and to memory that the
# detector does not know; hashes, curves and parsers, which work on what one goroutine gave them. That halves what the tests take. A package
# that uses sync.Once or instances generic types of sync must not stand here: others would share its code, and the detector would miss what they wait for.
# COMPUTES is of the same kind and ours; its own tests watch it. What APART tries are programs in processes of their own, as they are shipped.
UNWATCHED := modernc.org/sqlite/lib modernc.org/libc modernc.org/memory crypto/internal/fips140/edwards25519 crypto/internal/fips140/edwards25519/field \
	golang.org/x/crypto/argon2 golang.org/x/crypto/blake2b go.yaml.in/yaml/v3 github.com/santhosh-tekuri/jsonschema/v6
COMPUTES := upsedge/internal/ups upsedge/internal/ups/upssim upsedge/internal/alarm
APART := upsedge/internal/soak upsedge/internal/bench upsedge/internal/demo
WATCH := -race $(UNWATCHED:%=-gcflags=%=-race=false)
RACE := $(if $(shell command -v gcc),$(WATCH) $(COMPUTES:%=-gcflags=%=-race=false))
# A process under the race detector waits a second before it exits, for races of others' last moments; tests begin hundreds.
EXITS := GORACE=atexit_sleep_ms=50

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

.PHONY: demo
demo: bin/upsagent bin/upscloud ## a simulated site end to end; Ctrl-C stops it
	@$(GOBUILD) -o .cache/bin/demo ./internal/demo
	@exec .cache/bin/demo $(ARGS)

.PHONY: build
build: bin/upsagent bin/upscloud bin/upssim ## bin/upsagent, bin/upscloud and bin/upssim

# Always asked: go knows better than make what is out of date.
.PHONY: bin/upsagent bin/upscloud bin/upssim
bin/upsagent: ; $(GOBUILD) $(AGENT) -o $@ ./cmd/agent
bin/upscloud: ; $(GOBUILD) -o $@ ./cmd/cloud
bin/upssim: ; $(GOBUILD) -o $@ ./cmd/upssim

.PHONY: test
test: need-gcc system-packages lint short-fuzz all-tests ## every test, as CI runs them

.PHONY: need-gcc
need-gcc:
	@command -v gcc >/dev/null || { echo "make test needs gcc: the race detector links with it (plain 'go test ./...' needs Go alone)" >&2; exit 1; }

.PHONY: system-packages
system-packages:
	@tools/system-packages

# Two stages side by side, as both wait for much; what the second says comes at the end.
.PHONY: all-tests
all-tests:
	@mkdir -p .cache; $(MAKE) beside >.cache/beside.txt 2>&1 & beside=$$!; failed=0; \
	$(MAKE) race || failed=$$?; wait $$beside || failed=$$?; cat .cache/beside.txt; exit $$failed

# Three packages at a time on two cores: many wait for a unit, a broker or a database.
# Where every program was fetched, a test that cannot find one fails instead of skipping.
.PHONY: race
race:
	@echo "== go test -race ./..."
	@[[ ! -e .cache/debian/complete ]] || export UPSEDGE_TESTS_NEED_ALL=1; export CGO_ENABLED=1 GOGC=300 $(EXITS) UPSEDGE_RACE="$(RACE)"; \
	go test -p 3 $(RACE) -vet=off $$(go list ./... | grep -vxF $(COMPUTES:%=-e %) $(APART:%=-e %))

# Some tests show the race detector a part of their cases: tools/whole.
.PHONY: beside
beside:
	@echo "== go test, without -race: programs as they are shipped, and all cases of what -race sees in part"
	@[[ ! -e .cache/debian/complete ]] || export UPSEDGE_TESTS_NEED_ALL=1; go test -p 2 -vet=off $(APART); tools/whole; \
	echo "== go test -race, what computes"; \
	CGO_ENABLED=1 GOGC=300 $(EXITS) UPSEDGE_RACE="$(RACE)" go test -p 2 $(WATCH) -vet=off $(COMPUTES)

.PHONY: short-fuzz
short-fuzz:
	@echo "== fuzz targets, 500 inputs each"
	@CGO_ENABLED=1 $(EXITS) UPSEDGE_RACE="$(RACE)" tools/fuzz 500x

.PHONY: lint
lint: $(LINTERS) ## gofumpt, go vet, staticcheck
	@echo "== gofumpt"
	@files=$$(.cache/bin/gofumpt -l cmd internal); [[ -z $$files ]] || { echo "not formatted, run .cache/bin/gofumpt -w on:" $$files >&2; exit 1; }
	@echo "== go vet"
	@go vet $(RACE) ./...
	@echo "== go build for armv7, where int is 32 bits and some system types differ"
	@CGO_ENABLED=0 GOARCH=arm GOARM=7 go build -o /dev/null ./cmd/agent
	@echo "== staticcheck"
	@GOFLAGS="$${GOFLAGS:-} $(RACE)" .cache/bin/staticcheck ./...

# The tools are a module of their own, so that theirs are not the programs' dependencies.
.cache/bin/%: tools/go.mod tools/go.sum
	@echo "== build $*"
	@mkdir -p .cache/bin
	@cd tools && CGO_ENABLED=0 go build -o ../.cache/bin/ $$(go list -f '{{.ImportPath}}' tool | grep '/$*$$')
	@touch $@

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (1m each)
	@tools/fuzz $(FUZZTIME)

.PHONY: soak
soak: ## tests named TestSoak…, under load for SOAK (10m), with ROUNDS (1000) of kills and cuts
	@grep -rqE --include='*_test.go' '^func TestSoak' cmd internal || { echo "there is no test named TestSoak…" >&2; exit 1; }
	UPSEDGE_SOAK=$(SOAK) UPSEDGE_SOAK_ROUNDS=$(ROUNDS) go test $(RACE) -vet=off -count=1 -v -timeout 0 -run '^TestSoak' ./...

# One change at a time, on SQLite: ARGS="-only SHARE-3,INV-7", a file, or MATRIX for a part of it.
.PHONY: mutate
mutate: ## every check of a rule taken away, every cell of the matrix flipped: which tests notice (20 minutes)
	@nice go run ./internal/mutate $(ARGS)

.PHONY: bench
bench: bin/upsagent bin/upscloud ## measured against the targets and against other pollers; a table and JSON
	@$(GOBUILD) -o .cache/bin/bench ./internal/bench
	@$(GOBUILD) -o .cache/bin/receiver ./internal/cloud/ingest/receiver
	@cd internal/bench/peers/simonvetter && $(GOBUILD) -o ../../../../.cache/bin/peer-simonvetter . || echo "bench: goes on without simonvetter/modbus" >&2
	@exec .cache/bin/bench $(ARGS)

.PHONY: packages
packages: .cache/bin/nfpm ## dist/: .deb and .rpm of upsagent, upscloud and upssim for amd64, arm64 and armv7
	@VERSION=$(VERSION) packaging/build $(ARCHS)

# Only this machine's architecture can run here.
.PHONY: test-deb
test-deb: .cache/bin/nfpm ## lintian, install, run, upgrade, downgrade, remove and purge the packages on a bare system (root)
	@tools/system-packages base packages
	@VERSION=$(VERSION) FORMATS=deb DIST=.cache/test-deb packaging/build $$(dpkg --print-architecture | sed s/armhf/armv7/)
	@packaging/test-deb .cache/test-deb

.PHONY: test-guest
test-guest: .cache/bin/nfpm ## a Debian 12 in QEMU: install, operate, upgrade, power cuts (root; RUN=name for a part)
	@tools/system-packages base guest
	@tools/guest-image
	UPSEDGE_GUEST=1 go test -vet=off -count=1 -v -timeout 2h -run '$(RUN)' ./internal/guest

.PHONY: test-packages
test-packages: .cache/bin/nfpm ## test-deb, and the .rpm put into a bare system by rpm (root)
	@tools/system-packages base packages
	@VERSION=$(VERSION) DIST=.cache/test-packages packaging/build $$(dpkg --print-architecture | sed s/armhf/armv7/)
	@packaging/test-deb .cache/test-packages
	@packaging/test-rpm .cache/test-packages

.PHONY: test-reproducible
test-reproducible: .cache/bin/nfpm ## builds the packages of HEAD twice, in two directories, and compares the bytes (minutes)
	@nice packaging/test-reproducible $(ARCHS)

.PHONY: clean
clean: ## bin, dist and built tools; fetched packages stay in .cache/debian
	rm -rf bin dist .cache/bin .cache/test-packages .cache/test-deb .cache/test-programs

# make demo       the main job on an embedded provider, printed step by step
# make test       everything: vet, staticcheck, all tests with the race detector, and the
#                 tests against the real peers, which are installed where they are missing
# make test-fast  the tests that need nothing installed, with a fifth of the crash tables
# make fuzz       every fuzz function for FUZZTIME
# make bench-securejoin  what a handshake and its secrets cost, against the real peers too

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

GO       ?= go
FUZZTIME ?= 10s
PEERS    ?= $(CURDIR)/.peers
export MAILBRIDGE_PEERS := $(PEERS)

# Directories that hold tests against the real peers.
PEER_TESTS = $(shell grep -rl --include='*_test.go' '^//go:build peers' . | xargs -r -n1 dirname | sort -u)

.PHONY: build demo test test-fast test-local test-peers vet staticcheck fuzz bench-securejoin install-peers clean

build:
	@$(GO) build -o bin/ ./cmd/...

demo: build
	@bin/bridge demo

test: install-peers vet staticcheck test-local test-peers

test-fast:
	@$(GO) vet ./...
	@$(GO) test -short ./...

test-local:
	@$(GO) test -race -timeout 15m ./...

# Not with the race detector: the peers' patience is not ours, and test-local has it.
test-peers: install-peers
	@$(GO) test -tags peers -count=1 -timeout 20m $(PEER_TESTS)

vet:
	@$(GO) vet ./...
	@$(GO) vet -tags peers ./...

staticcheck:
	@$(GO) run honnef.co/go/tools/cmd/staticcheck -tags peers ./...

# go test ends with "context deadline exceeded" now and then when the time is up while an input
# runs: that is no finding. A finding is written down as a failing input.
fuzz:
	@for package in $$($(GO) list ./...); do \
	  for function in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
	    echo "$$package $$function"; \
	    out=$$($(GO) test -run '^$$' -fuzz "^$$function\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s $$package 2>&1) || \
	      case "$$out" in \
	        *"Failing input written"*) echo "$$out"; exit 1 ;; \
	        *"context deadline exceeded"*) ;; \
	        *) echo "$$out"; exit 1 ;; \
	      esac; \
	  done; \
	done

bench-securejoin: install-peers
	@$(GO) run ./internal/bench securejoin

install-peers:
	@internal/peers/install.sh $(PEERS)

clean:
	@rm -rf bin

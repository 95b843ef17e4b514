# svclab: every target is one command; svclab --help has the same and more.
#
# Settings, as variables of any target:
#   KUBERNETES=1.37  MODE=nftables|iptables  FAMILY=ipv4|dual  IMAGES=auto|pull|build  WORKERS=2  KEEP=1
#   PROXY=v1.33.0 runs that release of kube-proxy in the place of the cluster's own; so does COREDNS=v1.12.0 that of CoreDNS
SHELL := bash
.SHELLFLAGS := -o errexit -o nounset -o pipefail -c
.DEFAULT_GOAL := help

export SVCLAB_KUBERNETES := $(KUBERNETES)
export SVCLAB_PROXY := $(PROXY)
export SVCLAB_COREDNS := $(COREDNS)
export SVCLAB_MODE := $(MODE)
export SVCLAB_FAMILY := $(FAMILY)
export SVCLAB_IMAGES := $(IMAGES)
export SVCLAB_WORKERS := $(WORKERS)
export KEEP

# All that is compiled shares one build cache, that of the images' programs included: the same flags everywhere (scripts/lib.sh).
export CGO_ENABLED := 0
export GOFLAGS := $(strip $(GOFLAGS) -trimpath -gcflags=all=-dwarf=false)

bin := _output/bin
svclab := $(bin)/svclab

.PHONY: help
help: ## Show this help
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## *' '{ printf "%-18s%s\n", $$1, $$2 }' 

.PHONY: build
build: ## Build the svclab command, with the terminal of its page if npm is there
	@mkdir -p $(bin)
	@scripts/page.sh
	@scripts/beat.sh "building svclab" go build -o $(svclab) ./labs/cmd/svclab

.PHONY: e2e
e2e: build ## Set everything up, prove every behaviour with traffic, take it down (KEEP=1 keeps the cluster)
	@$(svclab) e2e $(ARGS)

.PHONY: e2e-matrix
e2e-matrix: build ## make e2e in both proxy modes and both IP families, and one comparison
	@$(svclab) matrix $(ARGS)

.PHONY: test
test: ## Run the tests that need no cluster
	@scripts/beat.sh "testing" go test ./... $(ARGS)
	@go vet -tags e2e ./e2e/suites

.PHONY: test-mutation
test-mutation: ## Change operators one at a time and require that tests notice 90 % of them; takes an hour or more (ARGS="e2e/reach")
	@scripts/mutation.sh $(ARGS)

.PHONY: test-oracle
test-oracle: ## Compare the oracle with the rules that kube-proxy of each supported release writes (ARGS="--worlds 5000", KUBERNETES=1.37)
	@KUBERNETES="$(KUBERNETES)" scripts/test-oracle.sh $(ARGS)

.PHONY: test-hard
test-hard: build ## Interrupt, kill and starve svclab in every phase on a cluster of its own (ARGS=-short)
	@scripts/hard-test.sh $(svclab) $(ARGS)

.PHONY: up
up: build ## Bring the cluster up and leave it
	@$(svclab) up $(ARGS)

.PHONY: verify
verify: build ## Run scenarios on the cluster that is up (ARGS="nodeport --verbose")
	@$(svclab) verify $(ARGS)

.PHONY: fuzz
fuzz: build ## Compare random Services with the oracle, once or over time (ARGS="--seed 7 --count 200", ARGS="--histories 20")
	@$(svclab) fuzz $(ARGS)

.PHONY: releases
releases: build ## Show the known bugs of other releases of kube-proxy on the cluster that is up (ARGS="--releases v1.33.0 --modes nftables")
	@$(svclab) releases $(ARGS)

.PHONY: mutants
mutants: build ## Inject faults into the cluster and check that the scenarios notice each (ARGS="--list", ARGS="node-deaf")
	@$(svclab) mutants $(ARGS)

.PHONY: upstream
upstream: build ## Run Kubernetes' own specs of Services on the cluster that is up, then the scenarios, and compare (ARGS="--ours=false")
	@$(svclab) upstream $(ARGS)

.PHONY: labs-check
labs-check: build ## Show on the cluster that is up that every exercise teaches what it says (ARGS="04")
	@$(svclab) learn lint
	@$(svclab) learn prove $(ARGS)

.PHONY: down
down: build ## Delete the cluster
	@$(svclab) down $(ARGS)

.PHONY: doctor
doctor: build ## Say what this machine has and lacks
	@$(svclab) doctor $(ARGS)

.PHONY: engine-up
engine-up: ## Find a Docker engine, or start svclab's own; prints its DOCKER_HOST
	@scripts/engine.sh up

.PHONY: engine-down
engine-down: ## Stop svclab's own Docker engine, and no other
	@scripts/engine.sh down

.PHONY: images
images: build ## Build or pull the images (FRESH=1 builds with Debian's packages of today)
	@host=$$(scripts/engine.sh up); if [[ -n $$host ]]; then export "$$host"; fi; \
	  IMAGES="$(IMAGES)" KUBERNETES="$(KUBERNETES)" FRESH="$(FRESH)" scripts/images.sh

.PHONY: image
image: ## Build the image of svclab itself, for svclab conformance in a cluster (needs no registry)
	@scripts/image.sh $(ARGS)

.PHONY: release
release: ## Build a release in _output/release: archives for six systems, SBOMs, checksums (ARGS=v1.2.3 requires that tag)
	@scripts/page.sh required >/dev/null
	@scripts/release.sh $(ARGS)

.PHONY: test-page
test-page: build ## Solve an exercise in the page of svclab learn --web, in a real browser, on the cluster that is up (needs Chromium and npm)
	@modules=$$(scripts/page.sh required); AXE=$$modules/node_modules/axe-core/axe.min.js SVCLAB=$(CURDIR)/$(svclab) \
	  SVCLAB_OUTPUT=$${SVCLAB_OUTPUT:-$(CURDIR)/_output} scripts/beat.sh "testing the page" go test -tags e2e -count=1 -run '^TestPage' ./labs/page $(ARGS)

.PHONY: test-pull
test-pull: ## Pull every published image from a registry on loopback (needs an engine)
	@go test -tags e2e -count=1 -run '^TestPull$$' ./scripts

.PHONY: test-engine
test-engine: ## Start, kill and stop a private engine in a network namespace, and compare the host with before (root on Linux)
	@scripts/beat.sh "testing the private engine" go test -tags e2e -count=1 -run '^TestEngine' ./scripts

.PHONY: conformance-test
conformance-test: build ## Prove svclab conformance on a kind cluster that svclab did not make (KEEP=1 keeps it)
	@scripts/conformance-test.sh $(svclab) $(ARGS)

.PHONY: bench-e2e
bench-e2e: build ## Time make e2e and its floor, kind alone (RUNS=3)
	@scripts/bench-e2e.sh $(svclab)

.PHONY: bench-trace
bench-trace: build ## Count how many cells of the four types walk as predicted, and how many faults a trace names, on the cluster that is up
	@scripts/bench-trace.sh $(svclab)

.PHONY: bench-cold
bench-cold: ## Time the way from a clean clone to the verdict where nothing is built, with an engine of its own (root on Linux)
	@scripts/bench-cold.sh

.PHONY: lint
lint: ## Run golangci-lint, deadcode, go mod tidy -diff and shellcheck
	@scripts/lint.sh

.PHONY: clean
clean: ## Remove what was built and written here (not the image cache, not the cluster)
	@rm -rf _output

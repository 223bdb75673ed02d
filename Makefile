# The manual. `make up` first; everything it starts is described in dev/README.md.

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

up: ## a Kubernetes cluster on this machine (or KUBECONFIG's), fastDeploy in it, a sample site
	@dev/up.sh

down: ## stop all of it; what the cluster knows stays for the next `make up`
	@dev/down.sh

reset: ## the same, and forget what the cluster knows
	@dev/down.sh --forget

status: ## what runs, and how it is
	@dev/status.sh

logs: ## the last lines of everything; C=kubelet, C=operator, …: follow one
	@dev/logs.sh $(C)

env: ## for a shell: eval "$(make -s env)"
	@dev/env.sh

dev: ## a debug build on this machine in the place of the cluster's: P=operator or P=api-server
	@dev/dev.sh $(P)

images: ## build the images and hand them to the cluster, without a registry
	@dev/up.sh images

sample: ## the sample of manifests/samples again
	@dev/up.sh sample

generate: ## everything that is generated and committed: CRDs, docs/reasons.md, manifests
	@dev/generate.sh

screenshots: ## every page, light and dark, desk and phone, into target/browser/screenshots
	@dev/browser.sh --project screenshots

lint: ## format, licences and clippy, without a warning
	@cargo fmt --all --check
	@dev/licenses.py
	@cargo clippy --locked --workspace --all-targets --quiet -- -D warnings
	@cargo clippy --locked --workspace --test stories --quiet -- -D warnings

test: ## what CI runs: lint, unit tests, then the stories of tests/ on the cluster
	@dev/test.sh

test-all: test ## and what takes long: 500 random edits of every field, ten minutes without an API, parsers fuzzed, the API asked for anything, 1 GB of output
	@dev/fuzz.sh 120
	@dev/contract.sh
	@FASTDEPLOY_FIREHOSE=1000,1000000 cargo test --release --locked --package runner --test ansible firehose
	@eval "$$(dev/env.sh)" && FASTDEPLOY_EDITS=500 cargo test --locked --workspace --test stories -- --nocapture edits
	@eval "$$(dev/env.sh)" && cargo test --locked --workspace --test stories -- --nocapture --ignored

.PHONY: help up down reset status logs env dev images sample generate screenshots lint test test-all

# What a person does with this repository. `make` alone says what there is.
#
# The work is in scripts/; every script can be run by itself and says at its top what it does.

SHELL := /bin/sh
CARGO ?= cargo

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench fuzz openapi tables packages test-packages acceptance clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

demo: ## build quickly and show a whole provisioning round on an embedded SQLite application
	@scripts/need build
	$(CARGO) build --locked --profile quick
	@"$${CARGO_TARGET_DIR:-target}/quick/scimshim" demo

test: ## every test, against private MariaDB and PostgreSQL instances that are gone afterwards
	@scripts/need test
	@scripts/test

lint: ## formatting, clippy with warnings denied, and the house's own rules
	@scripts/need build
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --profile quick --all-targets -- --deny warnings
	@scripts/lint

bench: ## CPU, latency and memory beside a bare yardstick server, on three databases
	@scripts/need test
	@scripts/bench

fuzz: ## fuzz the parsers, a minute each or FUZZ_SECONDS
	@scripts/need build
	@scripts/fuzz

openapi: ## write docs/openapi.json anew, from the demo's adapter
	SCIMSHIM_BLESS=1 $(CARGO) test --locked --profile quick --test conformance the_document_is_up_to_date

tables: ## write the tables of docs/adapters anew, from the adapters
	SCIMSHIM_BLESS=1 $(CARGO) test --locked --profile quick --test black_box pages::tables

packages: ## a .deb and an .rpm, checked by lintian and rpmlint, in target/packages
	@scripts/need packages
	@scripts/packages

test-packages: packages ## install, upgrade, remove and purge them for real, in a clean chroot (as root)
	@scripts/need test-packages
	@scripts/test-packages

acceptance: ## every demonstration at full size; writes docs/results.md
	@scripts/need acceptance
	@scripts/acceptance

clean: ## remove what was built
	$(CARGO) clean

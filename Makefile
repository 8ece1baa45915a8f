# All targets make the virtual environment .venv at their first run and reuse it afterwards. With STACK=onedl they use
# OneDL's distributions of the toolboxes, in .venv-onedl.
PYTHON ?= python3
STACK ?= openmmlab
VENV := $(CURDIR)/.venv$(if $(filter-out openmmlab,$(STACK)),-$(STACK))
PYTEST := pytest --numprocesses auto
export PATH := $(VENV)/bin:$(PATH)

.PHONY: check demo gpu lint test

demo: $(VENV)/ready
	python demo/run.py

check: $(VENV)/ready lint
	$(PYTEST) --dist worksteal -m "not slow and not e2e"

test: $(VENV)/ready lint
	$(PYTEST) --dist loadfile --no-loadscope-reorder

# In an environment of your own, whose torch is built for the GPU.
gpu:
	python tools/gpu_report.py --out docs/gpu.json

lint: $(VENV)/ready
	ruff check .
	ruff format --check .
	mypy

$(VENV)/ready: install.py constraints/$(STACK).txt setup.cfg setup.py mmcontnet/ops/csrc/*.cpp
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python install.py --stack $(STACK) --dev
	touch $@

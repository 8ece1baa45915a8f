# Both targets make the virtual environment .venv at their first run and reuse it afterwards.
PYTHON ?= python3
VENV := $(CURDIR)/.venv
export PATH := $(VENV)/bin:$(PATH)

.PHONY: demo test

demo: $(VENV)/ready
	python demo/run.py

test: $(VENV)/ready
	ruff check .
	ruff format --check .
	pytest

$(VENV)/ready: install.py constraints.txt setup.cfg
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python install.py --dev
	touch $@

# Everything a newcomer needs: make demo, make test, make lint. Nothing is installed by hand beforehand.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export HF_HUB_OFFLINE = 1
export OMP_WAIT_POLICY = PASSIVE
export TOKENIZERS_PARALLELISM = false

.PHONY: demo demo-smollm2 test lint format clean

# torch 2.13.0 has a CPU build on PyPI; a newer one would pull gigabytes of CUDA into CI. Users are not pinned to it.
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[transformers,pdf]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[transformers,pdf,hnsw,hub,gemini,sentence-transformers,dev]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/python examples/quickstart/demo.py

demo-smollm2: $(VENV)/.installed
	$(BIN)/python examples/smollm2/demo.py

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto --dist loadfile

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy auditkit tests

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist *.egg-info

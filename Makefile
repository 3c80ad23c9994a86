# The study as a graph of files: an executed notebook is a target, it depends on its source, its parameters, the library
# and the runs that it reads. GNU make; `make help` explains each target.

VARIANT ?= quick
PYTHON  ?= python3
THREADS ?= 2
GROUPS  ?=
JOBS    ?= 2

VENV  := .venv
# ENV=active: the environment that is active (conda, see environment.yml) instead of .venv
ENV   ?= venv
ifeq ($(ENV),active)
PY    := python
STAMP :=
SITE  :=
GUIDE :=
else
PY    := $(VENV)/bin/python
STAMP := $(VENV)/.stamp
SITE  := $(VENV)/.site
GUIDE := $(VENV)/.guide
endif
LOCKS := data_manifest/locks
LIB   := $(wildcard maskopt_lib/*.py maskopt_lib/*/*.py maskopt_lib/*/*/*.py)

RECORDS := $(wildcard data_manifest/records/*/*)

NOTEBOOKS := $(sort $(basename $(notdir $(wildcard notebooks/[0-9][0-9]_*.ipynb))))
# Notebook 91 redraws stored results: it comes after all others and reads their runs. 90 reads committed records.
FIGURES   := $(filter 91%,$(NOTEBOOKS))
# quick and paper are scales of every notebook, with its defaults where it has no file of that name; any other variant is
# one of those notebooks that have a file, and of the others it takes the paper scale.
has       = $(or $(filter quick paper,$(2)),$(wildcard notebooks/params/$(1)/$(2).yaml))
STUDIED   := $(foreach n,$(NOTEBOOKS),$(if $(call has,$(n),$(VARIANT)),$(n)))
RUNS      := $(foreach n,$(STUDIED),results/$(n)/$(VARIANT)/run.ipynb)
# Which runs a notebook reads: NEEDS_<notebook> := <notebooks>
include notebooks/needs.mk
$(foreach n,$(FIGURES),$(eval NEEDS_$(n) := $(filter-out 9%,$(NOTEBOOKS))))

# Quick notebooks are small and leave cores idle: JOBS of them run at a time, with one thread each. Not beside others:
# those that measure times, and the figures, which read all runs.
ALONE    := $(filter 13_ilt_runtime_memory 43_device_benchmark,$(NOTEBOOKS)) $(FIGURES)
# What there is to see first goes first; then those that others read, so that no chain of them is left for the end.
SEEN      = $(filter 00% 17% 90%,$(NOTEBOOKS))
READ      = $(filter-out $(SEEN),$(sort $(foreach n,$(filter-out $(ALONE),$(NOTEBOOKS)),$(NEEDS_$(n)))))
TOGETHER  = $(SEEN) $(READ) $(filter-out $(ALONE) $(SEEN) $(READ),$(NOTEBOOKS))
# What each one says comes as a whole when it is done, where this make can do so (4.0 and later).
SIDE_BY_SIDE = $(MAKE) --no-print-directory -j$(JOBS) $(if $(filter output-sync,$(.FEATURES)),-Otarget) \
  AT_ONCE=yes OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

# Notebooks run in their own folder, so a relative mirror or cache has to be made absolute here; make's own abspath would
# take a folder with a space for two.
absolute   = $(if $(filter /% ~%,$(firstword $(1))),$(1),$(CURDIR)/$(1))
ifdef MASKOPT_MIRROR
override MASKOPT_MIRROR := $(call absolute,$(MASKOPT_MIRROR))
export MASKOPT_MIRROR
endif
ifdef MASKOPT_CACHE
override MASKOPT_CACHE := $(call absolute,$(MASKOPT_CACHE))
export MASKOPT_CACHE
endif

# The same run gives the same files: fixed hash seed, and the commit's date instead of today's in figures.
export PYTHONHASHSEED := 0
export SOURCE_DATE_EPOCH ?= $(or $(shell git log -1 --format=%ct 2>/dev/null),1763683200)
export OMP_NUM_THREADS ?= $(THREADS)
export MKL_NUM_THREADS ?= $(THREADS)
# Threads that wait spin only briefly, then sleep: nothing is lost alone, and a run that has to share its cores with
# another is twice as slow instead of a hundred times.
export GOMP_SPINCOUNT ?= 1000
export OPENBLAS_NUM_THREADS ?= 1
# Kernels, settings and history of the environment, not of whoever runs it.
export JUPYTER_PREFER_ENV_PATH := 1
export JUPYTER_CONFIG_DIR := $(CURDIR)/$(VENV)/etc/jupyter-study
export IPYTHONDIR := $(CURDIR)/$(VENV)/etc/ipython-study
export JUPYTER_PLATFORM_DIRS := 1
export PYDEVD_DISABLE_FILE_VALIDATION := 1
# Every notebook is a process: without bytecode each of them would compile the library anew.
unexport PYTHONDONTWRITEBYTECODE
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# One notebook at a time, whatever -j says: each one uses all threads it is given.
ifndef AT_ONCE
.NOTPARALLEL:
endif
.PHONY: score routed mini-dataset weights help env data check-data check-params study notebook lab sweep figures records views compare report test test-library test-notebooks test-site bench faults fuzz lint lock clean

help: ## explain the targets
	@echo "make <target> [VARIANT=quick|paper|cpu] [THREADS=2] [JOBS=2] [PYTHON=python3] [MASKOPT_MIRROR=folder]"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "notebooks:  $(or $(NOTEBOOKS),none yet)"
	@echo "results:    results/<notebook>/<variant>/ (run.ipynb, data, figures, record.json)"

env: $(STAMP) ## make .venv from the pinned locks (ENV=active: use the active environment instead)
	@echo "environment ready: $(PY)"

# What builds the site comes when it is first asked for: nobody waits for it who only runs the study.
$(VENV)/.site: $(STAMP) $(LOCKS)/site.lock
	$(PY) -m pip install --quiet --no-deps -r $(LOCKS)/site.lock
	@touch $@

# Inputs that coverage guides need a package that not every system has; `make fuzz` says so where it is not there.
$(VENV)/.guide: $(STAMP) $(LOCKS)/fuzz.lock
	-$(PY) -m pip install --quiet --retries 1 --no-deps -r $(LOCKS)/fuzz.lock
	@touch $@

$(VENV)/.stamp: $(LOCKS)/requirements.lock $(LOCKS)/oracles.lock pyproject.toml
	@echo "== environment: $(VENV) from $(LOCKS) (some minutes the first time)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "The study needs Python 3.11 or newer; name one: make env PYTHON=python3.11"; exit 1; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -r $(LOCKS)/requirements.lock
	$(PY) -m pip install --quiet --no-deps -r $(LOCKS)/oracles.lock
	$(PY) -m pip install --quiet --no-deps -e .
	@mkdir -p "$(IPYTHONDIR)/profile_default"
	@echo "c.IPKernelApp.log_level = 'ERROR'  # else each run warns that the kernel listens on this machine" \
	  > "$(IPYTHONDIR)/profile_default/ipython_kernel_config.py"
	@touch $@

data: $(STAMP) ## fetch and verify the real data (all 37 MB, or GROUPS="a b")
	@$(PY) -m maskopt_lib.data --groups $(GROUPS)

check-data: $(STAMP) ## say whether the real data that the notebooks read are here
	@$(PY) -m maskopt_lib.data --check --needed-by $(NOTEBOOKS)

# papermill only warns about a parameter it does not know, and would go on with the default.
check-params: $(STAMP) ## say whether every notebook has the variant and knows its parameters
	@$(PY) -m maskopt_lib.runs check $(VARIANT) $(or $(STUDIED),$(NOTEBOOKS))

# Behind a name of its own, since a recipe that says $(MAKE) is run by `make -n` as well.
WOULD_RUN = $(MAKE) --no-print-directory -n

study: $(STAMP) check-params $(if $(filter-out quick,$(VARIANT)),check-data) ## run every notebook (VARIANT=quick needs no data)
	@$(WOULD_RUN) $(RUNS) | $(PY) -m maskopt_lib.runs plan --jobs $(if $(filter quick,$(VARIANT)),$(JOBS),1)
ifeq ($(VARIANT),quick)
	@$(SIDE_BY_SIDE) $(TOGETHER:%=results/%/$(VARIANT)/run.ipynb)
endif
	@$(MAKE) -s --no-print-directory $(RUNS)
	@echo "== done: $(words $(RUNS)) notebooks, variant $(VARIANT); see results/*/$(VARIANT)/"
	@$(PY) -m maskopt_lib.runs open $(VARIANT)

# One notebook by its number or name, after those that it reads.
NAMED = $(filter $(NB) $(NB)_%,$(NOTEBOOKS))
notebook: $(STAMP) ## run one notebook with what it needs: NB=17 [VARIANT=..]; a file in notebooks/params/<notebook>/ is a variant
	@test -n "$(NAMED)" || { echo "make notebook NB=<number or name> [VARIANT=quick]; there are: $(NOTEBOOKS)"; exit 2; }
	@$(PY) -m maskopt_lib.runs check $(VARIANT) $(NAMED)
	@$(WOULD_RUN) $(NAMED:%=results/%/$(VARIANT)/run.ipynb) | $(PY) -m maskopt_lib.runs plan
	@$(MAKE) --no-print-directory $(NAMED:%=results/%/$(VARIANT)/run.ipynb)
	@echo "   open $(NAMED:%=results/%/$(VARIANT)/run.ipynb)"

lab: $(STAMP) ## open JupyterLab in the environment, at the notebooks
	@$(PY) -m jupyter lab --notebook-dir=. notebooks/$(or $(firstword $(NAMED)),$(firstword $(NOTEBOOKS))).ipynb

# Without shell words around it the command is a child of make itself, and ends with it.
THIS_MAKE := $(shell echo $$PPID)
# $(call run,notebook,variant)
define run
	@$(PY) -m maskopt_lib.runs execute $(1) $(2) --with-parent $(THIS_MAKE) --quiet
endef

# One explicit rule for each notebook and variant: files of pattern rules would count as intermediate, and a missing one
# would not make what depends on it stale.
needed = results/$(1)/$(if $(call has,$(1),$(2)),$(2),paper)/run.ipynb
define NOTEBOOK_RULE
results/$(1)/$(2)/run.ipynb: notebooks/$(1).ipynb $(wildcard notebooks/params/$(1)/$(2).yaml) $(LIB) $(STAMP) $(foreach n,$(NEEDS_$(1)),$(call needed,$(n),$(2))) $(if $(filter 90%,$(1)),$(RECORDS))
	$$(call run,$(1),$(2))
endef
variants = $(sort quick paper $(basename $(notdir $(wildcard notebooks/params/$(1)/*.yaml))))
$(foreach n,$(NOTEBOOKS),$(foreach v,$(call variants,$(n)),$(eval $(call NOTEBOOK_RULE,$(n),$(v)))))

# Grid and name reach the shell as variables, so that their quotes and spaces need no others around them.
export GRID NAME
sweep: $(STAMP) $(if $(filter-out quick,$(VARIANT)),check-data) ## run NB=<notebook> over GRID='n_steps=50,100 kernel_set=a,b', or a YAML file [JOBS=2 NAME=..]
	@test -n "$(NB)" && test -n "$$GRID" || { echo "make sweep NB=<notebook> GRID='parameter=value,value ...'" \
	  "or GRID=<file>.yaml (parameter: [values]) [VARIANT=quick] [JOBS=2] [NAME=<of the sweep>]"; exit 2; }
	@$(PY) -m maskopt_lib.runs sweep $(NB) "$$GRID" --variant $(VARIANT) --jobs $(JOBS) $${NAME:+--name "$$NAME"}

# Records where nothing else is asked for: they are there without a run.
drawn = $(if $(filter command environment,$(firstword $(origin VARIANT))),$(VARIANT),records)
figures: $(STAMP) ## redraw all figures from records or VARIANT's results, simulating nothing [FIG=name WIDTH=3.5 FORMAT=pdf]
	@$(PY) -m maskopt_lib.study $(drawn) $(FIG:%=--fig %) $(WIDTH:%=--width %) $(FORMAT:%=--format %)

# The quick variant shows that things work; its numbers are nobody's reference.
records: $(STAMP) ## keep the small results of VARIANT (paper, or cpu) under data_manifest/records
	@$(PY) -m maskopt_lib.runs keep $(or $(filter-out quick,$(VARIANT)),paper)

views: $(STAMP) ## print the masks that notebooks 11 and 18 stored with VARIANT, for the interactive page of the site
	@$(PY) notebooks/site/views.py $(foreach n,11 18,$(wildcard results/$(n)_*/$(VARIANT)))

BASE ?= HEAD
compare: $(STAMP) ## what moved beyond its tolerance since BASE=<commit, or folder of records or results>, as a page
	@$(PY) -m maskopt_lib.runs compare "$(BASE)"

# What the site shows of the records is drawn again where they, or what draws them, changed.
results/site/.drawn: $(wildcard data_manifest/records/*/*.nc notebooks/9*.ipynb) $(LIB) | $(STAMP)
	@$(MAKE) --no-print-directory figures VARIANT=records
	@for notebook in $(filter 90_%,$(NOTEBOOKS)); do $(PY) -m maskopt_lib.runs execute $$notebook quick || exit 1; done
	@mkdir -p $(@D) && touch $@

# Anyone's masks of tiles of a store: an npz, or a folder of images or layouts; see maskopt_lib/study/networks/given.py.
BUILD ?= results/22_build_dataset/$(VARIANT)
score: $(STAMP) ## score your masks in place, with rules and shots: MASKS=masks.npz [BUILD=<run of 22>] [ARGS="--layer via1"]
	@test -n "$(MASKS)" || { echo 'make score MASKS=masks.npz (or a folder) [BUILD=...] [ARGS="--layer via1"]'; exit 2; }
	@$(PY) -m maskopt_lib.study.networks.score "$(MASKS)" --build "$(BUILD)" $(ARGS)

# Optional: only the paper variant of notebook 22 reads them. Names of data_manifest/routed_clips.yaml.
routed: $(STAMP) ## route clips of placed designs with qrouter (optional, apt install qrouter), for more via 1 [CLIPS="a b"]
	@$(PY) -m maskopt_lib.study.dataset.routed $(CLIPS)

mini-dataset: $(STAMP) ## a dataset of real tiles with labels, under 20 MB, in minutes: results/22_build_dataset/mini/dataset
	@$(MAKE) --no-print-directory notebook NB=22 VARIANT=mini

# Networks of a run of notebook 31, to pass on.
weights: $(STAMP) ## export the networks that notebook 31 trained with VARIANT, with hashes and a card: results/weights
	@$(PY) -m maskopt_lib.study.networks.exported results/31_train_models/$(VARIANT) --out results/weights/$(VARIANT)

report: $(SITE) results/site/.drawn ## the study as a static site in results/site/html, from runs and records, without simulating
	@$(PY) notebooks/site

test: test-library test-notebooks ## pytest (library, doctests) and nbval (every notebook with its quick defaults)

test-library: $(STAMP) ## the first half of test: pytest alone (MARK=realdata: those tests alone that read the real data)
	OMP_NUM_THREADS=1 $(PY) -m pytest -q -n $(JOBS) --dist loadfile $(if $(MARK),-m $(MARK))

test-notebooks: $(STAMP) ## the second half of test: nbval alone
	@$(if $(TOGETHER),$(SIDE_BY_SIDE) $(TOGETHER:%=nbval-%))
	@$(if $(ALONE),$(MAKE) --no-print-directory $(ALONE:%=nbval-%))

# Those that run alone come after all others, which they may read.
define NBVAL_RULE
.PHONY: nbval-$(1)
nbval-$(1): $(STAMP) $(if $(filter $(1),$(TOGETHER)),$(NEEDS_$(1):%=nbval-%))
	CUDA_VISIBLE_DEVICES= $$(PY) -m pytest -q -o addopts= -o filterwarnings=default --nbval-lax --nbval-current-env \
	  --nbval-cell-timeout 900 notebooks/$(1).ipynb
endef
$(foreach n,$(NOTEBOOKS),$(eval $(call NBVAL_RULE,$(n))))

test-site: $(SITE) ## build the site and try it in a real browser, where there is a Chromium (test leaves it out)
	$(PY) -m pytest -q -m slow tests/site

bench: $(STAMP) ## measure speed and memory (tests/bench)
	@for script in tests/bench/bench_*.py; do echo "== $$script"; $(PY) "$$script" || exit 1; done

faults: $(STAMP) ## do to real runs what happens in life (kills, full disks, two at once) and print what survived
	$(PY) tests/faults

fuzz: $(STAMP) $(GUIDE) ## give every reader and every door damaged, hostile and mistaken inputs and print what became of them
	OMP_NUM_THREADS=1 $(PY) tests/fuzz --jobs $(JOBS)

lint: $(STAMP) ## ruff on library, tests and notebooks, and a type checker on the library
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m pyrefly check --python-interpreter-path $(PY)

# A lock without hosts, hashes or local version parts serves every machine and every index.
lock: $(STAMP) ## renew the pinned lock from pyproject.toml
	$(PY) -m pip install --quiet pip-tools
	$(PY) -m piptools compile --quiet --upgrade --extra test --strip-extras --no-header --no-emit-options \
	  --annotation-style line --output-file $(VENV)/requirements.lock pyproject.toml
	sed 's/^\([A-Za-z0-9._-]*==[^+ ]*\)+[a-z0-9.]*/\1/' $(VENV)/requirements.lock > $(LOCKS)/requirements.lock
	for extra in site fuzz; do \
	  $(PY) -m piptools compile --quiet --extra $$extra --strip-extras --no-header --no-emit-options \
	    --annotation-style line --constraint $(LOCKS)/requirements.lock --output-file $(VENV)/$$extra.lock pyproject.toml && \
	  awk -F == 'NR == FNR { locked[$$1]; next } NF > 1 && !($$1 in locked)' $(LOCKS)/requirements.lock $(VENV)/$$extra.lock \
	    > $(LOCKS)/$$extra.lock || exit 1; \
	done
	@echo "renewed $(LOCKS)/requirements.lock, site.lock and fuzz.lock; now: make env test"

clean: ## remove results and caches (keeps .venv and downloaded data)
	rm -rf results .pytest_cache .ruff_cache .hypothesis .benchmarks build
	find maskopt_lib tests notebooks -name __pycache__ -o -name .ipynb_checkpoints | xargs rm -rf

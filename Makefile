# What this project can do: `make help`.

SHELL := /bin/bash
PROFILE ?= laptop
TORCH ?= default
BIN := .venv/bin
# An environment knows the folder it was made in: in a copy it would run the original.
PLACE := $(shell pwd | cksum | cut -d ' ' -f 1)
STAMP := .venv/installed-$(TORCH)-$(PLACE)
SITE_STAMP := .venv-site/installed-$(PLACE)
WITH_STUDIES := $(if $(STUDIES),$(if $(filter yes,$(STUDIES)),--studies,$(error STUDIES=$(STUDIES) is not known: leave it out, or say STUDIES=yes)))
# The profile whose pages and numbers are in book/.
PUBLISHED = $(shell sed -n 's/^  "profile": "\(.*\)",$$/\1/p' book/results/build.json)

# The small CPU build of torch has an index of its own. It must give torchvision
# as well: the two belong together, and one from elsewhere fails at import. What
# they need comes from the usual place, which has the versions that we pin.
TORCH_INDEX := https://download.pytorch.org/whl/cpu

.PHONY: help book site reproduce publish test lint unit ci-notebooks watch constraints clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-14s%s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "PROFILE=ci|laptop|full   how much the notebooks compute (laptop)"
	@echo "STUDIES=yes              execute the studies, too (hours with laptop)"
	@echo "DATA=DIR                 another data set with the 13 Lyft classes"
	@echo "TORCH=cpu                the small build of torch, for machines without an NVIDIA card"

book: $(STAMP) ## Execute the stale notebooks and build the book
	@$(BIN)/python -m unet_tutorial notebooks --profile $(PROFILE) $(if $(DATA),--data "$(DATA)") $(WITH_STUDIES)
	@# A failed build is removed: the next one would not repeat its warnings.
	@$(BIN)/jupyter-book build -q -n -W --keep-going --path-output . _build/$(PROFILE)/site \
	  || { rm -rf _build/html _build/.doctrees; exit 1; }
	@echo "open $(CURDIR)/_build/html/index.html"

site: $(SITE_STAMP) ## Build the published book from what git holds: no torch, no run
	@rm -rf _build/published && mkdir -p _build/published
	@cp -R _config.yml _toc.yml book _build/published && ln -s "$(CURDIR)/src" _build/published/src
	@PYTHONPATH=src .venv-site/bin/jupyter-book build -q -n -W --keep-going --path-output . \
	  _build/published || { rm -rf _build/html _build/.doctrees; exit 1; }
	@echo "open $(CURDIR)/_build/html/index.html"

reproduce: $(STAMP) ## Execute everything again and hold it against the published numbers
	@# The runs as well: a finished one would not be trained again.
	@rm -rf _build/$(PUBLISHED)/stamps _build/$(PUBLISHED)/runs
	$(BIN)/python -m unet_tutorial notebooks --profile $(PUBLISHED) $(if $(DATA),--data "$(DATA)") --studies
	$(BIN)/python -m unet_tutorial compare --profile $(PUBLISHED)

publish: $(STAMP) ## Copy executed pages and results to book/, for git to keep
	$(BIN)/python -m unet_tutorial publish --profile $(PROFILE)

test: lint unit ci-notebooks ## Check style and types, run the tests and every notebook in miniature

lint: $(STAMP) ## Check style, types, spelling, notebooks and workflows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell
	@# A notebook that would change on its way through jupytext is not a clean source.
	$(BIN)/jupytext --quiet --test --to ipynb notebooks/*.py
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

unit: $(STAMP) ## Run the unit tests
	$(BIN)/pytest

ci-notebooks: $(STAMP) ## Execute every notebook with the ci profile
	$(BIN)/python -m unet_tutorial notebooks --profile ci

watch: $(STAMP) ## Rebuild when a source changes; PAGE=05_dice_loss executes one notebook only
	@# Apart from _build/html: a page that is built here without -W would not warn there.
	$(BIN)/watchfiles \
	  "sh -c '$(BIN)/python -m unet_tutorial notebooks --profile ci $(if $(PAGE),--only $(PAGE)) && \
	  $(BIN)/jupyter-book build -q -n --path-output _build/watch _build/ci/site'" \
	  book notebooks src _config.yml _toc.yml

constraints: $(STAMP) ## Choose the newest versions that pyproject.toml admits
	$(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11.4 --all-extras \
	  --no-header --no-annotate pyproject.toml --output-file constraints.txt

clean: ## Remove the environment, all runs and the rendered data
	rm -rf .venv .venv-site _build data/town-*

# The first Python that will do, or the one that is named. Each is tried, not only
# looked for: a name on the path may be a shim that leads nowhere, and a system's
# Python may lack the means to make an environment.
PYTHON ?= python3 python3.13 python3.12 python3.11
PROBE := import sys, ensurepip; sys.exit(not (3, 11, 4) <= sys.version_info[:3] < (3, 14))

FIND_PYTHON = for python in $(PYTHON); do \
	  if $$python -c '$(PROBE)' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	test -n "$$found" || { \
	  echo "error: Python 3.11 (from 3.11.4), 3.12 or 3.13 with venv is needed, and none was found among: $(PYTHON); install one, or name it: make PYTHON=/path/to/python3.12"; \
	  exit 1; }

$(STAMP): pyproject.toml constraints.txt
	@set -e; \
	case "$(TORCH)" in default|cpu) ;; *) \
	  echo "error: TORCH=$(TORCH) is not known: leave it out, or say TORCH=cpu"; exit 1;; \
	esac; \
	$(FIND_PYTHON); \
	test -e $@ || rm -rf .venv; \
	$$found -m venv .venv; \
	echo "installing into .venv (a few minutes, once)"; \
	if test "$(TORCH)" = cpu; then \
	  $(BIN)/pip install --quiet --retries 1 --no-deps --constraint constraints.txt \
	    --index-url $(TORCH_INDEX) torch torchvision \
	    || { echo "error: $(TORCH_INDEX) gave no torch; leave out TORCH=cpu to take the default build"; exit 1; }; \
	fi; \
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[book,dev,onnx]'
	@touch $@

# What builds pages and looks at them, and nothing that computes. The library's own
# dependencies are replaced by stand-ins where the pages read its docstrings.
$(SITE_STAMP): constraints.txt
	@set -e; $(FIND_PYTHON); \
	rm -rf .venv-site; $$found -m venv .venv-site; \
	echo "installing what builds pages into .venv-site (once)"; \
	.venv-site/bin/pip install --quiet --constraint constraints.txt \
	  jupyter-book sphinx-exercise pytest
	@touch $@

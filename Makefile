# SPDX-License-Identifier: GPL-2.0
# make run and make test set everything up that they need; see README.md.

# DURATION=60 make run: stop by itself. PORT: where metrics are served here.
PORT ?= 9759
APPEND ?= cma_defer_batch=64
PYTHON := .venv/bin/python
PYTEST := $(PYTHON) -m pytest -q
DEVICE := deploy/vm/run
# SOURCE=6.12 make test-device: another kernel of deploy/kernel/matrix than the first.
SOURCES := $(shell sed '/^\#/d; s/ .*//' deploy/kernel/matrix)
SOURCE ?= $(firstword $(SOURCES))
BUILD := deploy/kernel/build --source $(SOURCE)
C := $(wildcard probes/*.[ch] cmaobs/lane/*.[ch] tests/bench/*.c)
GUEST := $(DEVICE) --append "cma_defer_batch=64 cma_test_areas=camera:16M,codec:16M:2" --boot-timeout 900 --timeout 3600

.PHONY: help run test demo docs setup setup-test setup-matrix kernel lint test-unit test-page test-lane \
	setup-arm64 test-arm64 test-vm test-device test-plain test-matrix test-defects test-defects-debug test-owner test-users \
	test-system \
	check-kernel test-faults setup-package package test-package soak-debug soak-model setup-bench bench bench-scrape report bench-check bench-losses \
	whatif-check bench-whatif bench-day soak soak-serve clean

help:
	@sed -n 's/^## //p' Makefile

## make run           boot the device, put load on it, serve its metrics on 127.0.0.1:9759
run: setup
	@kernel=$$(deploy/kernel/build) && \
	CMAOBS_KERNEL=$$kernel CMAOBS_FORWARD=$(PORT) $(DEVICE) --forward $(PORT) \
		--append "$(APPEND)" -- deploy/vm/live

## make test          lint, unit and property tests here, kernel tests in the device
test: lint test-unit test-page
	@$(MAKE) --no-print-directory -j2 --output-sync=target \
		test-device-1of2 test-device-2of2 test-plain-brief test-system test-vm

## make demo          replay a recording that comes with the package: no root, no kernel
demo:
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m cmaobs demo; else python3 -m cmaobs demo; fi

## make docs          what is made from the code: references, manual pages, shell completion
docs: setup-test
	@$(PYTHON) -m manual

setup:
	@deploy/setup

setup-test:
	@deploy/setup deploy/packages deploy/packages.test

setup-matrix:
	@deploy/setup deploy/packages deploy/packages.test deploy/packages.matrix

## make kernel        the device's kernel, from the cache or built (5 minutes)
kernel: setup
	@deploy/kernel/build

setup-arm64:
	@deploy/setup deploy/packages deploy/packages.test deploy/packages.arm64
	@deploy/vm/arm64

## make lint          ruff, mypy, clang-format, shellcheck, and that every test can be loaded
lint: setup-test
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy
	$(PYTHON) -m mypy --strict deploy/vm/device
	.venv/bin/clang-format --dry-run -Werror $(C)
	$(PYTEST) --collect-only tests >/dev/null
	shellcheck -x deploy/setup deploy/vm/live deploy/vm/run deploy/vm/device/guest.sh \
		deploy/vm/arm64 deploy/vm/device/init.sh deploy/kernel/build deploy/kernel/check deploy/kernel/soak deploy/report/run deploy/debian/build \
		deploy/debian/test deploy/debian/cmaobs.sh deploy/debian/postinst deploy/debian/prerm \
		deploy/debian/postrm tests/sanitized tests/soak/run .ci/run

## make test-unit     no kernel needed
# The same examples each time: what fails is of the change, not of the day.
test-unit: setup-test
	$(PYTEST) -n auto --hypothesis-profile=ci -m "not vm" tests/unit tests/property tests/vm

## make test-random   tests/property with other examples each time, and LONG=N times as many (12: 7 minutes)
test-random: setup-test
	CMAOBS_LONG=$(or $(LONG),12) $(PYTEST) -n auto tests/property

## make test-page     the page at / in a real Chromium, from recordings; no kernel needed
test-page: setup-test
	$(PYTEST) tests/page

## make soak-model   millions of operations, lawful and not, against the cross-check; no kernel; OPERATIONS=N
soak-model: setup-test
	PYTHONPATH=.:tests $(PYTHON) -m reference.soak $(or $(OPERATIONS),2000000) $(or $(SEED),0)

## make test-lane     the compiled fast lane under the address and undefined behaviour sanitizers
test-lane: setup-test
	tests/sanitized tests/property/test_lane.py tests/property/test_whatif.py tests/property/test_whatif_input.py \
		tests/property/test_whatif_quick.py tests/unit/test_whatif_waiting.py tests/unit/test_sanity.py tests/unit/test_ring.py tests/unit/test_recording_damage.py

## make test-device   inside the device: probes, counts, rules and verdicts on the patched kernel
test-device: test-device-1of1

# A guest under emulation keeps one core busy: two, with a part each, run in the time of one.
test-device-%: setup-test
	@kernel=$$($(BUILD)) && CMAOBS_KERNEL=$$kernel \
		$(GUEST) -- $(PYTEST) --durations=12 -m "kernel and not long" tests/kernel --patched yes \
		--source $(SOURCE) --part $(subst of,/,$*)

## make test-plain    the same on a kernel without the patches; of these, make test has the brief part
# What differs there most: the plan, the counts, the model's policy, and that nothing is deferred.
PLAIN := $(addprefix tests/kernel/test_,commands.py known_workload.py concurrent.py trial.py)
test-plain: PLAIN := tests/kernel
test-plain test-plain-brief: setup-test
	@kernel=$$($(BUILD) --series none --drop-tree) && CMAOBS_KERNEL=$$kernel \
		$(GUEST) -- $(PYTEST) --durations=12 -m "kernel and not long" $(PLAIN) --patched no --source $(SOURCE)

## make test-matrix   tests/kernel on the other kernels of deploy/kernel/matrix, patched and not
test-matrix: setup-matrix
	@for source in $(filter-out $(firstword $(SOURCES)),$(SOURCES)); do \
		$(MAKE) --no-print-directory SOURCE=$$source test-device test-plain || exit; \
	done

## make test-arm64    tests/kernel on arm64, patched and not, with areas of a device tree; before a release (docs/kernels.md)
test-arm64: setup-arm64
	@$(MAKE) --no-print-directory -j2 --output-sync=target test-arm64-yes test-arm64-no

# The areas are the device tree's, but for one that no device tree can have. The pool for DMA in
# atomic context would take 32 pages of the default area, which tests want empty.
test-arm64-%:
	@kernel=$$(deploy/kernel/build --arch arm64 $(if $(filter no,$*),--series none)) && CMAOBS_KERNEL=$$kernel \
		$(DEVICE) --append "cma_defer_batch=64 cma_test_areas=codec:16M:2" \
		--append initcall_blacklist=dma_atomic_pool_init --timeout 7200 -- \
		$(PYTEST) -m "kernel and not long" tests/kernel --patched $*

## make test-defects  each seeded defect on a kernel that makes mistakes on demand; DEFECTS=FILE writes the table
test-defects: setup-test
	@kernel=$$(deploy/kernel/build --series defects) && \
	CMAOBS_KERNEL=$$kernel CMAOBS_DEFECTS=$(DEFECTS) \
		$(GUEST) -- $(PYTEST) -m kernel tests/kernel/test_defects.py \
		tests/kernel/test_evidence.py --patched defects

## make test-defects-debug  defects that no kernel survives, told by lockdep, KASAN and others; CRASHES=FILE writes the table
test-defects-debug: setup-test
	@kernel=$$(deploy/kernel/build --series defects --flavour debug) && \
	CMAOBS_KERNEL=$$kernel CMAOBS_CRASHES=$(CRASHES) $(PYTEST) -s -m vm tests/debug

## make test-vm       deploy/vm/run itself: boots the device several times
test-vm: setup-test
	@kernel=$$(deploy/kernel/build) && CMAOBS_KERNEL=$$kernel $(PYTEST) -m vm tests/vm

## make test-owner    on a kernel with page_owner: who allocated what was there before the observer
test-owner: setup-test
	@kernel=$$($(BUILD) --flavour owner) && CMAOBS_KERNEL=$$kernel \
		$(GUEST) --append page_owner=on -- $(PYTEST) -m kernel tests/kernel/test_owner.py \
		--patched owner --source $(SOURCE)

## make test-users    a kernel with drivers that allocate: a camera, and huge pages
# More memory would put the default area beyond the 32 bits of vimc's DMA mask.
test-users: setup-test
	@kernel=$$($(BUILD) --flavour users --drop-tree) && CMAOBS_KERNEL=$$kernel \
		$(DEVICE) --memory 2560M --append "cma_defer_batch=64 vimc.allocator=1 hugetlb_cma=1G" --timeout 1500 \
		-- $(PYTEST) -m kernel tests/kernel/test_users.py --patched users --source $(SOURCE)

## make test-system   a real Prometheus and a real Chromium look at the device
test-system: setup-test
	@kernel=$$(deploy/kernel/build) && CMAOBS_KERNEL=$$kernel $(PYTEST) -m vm tests/system

## make check-kernel  checkpatch, sparse and the config matrix, for the patches (90 s each kernel)
check-kernel: setup-matrix
	@for source in $(SOURCES); do deploy/kernel/check --source $$source || exit; done

## make soak-debug    load on a kernel with lockdep, KASAN and more; its log must be clean
soak-debug: setup-test
	SOURCE=$(SOURCE) deploy/kernel/soak $(or $(SECONDS_OF_LOAD),300)

setup-bench:
	@deploy/setup deploy/packages deploy/packages.test deploy/packages.bench

## make bench         what observing costs, beside bpftrace, bcc and perf: docs/performance.md; TIME=1 measures time, and prints; ROWS="WORD..." for some
bench: setup-bench
	@mkdir -p build/bench
	@kernel=$$(deploy/kernel/build) && export CMAOBS_KERNEL=$$kernel && \
		$(DEVICE) --timeout 1500 --append "cma_defer_batch=64" -- \
			env PYTHONPATH=.:tests $(PYTHON) -m bench.cost compile build/bench $(ROWS) && \
		$(DEVICE) $(if $(TIME),,--icount) --cpus 1 --timeout 3600 --append "cma_defer_batch=64" -- \
			env PYTHONPATH=.:tests $(PYTHON) -m bench.cost device build/bench $(ROWS)
	@PYTHONPATH=.:tests $(PYTHON) -m bench.cost table build/bench $(if $(TIME),,docs/performance.md)

## make bench-scrape  what a scrape takes with 1, 16 and 64 areas; no kernel
bench-scrape: setup-test
	@PYTHONPATH=.:tests $(PYTHON) -m bench.scraping

## make report        deferred freeing on and off, compared: a page and a CSV (half an hour; QUICK=1: minutes)
report: setup-test
	@deploy/report/run $(if $(QUICK),quick,full)

## make bench-check   operations checked per second, against those that the kernel makes
bench-check: setup-test
	@mkdir -p build/bench-check && $(CC) -O2 -Wall -o build/bench-check/spin tests/bench/spin.c
	@kernel=$$(deploy/kernel/build) && CMAOBS_KERNEL=$$kernel $(DEVICE) \
		--append "cma_defer_batch=64" -- $(PYTHON) tests/bench/checking.py device build/bench-check
	@$(PYTHON) tests/bench/checking.py table build/bench-check

## make bench-losses  what serve and check lose in a minute at the highest rate that the device can make; SECONDS=N
bench-losses: setup-test
	@mkdir -p build/bench-check && $(CC) -O2 -Wall -o build/bench-check/spin tests/bench/spin.c
	@kernel=$$(deploy/kernel/build) && CMAOBS_KERNEL=$$kernel $(DEVICE) --timeout 3600 \
		--append "cma_defer_batch=64" -- env PYTHONPATH=.:tests $(PYTHON) -m bench.losing \
		build/bench-check/spin $(or $(SECONDS),60)

## make whatif-check  what whatif foretells, against what the device then does; SEED=N LOADS="NAME..." WHATIF=FILE writes the table, FIGURES=FILE the figures
whatif-check: setup-test
	@kernel=$$(deploy/kernel/build) && CMAOBS_KERNEL=$$kernel $(DEVICE) --timeout 1200 \
		--append "cma_defer_batch=64" -- env PYTHONPATH=.:tests $(PYTHON) \
		tests/foretold/device.py build/whatif-check $(if $(SEED),--seed $(SEED)) $(LOADS)
	@[ -z "$(FIGURES)" ] || PYTHONPATH=.:tests $(PYTHON) tests/foretold/table.py \
		--figures build/whatif-check $(FIGURES)
	@PYTHONPATH=.:tests $(PYTHON) tests/foretold/table.py build/whatif-check $(WHATIF)

## make bench-whatif  operations replayed per second of one processor, by policy; OPERATIONS=N
bench-whatif: setup-test
	@PYTHONPATH=.:tests $(PYTHON) tests/bench/replaying.py $(or $(OPERATIONS),1000000)

## make bench-day     cmaobs whatif on a recording of a day, from the command line to the report; OPERATIONS=N THREADS=N
bench-day: setup-test
	@PYTHONPATH=.:tests $(PYTHON) tests/bench/day.py $(or $(OPERATIONS),10000000) $(or $(THREADS),4)

## make soak          10 million operations in the device: no false alarm; KIND=patched|batch0|plain OPERATIONS=N WAY=live|record
soak: setup-test
	tests/soak/run $(or $(KIND),patched) $(or $(OPERATIONS),10000000) $(or $(WAY),live)

## make soak-serve    an hour of cmaobs serve under load in the device: memory, files and descriptors flat; SECONDS=N
soak-serve: setup-test
	@kernel=$$(deploy/kernel/build) && CMAOBS_KERNEL=$$kernel \
		$(DEVICE) --append "cma_defer_batch=64 cma_test_areas=camera:16M,codec:16M:2" -- \
		env PYTHONPATH=.:tests $(PYTHON) -m soak.serving --seconds $(or $(SECONDS),3600) --out build/soak/serve

## make test-faults   full disks, 10,000 slow clients, fuzzing (2,000 of each), 100 kills, the unit's sandbox (30 min)
test-faults: setup-test
	$(PYTEST) -s tests/faults
	@kernel=$$($(BUILD)) && CMAOBS_KERNEL=$$kernel \
		$(GUEST) --timeout 7200 -- $(PYTEST) -m "kernel and long" tests/kernel --patched yes --source $(SOURCE)
	@kernel=$$($(BUILD) --flavour faults --drop-tree) && CMAOBS_KERNEL=$$kernel \
		$(GUEST) -- $(PYTEST) -m kernel tests/kernel/test_platform.py --patched faults --source $(SOURCE)

setup-package:
	@deploy/setup deploy/packages deploy/packages.test deploy/packages.package

## make package       the wheel and the Debian package of the last commit, in build/package
package: setup-package
	@deploy/debian/build

## make test-package  both built twice and compared, installed, run, upgraded and removed in a clean Debian (5 min)
test-package: setup-package
	@deploy/debian/test

clean:
	rm -rf build out

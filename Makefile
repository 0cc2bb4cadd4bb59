# SPDX-License-Identifier: Apache-2.0
# One file, not recursive. `make help` tells the targets.

PREFIX  ?= /usr/local
DESTDIR ?=
UNITDIR ?= $(PREFIX)/lib/systemd/system
BUILD   ?= build
CC      ?= gcc
CLANG   ?= clang-19
BPFTOOL ?= $(shell command -v bpftool 2>/dev/null || echo /usr/sbin/bpftool)
CLANG_FORMAT ?= clang-format-19
PYTHON  ?= /usr/bin/python3
VERSION := 0.1.0

# V=1 shows the commands.
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-6s %s\n' $(1) $(2))

# SAN=1 builds everything with the address and undefined behaviour sanitizers.
ifeq ($(SAN),1)
BUILD := build-san
SANFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
endif
# FUZZ=1: the same, by clang, and libFuzzer sees which way an input takes.
ifeq ($(FUZZ),1)
BUILD := build-fuzz
CC := $(CLANG)
SANFLAGS := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
endif

PKGS     := libbpf yaml-0.1 jansson libmicrohttpd libcap-ng libmnl libpcap
WARN     := -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes -Wshadow -Wvla
CPPFLAGS += -D_GNU_SOURCE -DBPFAST_VERSION='"$(VERSION)"' -Iinclude -Isrc -Ibpf -I$(BUILD)/gen
CFLAGS   += -std=c17 -O2 -g $(WARN) -fstack-protector-strong $(SANFLAGS)
LDLIBS    = $(shell pkg-config --libs $(PKGS)) -lelf -lz
BPFFLAGS := -std=gnu17 -O2 -g -target bpf -mcpu=v3 -D__TARGET_ARCH_$(subst aarch64,arm64,$(subst x86_64,x86,$(shell uname -m))) \
	$(WARN) -Wno-missing-prototypes -Wno-unused-parameter -Iinclude -Ibpf -I/usr/include/$(shell uname -m)-linux-gnu

BPF_SRC   := $(wildcard bpf/*.bpf.c)
BPF_OBJ   := $(BPF_SRC:bpf/%.bpf.c=$(BUILD)/bpf/%.o)
SKELS     := $(BPF_SRC:bpf/%.bpf.c=$(BUILD)/gen/%.skel.h)
ROOMS     := base match policy ids datapath observe replay agent cli cni
MAINS     := src/agent/main.c src/cli/main.c src/cni/main.c
LIB_SRC   := $(filter-out $(MAINS),$(foreach r,$(ROOMS),$(wildcard src/$(r)/*.c)))
LIB_OBJ   := $(LIB_SRC:src/%.c=$(BUILD)/obj/%.o)
# What may be linked without libbpf, root and sockets: the pure rooms, and what else is pure.
PURE_OBJ  := $(filter $(BUILD)/obj/base/% $(BUILD)/obj/match/% $(BUILD)/obj/policy/% $(BUILD)/obj/ids/% \
	$(BUILD)/obj/observe/% $(BUILD)/obj/agent/config.o $(BUILD)/obj/agent/endpoint_json.o \
	$(BUILD)/obj/agent/endpoints.o $(BUILD)/obj/agent/policies.o $(BUILD)/obj/agent/sources.o \
	$(BUILD)/obj/cli/args.o $(BUILD)/obj/cli/output.o \
	$(BUILD)/obj/replay/frame.o $(BUILD)/obj/replay/segment.o $(BUILD)/obj/replay/held.o \
	$(BUILD)/obj/replay/clock.o $(BUILD)/obj/replay/refused.o,$(LIB_OBJ))
BINS      := $(if $(wildcard src/cli/main.c),$(BUILD)/bin/bpfast) \
	     $(if $(wildcard src/agent/main.c),$(BUILD)/bin/bpfastd) \
	     $(if $(wildcard src/cni/main.c),$(BUILD)/bin/bpfast-cni)
UNIT      := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/test_*.c))
BPF_TESTS := $(patsubst tests/bpf/%.c,$(BUILD)/tests/bpf/%,$(wildcard tests/bpf/test_*.c))
BPF_SHARED := $(patsubst tests/bpf/%.c,$(BUILD)/tests/bpf/%.o,$(filter-out tests/bpf/test_%,$(wildcard tests/bpf/*.c)))

.PHONY: all help deps check-tools unit test-unit test-bpf test-e2e test demo bench bench-loss format check-format clean install soak test-kernels test-kernels-core budget fuzz fuzz-short
.DELETE_ON_ERROR:
.SECONDARY:

all: check-tools $(BPF_OBJ) $(BINS) $(BUILD)/bench/lossy.o ## build everything into build/bin

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

check-tools:
	@for t in $(CC) $(CLANG) $(BPFTOOL) pkg-config; do command -v $$t >/dev/null 2>&1 || \
	  { echo "missing: $$t. Install what is needed with: sudo make deps" >&2; exit 1; }; done
	@pkg-config --exists $(PKGS) || { echo "missing: development files of $(PKGS). Install what is needed with: sudo make deps" >&2; exit 1; }

deps: ## install what building, running and testing need (root, Debian)
	@sh scripts/deps.sh

# --- kernel side -------------------------------------------------------------

$(BUILD)/bpf/%.o: bpf/%.bpf.c | check-tools
	@mkdir -p $(@D)
	$(call say,BPF,$@)
	$(Q)$(CLANG) $(BPFFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/gen/%.skel.h: $(BUILD)/bpf/%.o
	@mkdir -p $(@D)
	$(Q)$(BPFTOOL) gen skeleton $< name $*_bpf > $@

# --- user side ---------------------------------------------------------------

$(BUILD)/obj/datapath/%.o: CPPFLAGS += -Wno-error=unused-function
$(filter $(BUILD)/obj/datapath/%,$(LIB_OBJ)): $(SKELS)

$(BUILD)/obj/%.o: src/%.c | check-tools
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/libbpfast.a: $(LIB_OBJ)
	@rm -f $@
	$(Q)ar rcs $@ $^

$(BUILD)/bin/bpfast: $(BUILD)/obj/cli/main.o $(BUILD)/libbpfast.a
$(BUILD)/bin/bpfastd: $(BUILD)/obj/agent/main.o $(BUILD)/libbpfast.a
$(BUILD)/bin/bpfast-cni: $(BUILD)/obj/cni/main.o $(BUILD)/libbpfast.a
$(BINS):
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) -o $@ $^ $(LDLIBS)

# --- tests -------------------------------------------------------------------

# Units link only the pure rooms; UNIT_LIBS is what one of them needs beside that.
$(BUILD)/tests/unit/%: tests/unit/%.c $(PURE_OBJ) $(wildcard tests/unit/*.h)
	@mkdir -p $(@D)
	$(call say,TEST,$@)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -Itests/unit -o $@ $< $(UNIT_LIBS) $(PURE_OBJ) -lcmocka $(shell pkg-config --libs jansson yaml-0.1)

# RE2 itself, in C++, as an oracle for the regular expressions.
$(BUILD)/tests/unit/re2_oracle.o: tests/unit/re2_oracle.cc tests/unit/re2_oracle.h
	@mkdir -p $(@D)
	$(call say,CXX,$@)
	$(Q)$(CXX) -std=c++17 -O2 -g -Wall -Wextra -Werror $(SANFLAGS) -c $< -o $@
$(BUILD)/tests/unit/test_match_re2: $(BUILD)/tests/unit/re2_oracle.o
$(BUILD)/tests/unit/test_match_re2: UNIT_LIBS = $(BUILD)/tests/unit/re2_oracle.o -lre2 -lstdc++
# It compiles the kernel side's parser.
$(BUILD)/tests/unit/test_http1: $(wildcard bpf/*/*.h) tests/bpf/requests.h
$(BUILD)/tests/unit/test_match_memory $(BUILD)/tests/unit/test_compile_memory: UNIT_LIBS = -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc

# What the BPF tests share lies beside them, without test_ in front.
$(BUILD)/tests/bpf/%.o: tests/bpf/%.c $(SKELS) $(wildcard tests/bpf/*.h)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -Itests/bpf -c $< -o $@

$(BUILD)/tests/bpf/libshared.a: $(BPF_SHARED)
	@rm -f $@
	$(Q)ar rcs $@ $^

$(BUILD)/tests/bpf/%: tests/bpf/%.c $(BUILD)/tests/bpf/libshared.a $(BUILD)/libbpfast.a $(wildcard tests/bpf/*.h)
	@mkdir -p $(@D)
	$(call say,TEST,$@)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -Itests/bpf -o $@ $< $(BUILD)/tests/bpf/libshared.a $(BUILD)/libbpfast.a -lcmocka $(LDLIBS)

unit-bins: $(UNIT)
bpf-bins: $(BPF_TESTS)

test-unit: ## unit tests with sanitizers (no root)
	$(MAKE) SAN=1 unit-bins
	@set -e; for t in $(UNIT:$(BUILD)/%=build-san/%); do echo "== $$t"; $$t; done

test-bpf: all bpf-bins ## the kernel side by BPF_PROG_TEST_RUN (root)
	@set -e; for t in $(BPF_TESTS); do echo "== $$t"; $$t; done

# How many packagings; a seed of its own each time, which it prints.
SOAK ?= 5000000
# Of how many seeds 1,200 requests each go to five servers.
SEEDS ?= 20

soak: all $(BUILD)/tests/bpf/test_invariance $(BUILD)/tests/bpf/test_concurrency ## millions of packagings, of which none may make a difference (root)
	BPFAST_INVARIANCE_PACKAGINGS=$(SOAK) $(BUILD)/tests/bpf/test_invariance
	BPFAST_CONCURRENCY_FLOWS=$$(($(SOAK) / 10)) $(BUILD)/tests/bpf/test_concurrency
	BPFAST_DIFFERENTIAL_SEEDS=$(SEEDS) BPFAST_DIFFERENTIAL_SEED=$$(date +%s) $(PYTHON) -m pytest -q tests/e2e/test_http_differential.py

# --- fuzzing -----------------------------------------------------------------

FUZZERS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_SHARED := tests/fuzz/naive.c tests/fuzz/reference.c
# Seconds for each target.
FUZZ_SECONDS ?= 60

$(BUILD)/tests/fuzz/%: tests/fuzz/%.c $(FUZZ_SHARED) $(BUILD)/libbpfast.a $(wildcard tests/fuzz/*.h tests/unit/http1_stream.h bpf/*/*.h) tests/bpf/requests.h
	@mkdir -p $(@D)
	$(call say,FUZZ,$@)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -fsanitize=fuzzer -o $@ $< $(FUZZ_SHARED) $(BUILD)/libbpfast.a $(LDLIBS) -Wl,--allow-multiple-definition

fuzz-bins: $(FUZZERS:%=$(BUILD)/tests/fuzz/%)

fuzz: ## each target of tests/fuzz for FUZZ_SECONDS (60); FUZZ_ONLY=NAME takes one (no root)
	@$(MAKE) --no-print-directory FUZZ=1 fuzz-bins
	@$(PYTHON) tests/fuzz/run.py --seconds $(FUZZ_SECONDS) $(if $(FUZZ_ONLY),--only $(FUZZ_ONLY))

fuzz-short: ## the same for a few seconds each, as CI does (no root)
	@$(MAKE) --no-print-directory fuzz FUZZ_SECONDS=5

test-e2e: all ## end to end in network namespaces (root)
	$(PYTHON) -m pytest -q tests/e2e

# BPFAST_TEST_KERNELS=none leaves them out, where no mirror or no emulator can be had.
KERNELS_RUN = if [ "$$BPFAST_TEST_KERNELS" = none ]; then echo "kernels: not run, for BPFAST_TEST_KERNELS is none"; \
	elif [ "$$(uname -m)" != x86_64 ]; then echo "kernels: not run, for the emulated machine is x86_64 and this is not"; \
	else sh scripts/kernels.sh && $(PYTHON) tests/kernels/run.py $(1); fi

test-kernels: all bpf-bins ## the same on Linux 6.1 and 6.12, emulated (root)
	@$(call KERNELS_RUN,)

test-kernels-core: all bpf-bins ## the part of test-kernels that CI runs (root)
	@$(call KERNELS_RUN,--core)

BUDGET = BPFAST_BUDGET=write $(BUILD)/tests/bpf/test_budget
budget: all bpf-bins ## write bpf/budget.txt anew: what the verifier reads, on every kernel (root)
	$(BUDGET)
	sh scripts/kernels.sh
	$(PYTHON) tests/kernels/run.py --kernel 6.1 --save bpf/budget.txt '$(BUDGET)'
	$(PYTHON) tests/kernels/run.py --kernel 6.12 --save bpf/budget.txt '$(BUDGET)'

test: deps ## every test (root)
	$(MAKE) check
	$(MAKE) test-unit
	$(MAKE) fuzz-short
	$(MAKE) test-bpf
	$(MAKE) test-e2e
	$(MAKE) test-kernels-core

# --- to look at --------------------------------------------------------------

demo: deps ## the main job on this machine alone, in a minute (root)
	@$(MAKE) --no-print-directory all
	@$(PYTHON) scripts/demo.py

$(BUILD)/bench/prog_run: bench/prog_run.c | check-tools
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -o $@ $< $(shell pkg-config --libs libbpf)

$(BUILD)/bench/bulk: bench/bulk.c | check-tools
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -o $@ $<

# Loses packets on the way, for the tests too; no part of the product.
$(BUILD)/bench/lossy.o: bench/lossy.bpf.c | check-tools
	@mkdir -p $(@D)
	$(call say,BPF,$@)
	$(Q)$(CLANG) $(BPFFLAGS) -MMD -MP -c $< -o $@

bench: deps ## measure against nothing and against a proxy; writes build/bench/results.md (root)
	@$(MAKE) --no-print-directory all $(BUILD)/bench/prog_run
	@BPFAST_BUILD=$(abspath $(BUILD)) $(PYTHON) bench/bench.py

bench-loss: deps ## transfers under an HTTP rule while packets are lost; writes build/bench/loss.md (root)
	@$(MAKE) --no-print-directory all $(BUILD)/bench/bulk
	@BPFAST_BUILD=$(abspath $(BUILD)) $(PYTHON) bench/loss.py

SOURCES = $(shell git ls-files --cached --others --exclude-standard '*.c' '*.h')

format: ## format the sources
	$(CLANG_FORMAT) -i $(SOURCES)

check-format:
	$(CLANG_FORMAT) --dry-run -Werror $(SOURCES)

check: check-format all ## style, who includes whom, documents against code (no root)
	$(PYTHON) tests/check_rooms.py
	$(PYTHON) tests/check_docs.py

install: all ## install into $(DESTDIR)$(PREFIX)
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 0755 $(BINS) $(DESTDIR)$(PREFIX)/bin
	install -d $(DESTDIR)$(PREFIX)/share/man/man8 $(DESTDIR)$(UNITDIR)
	install -m 0644 docs/man/*.8 $(DESTDIR)$(PREFIX)/share/man/man8
	sed 's|@BINDIR@|$(PREFIX)/bin|' deploy/systemd/bpfastd.service > $(DESTDIR)$(UNITDIR)/bpfastd.service
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	install -m 0644 deploy/completion/bpfast.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/bpfast
	install -m 0644 deploy/completion/_bpfast $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_bpfast
	install -m 0644 deploy/completion/bpfast.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/bpfast.fish

clean: ## remove what was built
	rm -rf build build-san build-fuzz

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

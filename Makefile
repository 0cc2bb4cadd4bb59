# SPDX-License-Identifier: Apache-2.0
# One file, not recursive. `make help` tells the targets.

PREFIX  ?= /usr/local
DESTDIR ?=
UNITDIR ?= $(PREFIX)/lib/systemd/system
# Debian's CNI plugins live in /usr/lib/cni.
CNIDIR  ?= $(PREFIX)/lib/cni
ZSHDIR  ?= $(PREFIX)/share/zsh/site-functions
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
# TEST_LAYOUT=1: the same with members of the maps' values in other places. Tests upgrade to it and back.
ifeq ($(TEST_LAYOUT),1)
BUILD := build/upgrade
LAYOUTFLAGS := -DBPFAST_TEST_LAYOUT=1
endif

# STATIC=1: executables that need no file of the system, for the container image; into build/static.
BIN := $(BUILD)/$(if $(filter 1,$(STATIC)),static,bin)

PKGS     := libbpf yaml-0.1 jansson libmicrohttpd libcap-ng libmnl libpcap
# Of the command line alone: the agent, and who else links the library, goes without.
CLI_PKGS := libcurl libprotobuf-c libxdp
WARN     := -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes -Wshadow -Wvla
CPPFLAGS += $(LAYOUTFLAGS) $(if $(SANFLAGS),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2) -D_GNU_SOURCE -DBPFAST_VERSION='"$(VERSION)"' -Iinclude -Isrc -Ibpf -I$(BUILD)/gen
CFLAGS   += -std=c17 -O2 -g $(WARN) -fstack-protector-strong $(SANFLAGS)
LDFLAGS  += -Wl,-z,relro,-z,now
ifeq ($(STATIC),1)
# What the distribution has no archive of, and what its archives refer to that nobody calls.
archive    = $(filter /%,$(shell $(CC) -print-file-name=$(1).a))
STATIC_OBJ := $(BUILD)/obj/static/absent.o $(if $(call archive,libmnl),,$(BUILD)/obj/static/mnl.o)
ABSENT     = $(shell nm -u $(call archive,libmicrohttpd) $(call archive,libpcap) 2>/dev/null | sed -n 's/^ *U \(\(gnutls\|dbus\)_.*\)/\1/p' | \
	grep -v -e ^dbus_create$$ -e ^dbus_findalldevs$$ -e ^gnutls_global_ | sort -u)
# The linker warns that names of groups and hosts come from files alone then, which is what we want.
LDFLAGS   += -static-pie -Wl,--no-warnings $(ABSENT:%=-Wl,--defsym=%=bf_absent) \
	-Wl,--defsym=gnutls_global_init=bf_nothing,--defsym=gnutls_global_deinit=bf_nothing
LDLIBS     = -lbpf -lyaml -ljansson -lmicrohttpd -lcap-ng $(if $(call archive,libmnl),-lmnl) -lpcap -lelf -lz $(if $(call archive,libzstd),-lzstd) -lm
else
LDLIBS    = $(shell pkg-config --libs $(PKGS)) -lelf -lz -lm
endif
BPFFLAGS := -std=gnu17 -O2 -g -target bpf -mcpu=v3 -D__TARGET_ARCH_$(subst aarch64,arm64,$(subst x86_64,x86,$(shell uname -m))) \
	$(LAYOUTFLAGS) $(WARN) -Wno-missing-prototypes -Wno-unused-parameter -Iinclude -Ibpf -I/usr/include/$(shell uname -m)-linux-gnu

BPF_SRC   := $(wildcard bpf/*.bpf.c)
BPF_OBJ   := $(BPF_SRC:bpf/%.bpf.c=$(BUILD)/bpf/%.o)
SKELS     := $(BPF_SRC:bpf/%.bpf.c=$(BUILD)/gen/%.skel.h)
ROOMS     := base match policy ids shield datapath observe replay discover agent client cli cni
MAINS     := src/agent/main.c src/cli/main.c src/cni/main.c
LIB_SRC   := $(filter-out $(MAINS),$(foreach r,$(ROOMS),$(wildcard src/$(r)/*.c src/$(r)/*/*.c)))
# What is made of descriptions of other people's messages.
PROTO_OBJ := $(patsubst src/discover/%.proto,$(BUILD)/gen/%.pb-c.o,$(wildcard src/discover/*.proto))
LIB_OBJ   := $(LIB_SRC:src/%.c=$(BUILD)/obj/%.o) $(PROTO_OBJ)
# What may be linked without libbpf, root and sockets: the pure rooms, and what else is pure.
PURE_OBJ  := $(filter $(BUILD)/obj/base/% $(BUILD)/obj/match/% $(BUILD)/obj/policy/% $(BUILD)/obj/ids/% $(BUILD)/obj/shield/% \
	$(BUILD)/obj/observe/% $(BUILD)/obj/agent/config.o $(BUILD)/obj/agent/endpoint_json.o \
	$(BUILD)/obj/agent/endpoints.o $(BUILD)/obj/agent/shield/history_json.o $(BUILD)/obj/agent/policies.o $(BUILD)/obj/agent/sources.o \
	$(BUILD)/obj/cli/args.o $(BUILD)/obj/cli/output.o \
	$(BUILD)/obj/replay/frame.o $(BUILD)/obj/replay/segment.o $(BUILD)/obj/replay/held.o \
	$(BUILD)/obj/replay/clock.o $(BUILD)/obj/replay/refused.o,$(LIB_OBJ))
BINS      := $(if $(wildcard src/cli/main.c),$(BIN)/bpfast) \
	     $(if $(wildcard src/agent/main.c),$(BIN)/bpfastd) \
	     $(if $(wildcard src/cni/main.c),$(BIN)/bpfast-cni)
UNIT      := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/test_*.c))
BPF_TESTS := $(patsubst tests/bpf/%.c,$(BUILD)/tests/bpf/%,$(wildcard tests/bpf/test_*.c))
BPF_SHARED := $(patsubst tests/bpf/%.c,$(BUILD)/tests/bpf/%.o,$(filter-out tests/bpf/test_%,$(wildcard tests/bpf/*.c)))

# What `make help` lists, and these.
.PHONY: $(shell sed -n 's/^\([a-z0-9-]*\):.*\#\# .*/\1/p' $(firstword $(MAKEFILE_LIST))) check-tools check-format unit bpf-bins fuzz-bins image-root test-layout
.DELETE_ON_ERROR:
.SECONDARY:

all: check-tools $(BPF_OBJ) $(BINS) $(BUILD)/bench/lossy.o $(BUILD)/bench/shuffle.o $(BUILD)/bench/tally.o $(BUILD)/bench/steer.o $(BUILD)/bench/crowd ## build everything into build/bin; STATIC=1: into build/static

help: ## this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

check-tools:
	@for t in $(CC) $(CLANG) $(BPFTOOL) pkg-config protoc-c; do command -v $$t >/dev/null 2>&1 || \
	  { echo "missing: $$t. Install what is needed with: sudo make deps" >&2; exit 1; }; done
	@pkg-config --exists $(PKGS) $(CLI_PKGS) || { echo "missing: development files of $(PKGS) $(CLI_PKGS). Install what is needed with: sudo make deps" >&2; exit 1; }

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

# The version stands above.
$(patsubst src/%.c,$(BUILD)/obj/%.o,$(shell grep -rl BPFAST_VERSION src)): Makefile

$(BUILD)/gen/%.pb-c.c $(BUILD)/gen/%.pb-c.h &: src/discover/%.proto | check-tools
	@mkdir -p $(@D)
	$(Q)protoc-c --proto_path=$(<D) --c_out=$(BUILD)/gen $<

$(BUILD)/gen/%.pb-c.o: $(BUILD)/gen/%.pb-c.c
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

$(filter $(BUILD)/obj/discover/%,$(LIB_OBJ)): $(PROTO_OBJ:.o=.h)

$(BUILD)/libbpfast.a: $(LIB_OBJ)
	@rm -f $@
	$(Q)ar rcs $@ $^

ifeq ($(STATIC),1)
# libcurl has no archives of all that it needs: this one asks no container runtime.
$(BIN)/bpfast: LDLIBS := -lprotobuf-c -lxdp $(LDLIBS)
$(BIN)/bpfast: $(BUILD)/obj/cli/main.o $(BUILD)/obj/static/ask.o $(STATIC_OBJ) $(BUILD)/libbpfast.a
else
$(BIN)/bpfast: LDLIBS += $(shell pkg-config --libs $(CLI_PKGS))
$(BIN)/bpfast: $(BUILD)/obj/cli/main.o $(BUILD)/libbpfast.a
endif
$(BIN)/bpfastd: $(BUILD)/obj/agent/main.o $(STATIC_OBJ) $(BUILD)/libbpfast.a
# A runtime starts it for every container: it is small, and needs no more libraries than it uses.
ifneq ($(STATIC),1)
$(BIN)/bpfast-cni: LDLIBS = $(shell pkg-config --libs jansson libmnl)
endif
$(BIN)/bpfast-cni: $(BUILD)/obj/cni/main.o $(STATIC_OBJ) $(BUILD)/libbpfast.a
$(BINS):
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# --- tests -------------------------------------------------------------------

# Units link only the pure rooms; UNIT_LIBS is what one of them needs beside that.
$(BUILD)/tests/unit/%: tests/unit/%.c $(PURE_OBJ) $(wildcard tests/unit/*.h)
	@mkdir -p $(@D)
	$(call say,TEST,$@)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -Itests/unit -o $@ $< $(UNIT_LIBS) $(PURE_OBJ) -lcmocka $(shell pkg-config --libs jansson yaml-0.1) -lm

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

# How many packagings. What chooses at random begins at one seed in `make test`, at another each time here.
SOAK ?= 5000000
# How many containers come and go.
CONTAINERS ?= 200
# Of how many seeds 1,200 requests each go to five servers.
SEEDS ?= 20

# Traces on which detection is scored.
TRACES ?= 2000

soak: all $(BUILD)/tests/bpf/test_invariance $(BUILD)/tests/bpf/test_concurrency $(BUILD)/tests/bpf/test_shield $(BUILD)/tests/unit/test_shield_scores ## millions of packagings, of which none may make a difference; floods (root)
	BPFAST_INVARIANCE_SEED=$$(date +%s) BPFAST_INVARIANCE_PACKAGINGS=$(SOAK) $(BUILD)/tests/bpf/test_invariance
	BPFAST_CONCURRENCY_SEED=$$(date +%s) BPFAST_CONCURRENCY_FLOWS=$$(($(SOAK) / 10)) $(BUILD)/tests/bpf/test_concurrency
	BPFAST_SHIELD_SEED=$$(date +%s) BPFAST_SHIELD_FRAMES=$(SOAK) $(BUILD)/tests/bpf/test_shield
	BPFAST_SHIELD_LONG=1 $(PYTHON) -m pytest -q tests/e2e/test_shield_floods.py tests/e2e/test_shield_detect.py tests/e2e/test_shield_http.py
	BPFAST_LAB_SLOW=10 BPFAST_CNI_CONTAINERS=$(CONTAINERS) $(PYTHON) -m pytest -q -s tests/e2e/test_cni_containers.py
	BPFAST_DIFFERENTIAL_SEEDS=$(SEEDS) BPFAST_DIFFERENTIAL_SEED=$$(date +%s) $(PYTHON) -m pytest -q tests/e2e/test_http_differential.py
	BPFAST_SHIELD_SEEDS=$(TRACES) BPFAST_SHIELD_SEED=$$(date +%s) $(BUILD)/tests/unit/test_shield_scores
	$(MAKE) --no-print-directory soak-churn

soak-churn: all test-layout ## policies that change, agents that are killed or upgraded under wrk, CHURN_SECONDS (60) each (root)
	BPFAST_BUILD=$(abspath $(BUILD)) $(PYTHON) tests/soak/churn.py

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

# An agent with another map layout.
test-layout:
	@$(MAKE) --no-print-directory TEST_LAYOUT=1 build/upgrade/bin/bpfastd

# BPFAST_TEST_RUNTIMES=none leaves Docker and podman out, where Debian's packages cannot be had.
test-e2e: all test-layout ## end to end in network namespaces (root)
	@if [ "$$BPFAST_TEST_RUNTIMES" = none ]; then echo "runtimes: Docker and podman are not tested, for BPFAST_TEST_RUNTIMES is none"; \
	else sh scripts/runtimes.sh; fi
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

# Opens many connections, for the tests too.
$(BUILD)/bench/crowd: bench/crowd.c | check-tools
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -D_GNU_SOURCE -o $@ $<

# For benches, and some for the tests too; no part of the product. Each says what it does.
$(BUILD)/bench/%.o: bench/%.bpf.c | check-tools
	@mkdir -p $(@D)
	$(call say,BPF,$@)
	$(Q)$(CLANG) $(BPFFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/bench/shield: bench/shield.c $(BUILD)/libbpfast.a $(BUILD)/bench/shuffle.o
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -o $@ $< $(BUILD)/libbpfast.a $(LDLIBS)

bench: deps ## measure against nothing and against a proxy; writes build/bench/results.md (root)
	@$(MAKE) --no-print-directory all $(BUILD)/bench/prog_run
	@BPFAST_BUILD=$(abspath $(BUILD)) $(PYTHON) bench/bench.py

bench-loss: deps ## transfers under an HTTP rule while packets are lost; writes build/bench/loss.md (root)
	@$(MAKE) --no-print-directory all $(BUILD)/bench/bulk
	@BPFAST_BUILD=$(abspath $(BUILD)) $(PYTHON) bench/loss.py

bench-flows: deps ## 100,000 connections open at once, between many pods; writes build/bench/flows.md (root)
	@$(MAKE) --no-print-directory all
	@BPFAST_BUILD=$(abspath $(BUILD)) $(PYTHON) bench/flows.py

bench-shield: deps ## what shield costs, and what floods leave of the goodput; writes build/bench/{shield,floods,slow}.md; BENCH_ONLY=ROWS (root)
	@$(MAKE) --no-print-directory all $(BUILD)/bench/shield
	@failed=0; for part in shield floods slow; do BPFAST_BUILD=$(abspath $(BUILD)) $(PYTHON) bench/$$part.py || failed=1; done; exit $$failed

bench-scale: deps ## policies of ten thousand rules; writes build/bench/scale.md (root)
	@$(MAKE) --no-print-directory all $(BUILD)/bench/prog_run
	@BPFAST_BUILD=$(abspath $(BUILD)) $(PYTHON) bench/scale.py

SOURCES = $(shell git ls-files --cached --others --exclude-standard '*.c' '*.h')

format: ## format the sources
	@$(CLANG_FORMAT) -i $(SOURCES)

check-format:
	@$(CLANG_FORMAT) --dry-run -Werror $(SOURCES)

check: check-format all ## style, who includes whom, documents against code (no root)
	$(PYTHON) tests/check_rooms.py
	$(PYTHON) tests/check_docs.py
	$(PYTHON) tests/check_completion.py

install: all ## install into $(DESTDIR)$(PREFIX)
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 0755 $(filter-out %-cni,$(BINS)) $(DESTDIR)$(PREFIX)/bin
	$(if $(filter %-cni,$(BINS)),install -D -m 0755 -t $(DESTDIR)$(CNIDIR) $(filter %-cni,$(BINS)))
	install -d $(DESTDIR)$(PREFIX)/share/man/man8 $(DESTDIR)$(UNITDIR)
	install -m 0644 docs/man/*.8 $(DESTDIR)$(PREFIX)/share/man/man8
	sed 's|@BINDIR@|$(PREFIX)/bin|' deploy/systemd/bpfastd.service > $(DESTDIR)$(UNITDIR)/bpfastd.service
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions \
		$(DESTDIR)$(ZSHDIR) $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	install -m 0644 deploy/completion/bpfast.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/bpfast
	install -m 0644 deploy/completion/_bpfast $(DESTDIR)$(ZSHDIR)/_bpfast
	install -m 0644 deploy/completion/bpfast.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/bpfast.fish

# The Debian revision; `make deb DEB_VERSION=0.1.0-2` where a package of the same version is made again.
DEB_VERSION ?= $(VERSION)-1

DEB_DIR ?= $(BUILD)

deb: all ## the Debian package, into build/
	@command -v dh >/dev/null || { echo "missing: debhelper. Install what is needed with: sudo make deps" >&2; exit 1; }
	rm -rf $(DEB_DIR)/deb
	mkdir -p $(DEB_DIR)/deb
	cp -r deploy/debian $(DEB_DIR)/deb/debian
	printf 'bpfast (%s) stable; urgency=medium\n\n  * See the history of the project.\n\n -- %s  %s\n' "$(DEB_VERSION)" \
		"$$(sed -n 's/^Maintainer: //p' deploy/debian/control)" "$$(git log -1 --format=%cD 2>/dev/null || date -R)" \
		> $(DEB_DIR)/deb/debian/changelog
	cd $(DEB_DIR)/deb && MAKEFLAGS= DEB_RULES_REQUIRES_ROOT=no DEB_BUILD_OPTIONS=noautodbgsym TREE=$(CURDIR) debian/rules binary
	@ls -sh $(DEB_DIR)/bpfast_$(DEB_VERSION)_*.deb

# Mount points are made here: the root of the container is read-only.
IMAGE_ROOT ?= $(BUILD)/image
IMAGE_TAR  ?= $(BUILD)/bpfast-$(VERSION)-oci.tar
image-root: all
	@[ "$(STATIC)" = 1 ] || { echo "say STATIC=1: there is no library in the image" >&2; exit 1; }
	rm -rf $(IMAGE_ROOT)
	install -d $(IMAGE_ROOT)/etc/bpfast/policies $(IMAGE_ROOT)/run/bpfast $(IMAGE_ROOT)/var/log/bpfast $(IMAGE_ROOT)/sys/fs/bpf
	install -D -s -m 0755 -t $(IMAGE_ROOT)/usr/bin $(filter-out %-cni,$(BINS))
	$(if $(filter %-cni,$(BINS)),install -D -s -m 0755 -t $(IMAGE_ROOT)/usr/lib/cni $(filter %-cni,$(BINS)))

image-tar: ## the container image with the static agent, as a tar, without a container engine
	@$(MAKE) --no-print-directory STATIC=1 image-root
	@sh scripts/image-tar.sh $(IMAGE_ROOT) $(VERSION) $(IMAGE_TAR)
	@ls -sh $(IMAGE_TAR)

clean: ## remove what was built
	rm -rf build build-san build-fuzz

-include $(shell find $(BUILD) -name '*.d' -type f 2>/dev/null)

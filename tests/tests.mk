# Tests of devtrust; included by the Makefile. Unit tests: one program per tests/unit/<layer>/test_<file>.c. Fuzz targets: tests/fuzz/.

PROGRAM_LIBS_common := $(LIBCOMMON)
PROGRAM_LIBS_ipc := $(LIBIPC) $(LIBCOMMON)
PROGRAM_LIBS_ctl := $(LIBCTL) $(LIBIPC) $(LIBCOMMON)
PROGRAM_LIBS_daemon := $(LIBDAEMON) $(LIBIPC) $(LIBCOMMON)
PROGRAM_LIBS_useragent := $(LIBUSERAGENT) $(LIBIPC) $(LIBCOMMON)
PROGRAM_LIBS_fleet := $(LIBUSERAGENT) $(LIBDAEMON) $(LIBIPC) $(LIBCOMMON)
PROGRAM_LIBS_server := $(LIBSERVER) $(LIBCOMMON)

CERTIFICATION_PROGRAMS := $(BUILD)/certification/service $(BUILD)/certification/client
UNIT_PROGRAMS := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(UNIT_SRC))
FUZZ_PROGRAMS := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzzers/%,$(FUZZ_SRC))

# a layer's unit tests see the whole libraries, so that internals need no export
define unit_rule
$$(BUILD)/unit/$(1)/%: $$(BUILD)/obj/tests/unit/$(1)/%.o $$(PROGRAM_LIBS_$(1))
	@mkdir -p $$(@D)
	$$(CC) $$(LDFLAGS_ALL) -o $$@ $$^ $$(LIBS_$(1)) $$(call pkg,--libs,cmocka)
endef
LIBS_fleet = $(LIBS_daemon)
$(foreach layer,common ipc ctl daemon useragent fleet server,$(eval $(call unit_rule,$(layer))))

# both sides of a local round trip, for bench.py
IPC_BENCH_SRC := $(sort $(wildcard tests/bench/ipc_bench*.c))
IPC_BENCH := $(BUILD)/bench/ipc_bench
$(IPC_BENCH): $(call objects,$(IPC_BENCH_SRC)) $(LIBIPC) $(LIBCOMMON)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_ipc)

# what `make faults` preloads into the programs; never part of them
FAULTS_SHIM := build/faults/shim.so
$(FAULTS_SHIM): tests/faults/shim.c tests/faults/shim.h
	@mkdir -p $(@D)
	gcc -std=gnu11 -O2 -g -Wall -Wextra -Werror -I. -fPIC -fvisibility=hidden -shared -o $@ $< -ldl

$(BUILD)/obj/tests/%.o: COMMON_CFLAGS += -Wno-conversion -Wno-missing-prototypes

# the first line of a fuzz target names its libraries: /* libs: common ipc */
fuzz_layer = $(lastword $(filter common ipc ctl daemon useragent server,$(shell head -1 $(1))))
define fuzz_rule
$$(BUILD)/fuzzers/$(1): $$(BUILD)/obj/tests/fuzz/$(1).o $$(PROGRAM_LIBS_$(call fuzz_layer,tests/fuzz/$(1).c))
	@mkdir -p $$(@D)
	$$(CC) $$(LDFLAGS_ALL) -fsanitize=fuzzer -o $$@ $$^ $$(LIBS_$(call fuzz_layer,tests/fuzz/$(1).c))
endef
$(foreach target,$(basename $(notdir $(FUZZ_SRC))),$(eval $(call fuzz_rule,$(target))))

# org.varlink.certification on libipc, as service and as client: programs of their own, never part of the product
$(BUILD)/obj/tests/certification/interface.c: tests/certification/org.varlink.certification.varlink common/embed.sh
	@mkdir -p $(@D)
	common/embed.sh interface_ $< > $@
$(BUILD)/obj/tests/certification/interface.o: $(BUILD)/obj/tests/certification/interface.c
	$(CC) $(COMMON_CFLAGS) $(CFLAGS) -c -o $@ $<
$(BUILD)/certification/service: $(BUILD)/obj/tests/certification/interface.o
$(CERTIFICATION_PROGRAMS): $(BUILD)/certification/%: $(BUILD)/obj/tests/certification/%.o $(BUILD)/obj/tests/certification/certification.o $(LIBIPC) $(LIBCOMMON)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) -o $@ $(sort $(filter %.o,$^)) $(LIBIPC) $(LIBCOMMON) $(LIBS_ipc)

TIDY_CFLAGS = $(filter-out -Werror,$(COMMON_CFLAGS))
SHELL_FILES := tests/packages.sh tests/tidy.sh tests/install-test.sh tests/units-test.sh tests/method-table-test.sh systemd/deb.sh systemd/rpm.sh systemd/debian/devtrust.postinst systemd/debian/devtrust.prerm systemd/debian/devtrust.postrm \
    systemd/debian/devtrust-server.postrm common/embed.sh ipc/ctl/completion_bash.sh ipc/interface_methods.sh .ci/run tests/harness/sandbox tests/screenshots/renew.sh

.PHONY: print-% programs-under-test packages deb rpm demo check bench fuzz faults soak unit format format-check shellcheck
print-%:
	@echo $($*)

programs-under-test: all $(UNIT_PROGRAMS) $(CERTIFICATION_PROGRAMS) $(IPC_BENCH) $(FAULTS_SHIM)

unit: $(UNIT_PROGRAMS) ## unit tests of this variant only (VARIANT=gcc|clang|asan)
	@for program in $^; do echo "$$program"; "$$program" >build/unit.log 2>&1 || { cat build/unit.log; exit 1; }; done

deb: ## build the Debian packages into build/deb; the same tree gives the same bytes
	@tests/packages.sh build deb
	@systemd/deb.sh

rpm: ## build the RPM packages into build/rpm; the same tree gives the same bytes
	@! command -v dpkg-query >/dev/null || tests/packages.sh build rpm  # elsewhere rpmbuild says what is missing
	@systemd/rpm.sh

packages: ## install the Debian packages that building needs
	@tests/packages.sh build

demo: ## the whole way on this machine, with real parts; KEEP=1 leaves it running
	@tests/packages.sh build demo
	@$(MAKE) --no-print-directory -s -j2 all
	@KEEP=$(KEEP) tests/harness/sandbox tests/demo/demo.py

check: ## install what is needed, build, run all tests
	@tests/packages.sh build demo check deb rpm
	@$(MAKE) --no-print-directory -s -j2 programs-under-test
	@$(MAKE) --no-print-directory -s -j2 VARIANT=clang all
	@$(MAKE) --no-print-directory -s -j2 VARIANT=asan programs-under-test
	@$(MAKE) --no-print-directory -s -j2 VARIANT=fuzz fuzzers
	@tests/check.py

.PHONY: fuzzers
fuzzers: $(FUZZ_PROGRAMS)

bench: ## measure, beside certmonger and the command-line floor; writes build/bench.json
	@tests/packages.sh build demo bench
	@$(MAKE) --no-print-directory -s -j2 all $(IPC_BENCH)
	@tests/harness/sandbox tests/bench/bench.py

fuzz: ## fuzz each target for FUZZ_SECONDS (default 600)
	@tests/packages.sh build demo check
	@$(MAKE) --no-print-directory -s -j2 VARIANT=fuzz fuzzers
	@FUZZ_SECONDS=$${FUZZ_SECONDS:-600} tests/check.py fuzz-

faults: ## kill each program and fill its disk at every call that leaves a trace; JOBS walks at a time
	@tests/packages.sh build demo check
	@$(MAKE) --no-print-directory -s -j2 all $(FAULTS_SHIM)
	@tests/faults/walk.py

soak: ## SOAK_HOURS (24) of renewals, on and off, restarts and users who come and go: nothing may grow
	@tests/packages.sh build demo check
	@$(MAKE) --no-print-directory -s -j2 all
	@tests/faults/soak.py

C_FILES = $(ALL_SRC) $(wildcard common/*.h ipc/*.h ipc/ctl/*.h daemon/*.h useragent/*.h server/*.h tests/unit/*/*.c tests/unit/*/*.h tests/fuzz/*.c tests/certification/*.[ch] tests/bench/*.[ch] tests/faults/*.[ch])
format: ## let clang-format decide
	clang-format -i $(C_FILES)
format-check:
	clang-format --dry-run -Werror $(C_FILES)
shellcheck:
	shellcheck -S warning $(SHELL_FILES)

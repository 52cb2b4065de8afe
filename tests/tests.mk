# Tests of devtrust; included by the Makefile. Unit tests: one program per tests/unit/<layer>/test_<file>.c. Fuzz targets: tests/fuzz/.

PROGRAM_LIBS_common := $(LIBCOMMON)
PROGRAM_LIBS_ipc := $(LIBIPC) $(LIBCOMMON)
PROGRAM_LIBS_ctl := $(LIBCTL) $(LIBIPC) $(LIBCOMMON)
PROGRAM_LIBS_daemon := $(LIBDAEMON) $(LIBIPC) $(LIBCOMMON)
PROGRAM_LIBS_useragent := $(LIBUSERAGENT) $(LIBIPC) $(LIBCOMMON)
PROGRAM_LIBS_server := $(LIBSERVER) $(LIBCOMMON)

UNIT_PROGRAMS := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(UNIT_SRC))
FUZZ_PROGRAMS := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzzers/%,$(FUZZ_SRC))

# a layer's unit tests see the whole libraries, so that internals need no export
define unit_rule
$$(BUILD)/unit/$(1)/%: $$(BUILD)/obj/tests/unit/$(1)/%.o $$(PROGRAM_LIBS_$(1))
	@mkdir -p $$(@D)
	$$(CC) $$(LDFLAGS_ALL) -o $$@ $$^ $$(LIBS_$(1)) $$(call pkg,--libs,cmocka)
endef
$(foreach layer,common ipc ctl daemon useragent server,$(eval $(call unit_rule,$(layer))))

$(BUILD)/obj/tests/%.o: COMMON_CFLAGS += -Wno-conversion -Wno-missing-prototypes

# the first line of a fuzz target names its libraries: /* libs: common ipc */
fuzz_layer = $(lastword $(filter common ipc ctl daemon useragent server,$(shell head -1 $(1))))
define fuzz_rule
$$(BUILD)/fuzzers/$(1): $$(BUILD)/obj/tests/fuzz/$(1).o $$(PROGRAM_LIBS_$(call fuzz_layer,tests/fuzz/$(1).c))
	@mkdir -p $$(@D)
	$$(CC) $$(LDFLAGS_ALL) -fsanitize=fuzzer -o $$@ $$^ $$(LIBS_$(call fuzz_layer,tests/fuzz/$(1).c))
endef
$(foreach target,$(basename $(notdir $(FUZZ_SRC))),$(eval $(call fuzz_rule,$(target))))

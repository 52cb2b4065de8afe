# devtrust: one non-recursive Makefile. `make help` lists the targets.
# Variants build the same tree into their own folders: build/ (gcc, the programs), build/clang/, build/asan/, build/fuzz/.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

PREFIX ?= /usr
DESTDIR ?=
VARIANT ?= gcc
BUILD := build$(if $(filter-out gcc,$(VARIANT)),/$(VARIANT))

CC_gcc := gcc
CC_clang := clang
CC_asan := clang
CC_fuzz := clang
CC := $(CC_$(VARIANT))

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes -Wmissing-prototypes \
    -Wpointer-arith -Wwrite-strings -Wformat=2 -Wvla -Wundef -Werror
HARDENING := -fstack-protector-strong -fPIE -fno-common -fvisibility=hidden
OPTIMISE_gcc := -O2 -g -D_FORTIFY_SOURCE=2
OPTIMISE_clang := -O2 -g -D_FORTIFY_SOURCE=2
OPTIMISE_asan := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
OPTIMISE_fuzz := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all
LINK_asan := -fsanitize=address,undefined
LINK_fuzz := -fsanitize=address,undefined


# Packages of libraries, per layer; asked of pkg-config only once they are installed.
PKG_common := libcrypto json-c INIReader libsystemd
PKG_ipc := libuv libsystemd
PKG_daemon := libcurl libssl libpsl libsystemd
PKG_useragent := nss
PKG_server := libevent libevent_openssl libssl sqlite3 libcurl
PKG_tests := cmocka
pkg = $(shell pkg-config $(1) $(2) 2>/dev/null)

COMMON_CFLAGS = -std=gnu11 -D_GNU_SOURCE -DOPENSSL_API_COMPAT=30000 -DOPENSSL_NO_DEPRECATED $(WARNINGS) $(HARDENING) \
    $(OPTIMISE_$(VARIANT)) -I. -I$(BUILD)/obj $(addprefix -isystem,$(filter-out /usr/include,$(patsubst -I%,%,$(filter -I%,$(PKG_CFLAGS)))))
PKG_CFLAGS := $(call pkg,--cflags,json-c nss nspr libuv libsystemd)
LDFLAGS_ALL = -pie -Wl,-z,relro,-z,now -Wl,--as-needed -Wl,--gc-sections $(LINK_$(VARIANT))

# --- sources: every .c file of a folder, without other platforms' ---
sources = $(filter-out %_darwin.c %_win.c,$(sort $(wildcard $(1)/*.c)))
objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

COMMON_SRC := $(call sources,common)
IPC_SRC := $(call sources,ipc)
CTL_SRC := $(call sources,ipc/ctl)
DAEMON_SRC := $(call sources,daemon)
USERAGENT_SRC := $(call sources,useragent)
SERVER_SRC := $(call sources,server)
ALL_SRC := $(COMMON_SRC) $(IPC_SRC) $(CTL_SRC) $(DAEMON_SRC) $(USERAGENT_SRC) $(SERVER_SRC)
UNIT_SRC := $(sort $(wildcard tests/unit/*/test_*.c))
FUZZ_SRC := $(sort $(wildcard tests/fuzz/fuzz_*.c))
TEST_HELPER_SRC := $(sort $(wildcard tests/unit/support/*.c))

LIBCOMMON := $(BUILD)/libcommon.a
LIBIPC := $(BUILD)/libipc.a
LIBDAEMON := $(BUILD)/libdaemon.a
LIBUSERAGENT := $(BUILD)/libuseragent.a
LIBSERVER := $(BUILD)/libserver.a
LIBCTL := $(BUILD)/libctl.a
# the libraries hold everything but main.c, so that unit tests link them
without_main = $(filter-out %/main.c,$(1))

LIBS_common := $(call pkg,--libs,json-c libsystemd) -linih -lcrypto
LIBS_ipc := $(call pkg,--libs,libuv) $(LIBS_common)
LIBS_daemon := $(call pkg,--libs,libcurl libpsl) -lssl $(LIBS_ipc)
LIBS_useragent := $(call pkg,--libs,nss) $(LIBS_ipc)
LIBS_server := $(call pkg,--libs,libevent libevent_openssl sqlite3 libcurl) -lssl $(LIBS_common)
LIBS_ctl := $(LIBS_ipc)

PROGRAMS := $(addprefix $(BUILD)/,devtrustd devtrust-agent devtrustctl devtrust-server)
COMPLETIONS := $(addprefix $(BUILD)/completion/,devtrustctl _devtrustctl)

.PHONY: all
all: $(PROGRAMS) $(COMPLETIONS)

$(LIBCOMMON): $(call objects,$(COMMON_SRC))
$(LIBIPC): $(call objects,$(IPC_SRC)) $(BUILD)/obj/ipc/interfaces.o
$(LIBDAEMON): $(call objects,$(call without_main,$(DAEMON_SRC)))
$(LIBUSERAGENT): $(call objects,$(call without_main,$(USERAGENT_SRC)))
$(LIBSERVER): $(call objects,$(call without_main,$(SERVER_SRC))) $(BUILD)/obj/server/db_schema.o $(BUILD)/obj/server/portal_assets.o
$(LIBCTL): $(call objects,$(call without_main,$(CTL_SRC))) $(BUILD)/obj/ipc/ctl/completion_scripts.o $(BUILD)/obj/ipc/ctl/person_page_style.o
$(BUILD)/lib%.a:
	@rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/devtrustd: $(BUILD)/obj/daemon/main.o $(LIBDAEMON) $(LIBIPC) $(LIBCOMMON)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_daemon)
$(BUILD)/devtrust-agent: $(BUILD)/obj/useragent/main.o $(LIBUSERAGENT) $(LIBIPC) $(LIBCOMMON)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_useragent)
$(BUILD)/devtrustctl: $(BUILD)/obj/ipc/ctl/main.o $(LIBCTL) $(LIBIPC) $(LIBCOMMON)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_ctl)
$(BUILD)/devtrust-server: $(BUILD)/obj/server/main.o $(LIBSERVER) $(LIBCOMMON)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_server)

# The tool knows its own table: it prints what completes it.
$(BUILD)/completion/devtrustctl: $(BUILD)/devtrustctl
	@mkdir -p $(@D)
	$< completion bash > $@
$(BUILD)/completion/_devtrustctl: $(BUILD)/devtrustctl
	@mkdir -p $(@D)
	$< completion zsh > $@

# what method tables are compiled against (see ipc/method_table.h): there before the first compiler runs
INTERFACE_METHODS := $(BUILD)/obj/ipc/interface_methods.h
$(BUILD)/obj/%.o: %.c Makefile | $(INTERFACE_METHODS)
	@mkdir -p $(@D)
	$(CC) $(COMMON_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

# Files that are embedded as they stand: interface_<name>[] and server_db_schema[] (see ipc/interfaces.h, server/db.h).
INTERFACES := $(sort $(wildcard ipc/*.varlink))
$(BUILD)/obj/ipc/interfaces.c: $(INTERFACES) common/embed.sh
	@mkdir -p $(@D)
	common/embed.sh interface_ $(INTERFACES) > $@
$(INTERFACE_METHODS): $(INTERFACES) ipc/interface_methods.sh
	@mkdir -p $(@D)
	ipc/interface_methods.sh $(INTERFACES) > $@
$(BUILD)/obj/server/db_schema.c: server/db_schema.sql common/embed.sh
	@mkdir -p $(@D)
	common/embed.sh sql_ $< > $@
PORTAL_ASSETS := $(addprefix server/,portal_page.html portal_style.css portal_script.js)
$(BUILD)/obj/server/portal_assets.c: $(PORTAL_ASSETS) common/embed.sh
	@mkdir -p $(@D)
	common/embed.sh asset_ $(PORTAL_ASSETS) > $@
$(BUILD)/obj/ipc/ctl/person_page_style.c: ipc/ctl/person_page.css common/embed.sh
	@mkdir -p $(@D)
	common/embed.sh asset_ $< > $@
$(BUILD)/obj/ipc/ctl/person_page_style.o: $(BUILD)/obj/ipc/ctl/person_page_style.c
	$(CC) $(COMMON_CFLAGS) $(CFLAGS) -c -o $@ $<
COMPLETION_SCRIPTS := $(addprefix ipc/ctl/,completion_bash.sh completion_zsh.zsh)
$(BUILD)/obj/ipc/ctl/completion_scripts.c: $(COMPLETION_SCRIPTS) common/embed.sh
	@mkdir -p $(@D)
	common/embed.sh script_ $(COMPLETION_SCRIPTS) > $@
$(BUILD)/obj/ipc/ctl/completion_scripts.o: $(BUILD)/obj/ipc/ctl/completion_scripts.c
	$(CC) $(COMMON_CFLAGS) $(CFLAGS) -c -o $@ $<
$(BUILD)/obj/server/portal_assets.o: $(BUILD)/obj/server/portal_assets.c
	$(CC) $(COMMON_CFLAGS) $(CFLAGS) -c -o $@ $<
$(BUILD)/obj/ipc/interfaces.o: $(BUILD)/obj/ipc/interfaces.c
	$(CC) $(COMMON_CFLAGS) $(CFLAGS) -c -o $@ $<
$(BUILD)/obj/server/db_schema.o: $(BUILD)/obj/server/db_schema.c
	$(CC) $(COMMON_CFLAGS) $(CFLAGS) -c -o $@ $<

include tests/tests.mk

# --- installation: what is listed here is what uninstall takes away again ---
SBINDIR := $(PREFIX)/sbin
BINDIR := $(PREFIX)/bin
MANDIR := $(PREFIX)/share/man
DOCDIR := $(PREFIX)/share/doc/devtrust
# Debian 12 wants the system's units in /lib
SYSTEM_UNITDIR := $(PREFIX)/lib/systemd/system
USER_UNITDIR := $(PREFIX)/lib/systemd/user
BASHDIR := $(PREFIX)/share/bash-completion/completions
# where zsh looks by itself: Debian's own has another folder for /usr
ZSHDIR ?= $(PREFIX)/share/zsh/$(if $(and $(filter /usr,$(PREFIX)),$(wildcard /etc/debian_version)),vendor-completions,site-functions)
MAN_PAGES := $(sort $(wildcard man/*.[1-8]))
DOCS := README.md $(sort $(wildcard docs/*.md))
PICTURES := $(sort $(wildcard docs/screenshots/*.png))
# mode:source:destination
INSTALL_FILES := \
    0755:build/devtrustd:$(SBINDIR)/devtrustd \
    0755:build/devtrust-server:$(SBINDIR)/devtrust-server \
    0755:build/devtrust-agent:$(BINDIR)/devtrust-agent \
    0755:build/devtrustctl:$(BINDIR)/devtrustctl \
    0644:systemd/devtrustd.service:$(SYSTEM_UNITDIR)/devtrustd.service \
    0644:systemd/devtrustd.socket:$(SYSTEM_UNITDIR)/devtrustd.socket \
    0644:systemd/devtrust-server.service:$(SYSTEM_UNITDIR)/devtrust-server.service \
    0644:systemd/devtrust-agent.service:$(USER_UNITDIR)/devtrust-agent.service \
    0644:systemd/devtrust.user-preset:$(PREFIX)/lib/systemd/user-preset/80-devtrust.preset \
    0644:systemd/devtrust.preset:$(PREFIX)/lib/systemd/system-preset/80-devtrust.preset \
    0644:systemd/devtrust.catalog:$(PREFIX)/lib/systemd/catalog/devtrust.catalog \
    0644:systemd/devtrust-agent.desktop:/etc/xdg/autostart/devtrust-agent.desktop \
    0644:systemd/devtrust-status.desktop:$(PREFIX)/share/applications/devtrust-status.desktop \
    0644:systemd/devtrust.svg:$(PREFIX)/share/icons/hicolor/scalable/apps/devtrust.svg \
    0644:systemd/devtrust.tmpfiles:$(PREFIX)/lib/tmpfiles.d/devtrust.conf \
    0644:systemd/devtrust-server.sysusers:$(PREFIX)/lib/sysusers.d/devtrust-server.conf \
    0644:build/completion/devtrustctl:$(BASHDIR)/devtrustctl \
    0644:build/completion/_devtrustctl:$(ZSHDIR)/_devtrustctl \
    $(foreach page,$(MAN_PAGES),0644:$(page):$(MANDIR)/man$(patsubst .%,%,$(suffix $(page)))/$(notdir $(page))) \
    $(foreach doc,$(DOCS),0644:$(doc):$(DOCDIR)/$(notdir $(doc))) \
    $(foreach picture,$(PICTURES),0644:$(picture):$(DOCDIR)/screenshots/$(notdir $(picture)))

.PHONY: install uninstall
install: all ## install under DESTDIR and PREFIX (default /usr)
	@for entry in $(INSTALL_FILES); do \
	    IFS=: read -r mode source target <<<"$$entry"; \
	    install -D -m "$$mode" "$$source" "$(DESTDIR)$$target"; \
	    case $$target in *.service | *.desktop) sed -i 's,=/usr/,=$(PREFIX)/,' "$(DESTDIR)$$target" ;; esac; \
	done

uninstall: ## remove what install put there; configuration and state stay
	@for entry in $(INSTALL_FILES); do \
	    IFS=: read -r mode source target <<<"$$entry"; \
	    rm -f "$(DESTDIR)$$target"; \
	done
	@rmdir --ignore-fail-on-non-empty "$(DESTDIR)$(DOCDIR)/screenshots" "$(DESTDIR)$(DOCDIR)" 2>/dev/null || true

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*##' Makefile tests/tests.mk | sed 's/:.*##/\t/' | expand -t 16

.PHONY: clean
clean: ## remove everything that was built
	rm -rf build

# Everything built goes under build/.  `make help` lists the targets.

VERSION := 0.1.0
CC      ?= cc
CFLAGS  ?= -O2 -g
PREFIX  ?= /usr/local
LIBDIR  ?= $(PREFIX)/lib
DESTDIR ?=

BUILD    ?= build
# Not position independent: the option table then needs no relocation, and its pages stay shared.
# No tables for exceptions, and one mapping for all that is only read: each page and mapping takes
# its time when we start, and when we end.  Debuggers have tables of their own (-g).
# Sections go by name: what is never touched (posix.h) stands behind what is, on pages of its own.
# ld and lld know all of these; for gold, LINK=-no-pie.  LDFLAGS come later: -pie, or -z relro, win.
CODE     ?= -fno-pie -fno-asynchronous-unwind-tables
LINK     ?= -no-pie -Wl,-z,norelro,-z,noseparate-code,--sort-section=name
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wswitch-enum -Wvla \
            -Werror
ALL_CFLAGS := -std=c11 -D_GNU_SOURCE -Isrc -DAIORUN_VERSION='"$(VERSION)"' $(WARNINGS) \
              $(CODE) $(CFLAGS) $(EXTRA_CFLAGS) -MMD -MP
# The libraries are linked in whole: they need not be loaded at every start.
LIBEV   ?= -Wl,-Bstatic -lev -Wl,-Bdynamic -lm
LIBINIH ?= -Wl,-Bstatic -linih -Wl,-Bdynamic


CORE     := $(wildcard src/core/*.c)
PROTOCOL := $(wildcard src/protocol/*.c)
PLAN     := $(wildcard src/plan/*.c)
REPORT   := $(wildcard src/report/*.c)
# The system that it is built for: posix or win32.
SYSTEM   ?= posix
CLIENT   := $(wildcard src/client/*.c src/client/$(SYSTEM)/*.c)
DRIVER   := $(wildcard src/$(SYSTEM)/*.c)
PURE     := $(CORE) $(PROTOCOL) $(PLAN) $(REPORT)
LAST     := $(wildcard src/$(SYSTEM)/allocate.c)# what it has is to stand behind what the others have
PROGRAM  := $(filter-out $(LAST),$(PURE) $(CLIENT) $(DRIVER) $(wildcard src/supervisor/*.c) cmd/aiorun.c) $(LAST)
UNIT_TESTS := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c))
FUZZERS    := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
C_FILES := $(shell git ls-files -co --exclude-standard '*.c' '*.h' 2>/dev/null)

objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

.PHONY: all lib help check unit sim mutants asan valgrind fuzz e2e faults layers format format-check \
        tidy cover windows windows-check install install-lib uninstall dist clean demo docs-check \
        static bench

all: $(BUILD)/aiorun lib

help:
	@echo 'all       build/aiorun (the default)'
	@echo 'lib       libaiorun, static and shared; part of all'
	@echo 'demo      watch it serve, and end, in ten seconds'
	@echo 'check     every check there is; the last line counts them.  Each by itself:'
	@echo '          unit sim e2e fuzz asan valgrind mutants layers docs-check format-check'
	@echo '          windows-check'
	@echo 'format    lay out the sources; tidy: clang-tidy; cover: line coverage'
	@echo 'windows   build/win32/aiorun.exe, with mingw-w64'
	@echo 'static    build/static/aiorun, with musl'
	@echo 'bench     launchers, fleets and output measured beside peers; BENCH=quick is short'
	@echo 'install   below $$(DESTDIR)$$(PREFIX), which is $(PREFIX); install-lib: libaiorun alone;'
	@echo '          uninstall; dist; clean'

$(BUILD)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c $< -o $@

$(BUILD)/aiorun: $(call objects,$(PROGRAM))
	$(CC) $(CFLAGS) $(EXTRA_CFLAGS) $(LINK) -o $@ $^ $(LDFLAGS) $(LIBEV) $(LIBINIH)

# ---- libaiorun -------------------------------------------------------------------------------

LIBRARY := $(BUILD)/libaiorun.a $(BUILD)/libaiorun.so.1 $(BUILD)/libaiorun.so

lib: $(LIBRARY) $(BUILD)/aiorun.pc

# One object for both: position independent, as programs that link it may be.
$(BUILD)/obj/lib/libaiorun.o: src/client/$(SYSTEM)/libaiorun.c Makefile
	@mkdir -p $(@D)
	$(CC) $(filter-out $(CODE),$(ALL_CFLAGS)) -fPIC -c $< -o $@

$(BUILD)/libaiorun.a: $(BUILD)/obj/lib/libaiorun.o
	rm -f $@
	$(AR) rcs $@ $<

$(BUILD)/libaiorun.so.1: $(BUILD)/obj/lib/libaiorun.o
	$(CC) $(CFLAGS) $(EXTRA_CFLAGS) -shared -Wl,-soname,libaiorun.so.1 -o $@ $< $(LDFLAGS)

$(BUILD)/libaiorun.so: $(BUILD)/libaiorun.so.1
	ln -sf libaiorun.so.1 $@

# Written anew each time: it holds where things are installed, which the next make may change.
.PHONY: $(BUILD)/aiorun.pc
$(BUILD)/aiorun.pc:
	@mkdir -p $(@D)
	@printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$(LIBDIR:$(PREFIX)/%=$${prefix}/%)' 'includedir=$${prefix}/include' '' \
	    'Name: aiorun' 'Description: a program'\''s side of the control pipe of aiorun' \
	    'Version: $(VERSION)' 'Libs: -L$${libdir} -laiorun' 'Cflags: -I$${includedir}' >$@

# The static program, for images without a C library: musl, with libev built against it and inih
# made fit for it.  Users and groups come from /etc/passwd and /etc/group there; musl knows no other
# source.
MUSL := build/musl
STATIC_CFLAGS := -Os -static -ffunction-sections -fdata-sections -DSECTIONS_BY_NAME \
                 -isystem $(MUSL)/include

static: $(MUSL)/lib/libev.a $(MUSL)/lib/libinih.a
	$(MAKE) BUILD=build/static CC=musl-gcc CFLAGS='$(STATIC_CFLAGS)' LDFLAGS='-Wl,--gc-sections -s' \
	        LIBEV='$(MUSL)/lib/libev.a' LIBINIH='$(MUSL)/lib/libinih.a' build/static/aiorun

$(MUSL)/lib/libev.a: .ci/musl-libev
	.ci/musl-libev $(MUSL)

$(MUSL)/lib/libinih.a: .ci/musl-inih
	.ci/musl-inih $(MUSL)

# The program for Windows, made by mingw-w64.
MINGW := x86_64-w64-mingw32
MINGW_CFLAGS := -D__USE_MINGW_ANSI_STDIO=1 -D_WIN32_WINNT=0x0A00 -municode \
                -include src/win32/c11.h -isystem build/mingw

windows: build/mingw/ini.h
	$(MAKE) BUILD=build/win32 SYSTEM=win32 CC=$(MINGW)-gcc AR=$(MINGW)-ar CODE= \
	        LINK='-municode -static -Wl,--wrap=fopen' \
	        EXTRA_CFLAGS='$(MINGW_CFLAGS)' LDFLAGS=-lws2_32 LIBEV= LIBINIH= build/win32/aiorun.exe \
	        build/win32/libaiorun.a build/win32/libaiorun.dll

$(BUILD)/aiorun.exe: $(call objects,$(PROGRAM))
	$(CC) $(CFLAGS) $(EXTRA_CFLAGS) $(LINK) -o $@ $^ $(LDFLAGS)

$(BUILD)/libaiorun.dll: $(BUILD)/obj/lib/libaiorun.o
	$(CC) -shared -Wl,--out-implib,$@.a -o $@ $< $(LDFLAGS)

build/win32/victim.exe build/win32/console.exe: build/win32/%.exe: tests/win32/%.c tests/win32/event.h
	@mkdir -p $(@D)
	$(MINGW)-gcc -std=c11 $(WARNINGS) -D_WIN32_WINNT=0x0A00 -O1 -municode -static -o $@ $<

build/win32/speaker.exe: tests/win32/speaker.c windows
	$(MINGW)-gcc -std=c11 $(WARNINGS) -O1 -static -Isrc -o $@ $< build/win32/libaiorun.a

windows-check: windows $(addprefix build/win32/,victim.exe console.exe speaker.exe)
	python3 tests/win32/run.py

# inih's header is every system's; see src/win32/inih.c.
build/mingw/ini.h:
	@mkdir -p $(@D)
	cp "$$(echo '#include <ini.h>' | gcc -E -M - | grep -o '/[^ ]*/ini\.h')" $@

# ---- tests ---------------------------------------------------------------------------------

$(BUILD)/unit/%: $(BUILD)/obj/tests/unit/%.o $(call objects,$(PURE))
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(EXTRA_CFLAGS) $(LINK) -o $@ $^ -lcmocka $(LIBINIH)

$(BUILD)/unit/test_libaiorun: $(BUILD)/obj/src/client/posix/libaiorun.o

$(BUILD)/sim: $(call objects,$(wildcard tests/sim/*.c) $(CORE))
	$(CC) $(CFLAGS) $(EXTRA_CFLAGS) $(LINK) -o $@ $^

$(BUILD)/e2e/victim: tests/e2e/victim.c Makefile
	@mkdir -p $(@D)
	$(CC) -std=c11 -D_GNU_SOURCE $(WARNINGS) -O2 -g -o $@ $<

check:
	tests/check

unit: $(addprefix $(BUILD)/unit/,$(UNIT_TESTS))
	@tests/count.sh $(addprefix $(BUILD)/unit/,$(UNIT_TESTS))

sim: $(BUILD)/sim
	$(BUILD)/sim

mutants:
	tests/sim/mutants.py

e2e: $(BUILD)/aiorun $(BUILD)/e2e/victim
	python3 tests/e2e/run.py -j 3 --binary $(BUILD)/aiorun

SANITIZERS := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

# The sanitizers' build of everything, and the end-to-end tests that a sanitizer can run under.
asan: $(BUILD)/e2e/victim
	$(MAKE) BUILD=build/asan EXTRA_CFLAGS='$(SANITIZERS)' CFLAGS='-O1 -g' unit \
	        build/asan/aiorun build/asan/sim
	build/asan/sim --schedules 20000
	python3 tests/e2e/run.py -j 3 --binary build/asan/aiorun --sanitized

# valgrind makes vfork a fork, knows no pidfd, and is slow: the tests for which that is all the same.
valgrind: $(BUILD)/aiorun $(BUILD)/e2e/victim
	python3 tests/e2e/run.py -j 3 --binary $(BUILD)/aiorun --valgrind \
	        -k '^orphans\.|^(?!examples\.).*test_row|^fleet\.test_(end_that|needs|ready)'

# For all fuzzers together.
FUZZ_SECONDS ?= 32
FUZZ_CC := clang -std=c11 -D_GNU_SOURCE -Isrc -DAIORUN_VERSION='"$(VERSION)"' -g -O1 \
           -fno-sanitize-recover=all -MMD -MP

build/fuzz/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(FUZZ_CC) -fsanitize=fuzzer-no-link,address,undefined -c -o $@ $<

build/fuzz/%: build/fuzz/obj/tests/fuzz/%.o $(patsubst %.c,build/fuzz/obj/%.o,$(PURE))
	$(FUZZ_CC) -fsanitize=fuzzer,address,undefined -o $@ $^ $(LIBINIH)

# New inputs go to build/fuzz/found; the committed corpus only grows on purpose.
fuzz: $(addprefix build/fuzz/,$(FUZZERS))
	@for fuzzer in $(FUZZERS); do \
	    mkdir -p build/fuzz/found/$$fuzzer; \
	    build/fuzz/$$fuzzer -max_total_time=$$(($(FUZZ_SECONDS) / $(words $(FUZZERS)))) \
	        -timeout=10 -verbosity=0 -artifact_prefix=build/fuzz/ build/fuzz/found/$$fuzzer \
	        tests/fuzz/corpus/$${fuzzer#fuzz_} || exit 1; \
	done; echo '$(words $(FUZZERS)) passed, 0 failed'

BENCH_TOOLS := $(patsubst tests/bench/%.c,build/bench/%,$(wildcard tests/bench/*.c))

# The least there can be: no C library.
BENCH_LINK_bare   := -nostdlib -ffreestanding -fno-stack-protector
BENCH_LINK_victim := $(BENCH_LINK_bare)
BENCH_LINK_fleet_bare := $(BENCH_LINK_bare)

build/bench/%: tests/bench/%.c $(wildcard tests/bench/*.h) Makefile
	@mkdir -p $(@D)
	$(CC) -std=c11 -D_GNU_SOURCE $(WARNINGS) -O2 -static $(BENCH_LINK_$*) -o $@ $<

# Some five minutes; BENCH=quick takes one.
bench: $(BUILD)/aiorun static $(BENCH_TOOLS)
	python3 tests/bench/bench.py --build build --out build/bench
	python3 tests/bench/fleet.py --build build --out build/bench
	python3 tests/bench/relay.py --build build --out build/bench

layers: $(BUILD)/aiorun
	python3 tests/layers.py $(BUILD)/obj

docs-check: $(BUILD)/aiorun
	python3 tests/docs.py $(BUILD)/aiorun

# ---- the sources -----------------------------------------------------------------------------

format:
	clang-format -i $(C_FILES)

format-check:
	clang-format --dry-run -Werror $(C_FILES)
	@echo '1 passed, 0 failed'

tidy:
	clang-tidy --quiet $(PROGRAM) -- -std=c11 -D_GNU_SOURCE -Isrc -DAIORUN_VERSION='"$(VERSION)"'

# Lines that the unit and end-to-end tests run.  aiorun leaves by _exit(2) or a signal, so it writes
# its counts by itself (stderr.c).
cover:
	$(MAKE) BUILD=build/cover CFLAGS='-O0 -g --coverage -DAIORUN_COVERAGE' unit build/cover/aiorun
	$(MAKE) build/e2e/victim
	-python3 tests/e2e/run.py -j 3 --binary build/cover/aiorun
	find build/cover -name '*.gcda' -path '*/obj/src/*' -o -name '*.gcda' -path '*/obj/cmd/*' | \
	    xargs gcov -n 2>/dev/null | python3 tests/cover.py

# ---- what is shipped ---------------------------------------------------------------------------

LIB_MANUALS := man/aiorun.3
MANUALS := $(wildcard man/*.[1-9])
manual_place = $(DESTDIR)$(PREFIX)/share/man/man$(patsubst .%,%,$(suffix $(1)))/$(notdir $(1))
install_page = install -D -m 644 $(1) $(call manual_place,$(1))

# Where each shell looks for completions.
COMPLETION_bash := share/bash-completion/completions/aiorun
COMPLETION_zsh  := share/zsh/site-functions/_aiorun
COMPLETION_fish := share/fish/vendor_completions.d/aiorun.fish
SHELLS := bash zsh fish

$(BUILD)/completion.%: $(BUILD)/aiorun
	$(BUILD)/aiorun completion $* >$@

install: $(BUILD)/aiorun install-lib $(addprefix $(BUILD)/completion.,$(SHELLS))
	install -D -m 755 $(BUILD)/aiorun $(DESTDIR)$(PREFIX)/bin/aiorun
	@set -e; $(foreach shell,$(SHELLS),install -D -m 644 $(BUILD)/completion.$(shell) \
	    $(DESTDIR)$(PREFIX)/$(COMPLETION_$(shell));)
	@set -e; $(foreach page,$(filter-out $(LIB_MANUALS),$(MANUALS)),$(call install_page,$(page));)

install-lib: lib
	install -D -m 644 src/client/aiorun.h $(DESTDIR)$(PREFIX)/include/aiorun.h
	install -D -m 644 $(BUILD)/libaiorun.a $(DESTDIR)$(LIBDIR)/libaiorun.a
	install -D -m 755 $(BUILD)/libaiorun.so.1 $(DESTDIR)$(LIBDIR)/libaiorun.so.1
	ln -sf libaiorun.so.1 $(DESTDIR)$(LIBDIR)/libaiorun.so
	install -D -m 644 $(BUILD)/aiorun.pc $(DESTDIR)$(LIBDIR)/pkgconfig/aiorun.pc
	@set -e; $(foreach page,$(LIB_MANUALS),$(call install_page,$(page));)

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/aiorun $(DESTDIR)$(PREFIX)/include/aiorun.h
	rm -f $(addprefix $(DESTDIR)$(LIBDIR)/,libaiorun.a libaiorun.so.1 libaiorun.so)
	rm -f $(DESTDIR)$(LIBDIR)/pkgconfig/aiorun.pc
	rm -f $(foreach shell,$(SHELLS),$(DESTDIR)$(PREFIX)/$(COMPLETION_$(shell)))
	rm -f $(foreach page,$(MANUALS),$(call manual_place,$(page)))

dist:
	@mkdir -p build
	git archive --prefix=aiorun-$(VERSION)/ -o build/aiorun-$(VERSION).tar.gz HEAD

clean:
	rm -rf build

demo: $(BUILD)/aiorun
	conf/examples/demo.sh $(BUILD)/aiorun

-include $(shell find $(BUILD)/obj build/fuzz/obj -name '*.d' 2>/dev/null)

# pophaul: GNU make, one file. `make help` lists the targets.
# CC, CFLAGS, CPPFLAGS, LDFLAGS, PREFIX and DESTDIR are yours, on the command line or
# in the environment; ours come first. The other folders only the command line changes.

VERSION  := 0.1.0
PREFIX   ?= /usr/local
BINDIR   := $(PREFIX)/bin
MANDIR   := $(PREFIX)/share/man
DOCDIR   := $(PREFIX)/share/doc/pophaul
UNITDIR  := $(PREFIX)/lib/systemd/user
BUILD    := build
CFLAGS   ?= -O2 -g
PACKAGES := gnutls libsasl2 libconfuse libseccomp

# The packages come before anything asks pkg-config for their flags; -n, -q and -t install none.
GOALS    := $(or $(MAKECMDGOALS),all)
NO_BUILD := clean help dist uninstall
option    = $(findstring $(1),$(firstword -$(MAKEFLAGS)))
ifneq ($(filter-out $(NO_BUILD),$(GOALS)),)
KINDS    := $(if $(call option,n)$(call option,q)$(call option,t),,$(if $(filter demo,$(GOALS)),build) \
	$(if $(filter check check-crash,$(GOALS)),test) $(foreach kind,lint fuzz bench,$(filter $(kind),$(GOALS))))
ifneq ($(strip $(KINDS)),)
ifneq ($(shell contrib/install-deps $(KINDS) >&2 || echo failed),)
$(error contrib/install-deps $(strip $(KINDS)) failed: see above)
endif
endif
PKG_CFLAGS := $(shell pkg-config --cflags 'gnutls >= 3.7' $(filter-out gnutls,$(PACKAGES)) || echo failed)
PKG_LIBS   := $(shell pkg-config --libs $(PACKAGES) || echo failed)
# Of what hardens a program, all that this compiler has for its processor.
HARDENING  := $(shell for flag in -D_FORTIFY_SOURCE=3 -fstack-clash-protection -fcf-protection -mbranch-protection=standard; do \
	$(CC) -O2 -Werror -U_FORTIFY_SOURCE "$$flag" -include stdio.h -x c -c -o /dev/null /dev/null 2>/dev/null && echo "$$flag"; done)
ifneq ($(filter failed,$(PKG_CFLAGS) $(PKG_LIBS)),)
$(error libraries are missing: run contrib/install-deps build)
endif
endif

OUR_CPPFLAGS := -Isrc -D_GNU_SOURCE -DPOPHAUL_VERSION='"$(VERSION)"'
OUR_CFLAGS   := -std=c11 -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
	-Wwrite-strings -Wpointer-arith -Wno-missing-field-initializers -Wformat -Werror=format-security \
	-fPIE -fstack-protector-strong $(filter-out -D%,$(HARDENING)) -MMD -MP
OUR_LDFLAGS  := -pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack
ifneq ($(filter-out 0,$(WERROR)),)
OUR_CFLAGS += -Werror
endif
ifneq ($(filter-out 0,$(SANITIZE)),)
# gcc 12 takes vsnprintf(NULL, 0, ...) for a mistake when it instruments.
OUR_CFLAGS  += -fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer \
	-Wno-error=format-truncation
OUR_LDFLAGS += -fsanitize=$(SANITIZE)
else ifeq ($(findstring _FORTIFY_SOURCE,$(CPPFLAGS) $(CFLAGS)),)
OUR_CPPFLAGS += $(if $(filter-out -O0,$(filter -O%,$(CFLAGS))),-U_FORTIFY_SOURCE $(or $(filter -D%,$(HARDENING)),-D_FORTIFY_SOURCE=2))
endif
quoted  = $(subst ','\'',$(1))
# One short line a command; V=1 shows the commands themselves, -s nothing.
quiet   = $(if $(filter-out 0,$(V)),,@$(if $(call option,s),,echo '$(1)';))
COMPILE = $(CC) $(OUR_CPPFLAGS) $(OUR_CFLAGS) $(PKG_CFLAGS) $(CPPFLAGS) $(CFLAGS)
LINK    = $(CC) $(OUR_CFLAGS) $(CFLAGS) $(OUR_LDFLAGS) $(LDFLAGS)

SOURCES := $(wildcard src/*/*.c src/*/*/*.c)
OBJECTS := $(SOURCES:%.c=$(BUILD)/%.o)
UNITS   := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/*_test.c))
FAKEPOP := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/fakepop/*.c))
PROGRAM := $(BUILD)/pophaul
HELPERS := $(addprefix $(BUILD)/tests/,fakepop/fakepop saslpop/saslpop takeover/takeover)
REPLAYS := $(patsubst %_fuzz.c,$(BUILD)/%_replay,$(wildcard tests/fuzz/*_fuzz.c))
# The main() of replays; tests/fuzz/run puts the flag of a fuzzing engine in its place.
FUZZER  := $(BUILD)/tests/fuzz/replay.o

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all bench check check-crash demo lint install uninstall clean dist help units fuzz FORCE

all: $(PROGRAM)

$(BUILD)/tests/saslpop/saslpop $(BUILD)/tests/takeover/takeover: %: %.o
$(PROGRAM) $(BUILD)/tests/takeover/takeover: $(BUILD)/src/main.o $(BUILD)/libpophaul.a
$(UNITS): %: %.o $(BUILD)/libpophaul.a
$(BUILD)/tests/fakepop/fakepop: $(FAKEPOP)
$(REPLAYS): %_replay: %_fuzz.o $(BUILD)/tests/fuzz/world.o $(BUILD)/tests/fuzz/remains.o $(filter %.o,$(FUZZER)) $(BUILD)/libpophaul.a
$(REPLAYS): private OUR_LDFLAGS += -Wl,--wrap=poll $(filter-out %.o,$(FUZZER))
$(PROGRAM) $(UNITS) $(HELPERS) $(REPLAYS):
	$(call quiet,LINK $@)$(LINK) -o $@ $^ $(PKG_LIBS)

$(BUILD)/libpophaul.a: $(OBJECTS)
	@rm -f $@
	$(call quiet,AR   $@)$(AR) rcs $@ $^

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call quiet,CC   $<)$(COMPILE) -c -o $@ $<

# Rewritten only when the flags differ from the last build's, which then rebuilds everything.
$(BUILD)/flags: FORCE
	@mkdir -p $(BUILD)
	@printf '%s\n' '$(call quoted,$(COMPILE) $(LINK) $(PKG_LIBS))' | cmp -s - $@ || \
		printf '%s\n' '$(call quoted,$(COMPILE) $(LINK) $(PKG_LIBS))' > $@

units: $(UNITS)
fuzz: ; @tests/fuzz/run
bench: $(PROGRAM) $(HELPERS) ; @BUILD='$(abspath $(BUILD))' CC='$(CC)' tests/bench/run

check: $(PROGRAM) $(HELPERS) $(UNITS) $(REPLAYS)
	@BUILD='$(abspath $(BUILD))' contrib/run-tests $(TESTS)
check-crash: $(PROGRAM) $(HELPERS)
	@BUILD='$(abspath $(BUILD))'; export BUILD; tests/crash/deaths && tests/crash/faults
demo: $(PROGRAM) $(HELPERS) ; @BUILD='$(abspath $(BUILD))' contrib/demo
lint: $(PROGRAM)
	@BUILD='$(abspath $(BUILD))' COMPILE='$(call quoted,$(OUR_CPPFLAGS) $(PKG_CFLAGS))' contrib/lint

install: $(PROGRAM)
	install -d '$(DESTDIR)$(BINDIR)' '$(DESTDIR)$(MANDIR)/man1' '$(DESTDIR)$(MANDIR)/man5' \
		'$(DESTDIR)$(DOCDIR)/oauth2' '$(DESTDIR)$(UNITDIR)'
	install -m 755 $(PROGRAM) '$(DESTDIR)$(BINDIR)/pophaul'
	for page in pophaul.1 pophaul.conf.5; do install -m 644 man/$$page '$(DESTDIR)$(MANDIR)/man'$${page##*.} || exit; done
	install -m 644 README COPYING sample.conf '$(DESTDIR)$(DOCDIR)'
	install -m 755 contrib/oauth2/* '$(DESTDIR)$(DOCDIR)/oauth2' && chmod 644 '$(DESTDIR)$(DOCDIR)/oauth2/README'
	install -m 644 contrib/systemd/pophaul.* '$(DESTDIR)$(UNITDIR)'
	sed -i 's|/usr/local/bin|$(BINDIR)|' '$(DESTDIR)$(UNITDIR)/pophaul.service'

uninstall:
	rm -f '$(DESTDIR)$(BINDIR)/pophaul' '$(DESTDIR)$(MANDIR)/man1/pophaul.1' \
		'$(DESTDIR)$(MANDIR)/man5/pophaul.conf.5' '$(DESTDIR)$(UNITDIR)/pophaul.service' \
		'$(DESTDIR)$(UNITDIR)/pophaul.timer' \
		$(patsubst %,'$(DESTDIR)$(DOCDIR)/%',README COPYING sample.conf oauth2/README oauth2/oauth2-token)
	@for dir in '$(DESTDIR)$(DOCDIR)/oauth2' '$(DESTDIR)$(DOCDIR)'; do [ ! -d "$$dir" ] || rmdir --ignore-fail-on-non-empty "$$dir"; done

# Only what make has built: BUILD may have been mistyped, or be the sources themselves.
clean:
	@[ ! -e '$(BUILD)' ] || { grep -qs POPHAUL_VERSION '$(BUILD)/flags' && [ ! -e '$(BUILD)/Makefile' ]; } || \
		{ echo "clean: '$(BUILD)' is not a folder that make has built" >&2; exit 1; }
	rm -rf '$(BUILD)'

dist:
	@mkdir -p $(BUILD)
	@[ -e $(BUILD)/flags ] || echo 'nothing is compiled with this POPHAUL_VERSION yet' > $(BUILD)/flags
	git archive --prefix=pophaul-$(VERSION)/ -o $(BUILD)/pophaul-$(VERSION).tar.gz HEAD
	@echo $(BUILD)/pophaul-$(VERSION).tar.gz

help:
	@echo 'all        build build/pophaul (V=1, WERROR=1, SANITIZE=address,undefined)'
	@echo 'demo       fetch a sample mailbox from a local server, show what arrived'
	@echo 'bench      measure beside the other fetchers that are installed (ONLY="latency idle", ROUNDS=5)'
	@echo 'fuzz       feed parsers and sessions with octets made by a machine (FUZZ_TIME=60)'
	@echo 'check      build and run all tests (TESTS="tests/20-config.bats" for some)'
	@echo 'check-crash kill a session, and let it fail, at each call (a quarter of an hour)'
	@echo 'lint       format, static analysis, house rules'
	@echo 'install    to PREFIX ($(PREFIX)), under DESTDIR; uninstall takes it back'
	@echo 'clean      remove build/          dist   make a release archive from HEAD'

-include $(OBJECTS:.o=.d) $(BUILD)/src/main.d $(UNITS:=.d) $(FAKEPOP:.o=.d) $(HELPERS:=.d) $(wildcard $(BUILD)/tests/fuzz/*.d)

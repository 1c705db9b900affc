# coir: an effect runtime for C
#
#     make                 the library, in build/
#     make deps test       installs what is missing (Debian), builds and runs every test
#     make help            all there is to make
#
# ------------------------------------------------------------------------------------------------- what you may set
#
# A variable of yours goes behind make: make CC=clang CFLAGS=-O3

CFLAGS  = -O2 -g
WERROR  = -Werror
PREFIX  = /usr/local
LIBDIR  = $(PREFIX)/lib
DESTDIR =
CHECK   =# 1: the checking build, with coir's own assertions, in build/check
ONLY    =# run only those tests whose suite/sentence contains it
FUZZ_SECONDS = 60# how long fuzz hunts
SEEDS   = 100# of explore: how many for each budget
ARGS    =# of the demo, and of the table of bench; deep for models
K       =# of fault: only the K-th allocation or thread fails
V       =# 1: show the commands

# --------------------------------------------------------------------------------------------------- what there is
#
# A folder of src is a floor, in this order, see tests/check/layers; each has its tests in the folder of the same name.

FLOORS    = base value io fiber resource sync channel sched outside sim observe runtime
SOURCES   = $(wildcard src/*/*.c)
FAULT     = $(wildcard tests/fault/*.c)
RANDOM    = $(wildcard tests/random/*.c)
TESTS     = $(wildcard $(FLOORS:%=tests/%/*.c) tests/law/*.c) $(filter-out tests/fault/sweep.c,$(FAULT)) $(RANDOM)
# Those that also run simulated, as far as they are not TEST_REAL. base/ and value/ run nothing, sched/ is about threads, the others do it themselves.
SIMULATED = $(wildcard $(patsubst %,tests/%/*.c,io fiber resource sync channel outside observe)) tests/law/monad.c tests/runtime/run.c
STRESS    = $(wildcard tests/stress/*.c)
FUZZ      = $(wildcard tests/fuzz/*.c)
BENCH     = $(wildcard tests/bench/*.c)
HEADERS   = $(wildcard include/*.h include/coir/*.h)
# A program of docs/examples is built with the parts beside it whose headers it includes.
PROGRAMS  = $(basename $(notdir $(shell grep -l '^int main' docs/examples/*.c docs/examples/*.cpp)))
PARTS     = $(filter-out $(PROGRAMS:%=docs/examples/%.c),$(wildcard docs/examples/*.c)) $(wildcard docs/examples/*.h)
VERSION   = $(shell sed -n 's/^.define COIR_VERSION  *"\(.*\)"/\1/p' include/coir.h)
SONAME    = libcoir.so.$(firstword $(subst ., ,$(VERSION)))

# ---------------------------------------------------------------------------------------------------- the variants
#
# A variant of the build has a directory of its own. `plain` is build/ itself, and with `clang` it has the tests under Criterion; the
# others have them in one process with the runner of ours, because Criterion dies under the thread sanitizer and lets leaks pass. OWN=1 has it used there,
# too: it shares the tests out among the processors.

VARIANT = plain
B       = build$(subst /plain,,/$(VARIANT))$(if $(filter 1,$(CHECK)),/check)
OWN     = $(filter-out plain clang,$(VARIANT))

flags.asan     = -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -DCOIR_PLAIN_MEMORY -DCHECK_SLOWNESS=20
flags.tsan     = -O1 -fsanitize=thread -fno-omit-frame-pointer -DCOIR_TSAN -Itests/sanitizers/tsan -DCHECK_SLOWNESS=20
flags.ubsan    = -O1 -fsanitize=undefined -fno-sanitize-recover=all -DCHECK_SLOWNESS=2
flags.fault    = -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -DCOIR_PLAIN_MEMORY -DCOIR_CHECK
flags.fuzz     = -O1 -fsanitize=address -fno-omit-frame-pointer -DCOIR_PLAIN_MEMORY
library.fuzz   = -fsanitize=fuzzer-no-link
flags.valgrind = -O1 -DCOIR_PLAIN_MEMORY -DCHECK_SLOWNESS=50
flags.sim      = -O2 -DCOIR_CHECK -DCHECK_SIMULATED -DCHECK_SLOWNESS=500

launch.asan     = env ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:quarantine_size_mb=32 UBSAN_OPTIONS=print_stacktrace=1:abort_on_error=1 $(SAME_ADDRESSES)
launch.tsan     = env TSAN_OPTIONS=second_deadlock_stack=1:history_size=5 $(SAME_ADDRESSES)
launch.ubsan    = env UBSAN_OPTIONS=print_stacktrace=1
launch.fault    = env ASAN_OPTIONS=detect_leaks=1:quarantine_size_mb=8 UBSAN_OPTIONS=print_stacktrace=1 $(SAME_ADDRESSES)
launch.valgrind = valgrind --quiet --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite,indirect,possible \
                  --show-leak-kinds=definite,indirect,possible --trace-children=yes --fair-sched=yes
# Kernels that scatter addresses widely are too much for the sanitizers of some compilers.
SAME_ADDRESSES  = $(shell setarch -R true 2>/dev/null && echo setarch -R)

# ---------------------------------------------------------------------------------------------------- how it is made

WARNINGS  = -Wall -Wextra -Wpedantic -Wshadow -Wconversion $(WERROR)
MODE      = $(CFLAGS) $(flags.$(VARIANT)) $(if $(filter 1,$(CHECK)),-DCOIR_CHECK)
COMPILE   = $(CC) -std=c11 $(WARNINGS) $(MODE) -Iinclude -pthread
LIBRARY   = $(COMPILE) -D_GNU_SOURCE -fvisibility=hidden -fPIC -fno-tree-slp-vectorize -Isrc $(CK_CFLAGS) $(library.$(VARIANT))
TEST      = $(COMPILE) -D_GNU_SOURCE -Isrc -Itests $(CK_CFLAGS) $(RUNNER_CFLAGS)
LINK      = $(CC) $(MODE) -pthread
LIBS      = $(B)/libcoir.a $(CK_LIBS)
# Asked for when a recipe needs it: `deps`, earlier in the same run, may have brought it.
CK_CFLAGS = $(shell pkg-config --cflags ck)
CK_LIBS   = $(shell pkg-config --libs ck)
RUNNER_CFLAGS = $(if $(OWN),-DCOIR_OWN_RUNNER,$(shell pkg-config --cflags criterion))
RUNNER_LIBS   = $(if $(OWN),,$(shell pkg-config --libs criterion))

object    = $(patsubst %.c,$(B)/obj/%.o,$(1))
RUNNER    = $(call object,$(addprefix tests/check/,check.c $(if $(OWN),runner.c share.c $(if $(filter sim,$(VARIANT)),simulate,once).c,criterion.c)))
AFTER_DEPS = $(filter deps,$(MAKECMDGOALS))

MAKEFLAGS += --no-print-directory
ifeq ($(V),)
.SILENT:
endif
.DELETE_ON_ERROR:
.SECONDARY:

.PHONY: all
all: $(B)/libcoir.a $(B)/libcoir.so $(B)/coir.pc	## the library, static and shared

# Written anew only when the flags change, which then makes everything anew.
$(B)/flags: always | $(AFTER_DEPS)
	mkdir -p $(@D)
	echo '$(LIBRARY) $(RUNNER_CFLAGS)' | cmp -s - $@ || echo '$(LIBRARY) $(RUNNER_CFLAGS)' >$@

$(B)/obj/src/%.o: src/%.c $(B)/flags
	echo "  cc      $<"
	mkdir -p $(@D)
	$(LIBRARY) -MMD -MP -c -o $@ $<

$(B)/obj/tests/%.o: tests/%.c $(B)/flags
	echo "  cc      $<"
	mkdir -p $(@D)
	$(TEST) -MMD -MP -c -o $@ $<

$(B)/obj/tests/bench/%.o: tests/bench/%.c $(B)/flags
	echo "  cc      $<"
	mkdir -p $(@D)
	$(COMPILE) -MMD -MP -c -o $@ $<

-include $(patsubst %.o,%.d,$(call object,$(SOURCES) $(TESTS) $(FAULT) $(STRESS) $(FUZZ) $(BENCH) $(wildcard tests/check/*.c))) $(B)/unload.d

$(B)/libcoir.a: $(call object,$(SOURCES))
	echo "  ar      $@"
	rm -f $@
	$(AR) rcs $@ $^

# With Concurrency Kit inside where its static library can be, so that who has libcoir.so needs nothing else.
$(B)/libcoir.so.$(VERSION): $(call object,$(SOURCES)) src/coir.map
	echo "  link    $@"
	shared="$(LINK) -shared -Wl,-soname,$(SONAME) -Wl,--version-script=src/coir.map -Wl,-z,defs -o $@ $(filter %.o,$^)"; \
	$$shared -Wl,-Bstatic $(CK_LIBS) -Wl,-Bdynamic 2>/dev/null || $$shared $(CK_LIBS)

$(B)/libcoir.so: $(B)/libcoir.so.$(VERSION)
	ln -sf $(<F) $(B)/$(SONAME)
	ln -sf $(SONAME) $@

$(B)/coir.pc: src/coir.pc.in always
	mkdir -p $(@D)
	sed 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@INCLUDEDIR@|$(PREFIX)/include|; s|@VERSION@|$(VERSION)|' $< >$@

$(B)/tests: $(call object,$(TESTS)) $(RUNNER) $(B)/libcoir.a
	echo "  link    $@"
	$(LINK) -o $@ $(filter %.o,$^) $(LIBS) $(RUNNER_LIBS)

$(B)/simulated: $(call object,$(SIMULATED)) $(RUNNER) $(B)/libcoir.a
	echo "  link    $@"
	$(LINK) -o $@ $(filter %.o,$^) $(LIBS) $(RUNNER_LIBS)

$(B)/stress: $(call object,$(STRESS)) $(RUNNER) $(B)/libcoir.a
	echo "  link    $@"
	$(LINK) -o $@ $(filter %.o,$^) $(LIBS) $(RUNNER_LIBS)

# Threads that cannot be started are its own doing, so it stands between coir and these two.
$(B)/fault: $(call object,$(FAULT))
$(B)/selffault: $(call object,tests/check/selffault.c tests/fault/fault.c tests/fault/sweep.c)
$(B)/fault $(B)/selffault: $(call object,tests/check/check.c) $(B)/libcoir.a
	echo "  link    $@"
	$(LINK) -Wl,--wrap=pthread_create,--wrap=pthread_join -o $@ $(filter %.o,$^) $(LIBS)

$(B)/programs: $(call object,tests/fuzz/program.c $(RANDOM)) $(B)/libcoir.a
	echo "  link    $@"
	$(LINK) -fsanitize=fuzzer -o $@ $(filter %.o,$^) $(LIBS)

$(B)/seeds: $(call object,tests/fuzz/seeds.c $(RANDOM)) $(B)/libcoir.a
	echo "  link    $@"
	$(LINK) -o $@ $(filter %.o,$^) $(LIBS)

# Knows the library by its header alone.
$(B)/unload: tests/check/unload.c $(B)/flags
	echo "  cc      $<"
	$(COMPILE) -MMD -MP -MF $@.d -o $@ $< -ldl

$(B)/selftest: $(call object,tests/check/selftest.c) $(RUNNER) $(B)/libcoir.a
	echo "  link    $@"
	$(LINK) -o $@ $(filter %.o,$^) $(LIBS) $(RUNNER_LIBS)

$(B)/bench: $(call object,$(BENCH)) $(B)/libcoir.a
	echo "  link    $@"
	$(LINK) -o $@ $(filter %.o,$^) $(LIBS) -lm

EXAMPLE = parts=$$(sed -n 's|^.include "\(.*\)\.h"|docs/examples/\1.c|p' $<); \
    packages=$$(cat $< $$parts | sed -n 's|^.include <curl/.*|libcurl|p; s|^.include <microhttpd.*|libmicrohttpd|p; s|^.include <uv\.h.*|libuv|p; s|^.include <glib.*|glib-2.0|p' | sort -u); \
    $(1) $(WARNINGS) $(MODE) -Iinclude -pthread -o $@ $< $$parts $(LIBS) $$([ -z "$$packages" ] || pkg-config --cflags --libs $$packages)

$(B)/examples/%: docs/examples/%.c $(PARTS) $(B)/libcoir.a
	echo "  cc      $<"
	mkdir -p $(@D)
	$(call EXAMPLE,$(CC) -std=c11)

$(B)/examples/%: docs/examples/%.cpp $(PARTS) $(B)/libcoir.a
	echo "  c++     $<"
	mkdir -p $(@D)
	$(call EXAMPLE,$(CXX) -std=c++17)

# ------------------------------------------------------------------------------------------------------ what to make

SUITES       = "$(launch.$(VARIANT)) $(B)/tests $(if $(OWN),-j$(shell nproc) $(ONLY),$(if $(ONLY),--filter '*$(ONLY)*'))"
RUN_EXAMPLES = "LAUNCH='$(launch.$(VARIANT))' tests/check/examples $(B)"

.PHONY: test examples demo bench
test: all $(B)/tests $(B)/unload examples $(B)/bench	## every test: suites under Criterion, examples, headers, layers, pages, exported names, unloading
	tests/check/tally $(SUITES) $(if $(ONLY),,$(RUN_EXAMPLES) tests/check/headers tests/check/layers tests/check/pages \
	    "tests/check/exports $(B)" "$(B)/unload $(CURDIR)/$(B)/libcoir.so" $(patsubst %,"% $(B)",$(wildcard tests/demo/run)))

examples: $(PROGRAMS:%=$(B)/examples/%)	## the programs of docs/examples

demo: $(B)/examples/bounded_api_calls	## thousands of API calls, never more than a few at once; ARGS='--help' lists what can be set
	$< $(ARGS)

bench: $(B)/bench	## one line of figures for each workload, with the budget
	$< --table $(ARGS)

.PHONY: check asan tsan ubsan valgrind clang stress explore fault fuzz models selftest
check: | $(AFTER_DEPS)	## the suites and examples in the checking build
	$(MAKE) CHECK=1 run-tests

asan:	## the same under the sanitizers for addresses, leaks and undefined behaviour
tsan:	## the same under the thread sanitizer
ubsan:	## the same under the sanitizer for undefined behaviour alone, optimised as usual
valgrind:	## the suites under valgrind
asan tsan ubsan valgrind: | $(AFTER_DEPS)
	$(MAKE) VARIANT=$@ run-tests

clang: | $(AFTER_DEPS)	## the suites and examples, all built by clang
	$(MAKE) VARIANT=clang CC=clang CXX=clang++ run-tests

stress: | $(AFTER_DEPS)	## many threads for minutes; also with VARIANT=tsan
	$(MAKE) VARIANT=$(if $(OWN),$(VARIANT),own) run-stress

explore: | $(AFTER_DEPS)	## the suites simulated, under each budget from 1 to 64 with SEEDS seeds each; ONLY=part
	$(MAKE) VARIANT=sim run-explore

fault: | $(AFTER_DEPS)	## programs in which each allocation fails, and each thread; ONLY=program K=17 repeats one
	$(MAKE) VARIANT=fault run-fault

fuzz: | $(AFTER_DEPS)	## random programs against a plain evaluator, led by libFuzzer, for FUZZ_SECONDS; what fails stays in build/fuzz/found
	$(MAKE) VARIANT=fuzz CC=clang run-fuzz

models: | $(AFTER_DEPS)	## every state of the models of what fibers and workers agree on, by spin; ONLY=pool one of them; ARGS=deep more of it, for minutes
	tests/check/tally "tests/models/run $(ARGS) $(ONLY)"

selftest: | $(AFTER_DEPS)	## whether tests that must fail do, under each runner and sanitizer; models, too
	for variant in plain own asan tsan ubsan sim; do $(MAKE) VARIANT=$$variant CHECK= build-selftest || exit 1; done
	$(MAKE) VARIANT=fault CHECK= build/fault/selffault
	tests/check/selftest

# In the variant at hand; called by the targets above.
.PHONY: run-tests run-stress run-explore run-fault run-fuzz build-selftest
run-tests: $(if $(OWN),,all) $(B)/tests $(if $(filter valgrind,$(VARIANT)),,examples)
	tests/check/tally $(SUITES) $(if $(ONLY)$(filter valgrind,$(VARIANT)),,$(RUN_EXAMPLES))

run-stress: $(B)/stress
	tests/check/tally "$(launch.$(VARIANT)) $(B)/stress -v $(ONLY)"

run-explore: $(B)/simulated
	tests/check/tally "$(B)/simulated -s $(SEEDS) $(ONLY)"

run-fault: $(B)/fault
	tests/check/tally "$(launch.$(VARIANT)) $(B)/fault $(K:%=-k %) $(ONLY)"

run-fuzz: $(B)/programs $(B)/seeds
	tests/check/tally "$(SAME_ADDRESSES) tests/fuzz/run $(B) $(FUZZ_SECONDS)"

build-selftest: $(B)/selftest

.PHONY: layers format deps install uninstall clean help always
layers:	## the order of the floors in src
	tests/check/layers

format:	## gives the .c files that you changed the shape of .clang-format; FILES=... others
	clang-format -i $(or $(FILES),$(shell git diff --name-only --diff-filter=AM HEAD -- '*.c'))

deps:	## what the build and the tests need, installed from Debian
	missing=; \
	need() { package=$$1; shift; "$$@" >/dev/null 2>&1 || missing="$$missing $$package"; }; \
	need build-essential $(CXX) --version; \
	need pkg-config pkg-config --version; \
	need libck-dev pkg-config --exists ck; \
	need libcriterion-dev pkg-config --exists criterion; \
	need libcurl4-openssl-dev pkg-config --exists libcurl; \
	need libmicrohttpd-dev pkg-config --exists libmicrohttpd; \
	need libuv1-dev pkg-config --exists libuv; \
	need libglib2.0-dev pkg-config --exists glib-2.0; \
	need clang clang --version; \
	need libclang-rt-dev sh -c 'test -e "$$(clang -print-file-name=libclang_rt.fuzzer-$$(uname -m).a)"'; \
	need valgrind valgrind --version; \
	need spin spin -V; \
	[ -z "$$missing" ] && exit 0; \
	install="apt-get install -y --no-install-recommends$$missing"; \
	if [ "$$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then \
	    echo "missing packages; on Debian type: sudo $$install"; exit 1; \
	fi; \
	export DEBIAN_FRONTEND=noninteractive; \
	$$install || { apt-get update && $$install; }

install: all	## the library, its headers and coir.pc, below DESTDIR and PREFIX
	install -d '$(DESTDIR)$(PREFIX)/include/coir' '$(DESTDIR)$(LIBDIR)/pkgconfig'
	install -m 644 include/coir.h '$(DESTDIR)$(PREFIX)/include/'
	install -m 644 include/coir/*.h '$(DESTDIR)$(PREFIX)/include/coir/'
	install -m 644 $(B)/libcoir.a '$(DESTDIR)$(LIBDIR)/'
	install -m 755 $(B)/libcoir.so.$(VERSION) '$(DESTDIR)$(LIBDIR)/'
	ln -sf libcoir.so.$(VERSION) '$(DESTDIR)$(LIBDIR)/$(SONAME)'
	ln -sf $(SONAME) '$(DESTDIR)$(LIBDIR)/libcoir.so'
	install -m 644 $(B)/coir.pc '$(DESTDIR)$(LIBDIR)/pkgconfig/'

uninstall:	## takes it away again
	rm -rf '$(DESTDIR)$(PREFIX)/include/coir' '$(DESTDIR)$(PREFIX)/include/coir.h' '$(DESTDIR)$(LIBDIR)/pkgconfig/coir.pc'
	rm -f '$(DESTDIR)$(LIBDIR)/libcoir.a' '$(DESTDIR)$(LIBDIR)/libcoir.so' '$(DESTDIR)$(LIBDIR)/$(SONAME)' \
	    '$(DESTDIR)$(LIBDIR)/libcoir.so.$(VERSION)'

clean:	## all of build/
	rm -rf build

help:	## this list
	sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r target what; do printf '  %-12s %s\n' "$$target" "$$what"; done
	echo 'to set: CC CXX CFLAGS WERROR PREFIX LIBDIR DESTDIR CHECK=1 ONLY=part-of-a-test-name ARGS FILES FUZZ_SECONDS SEEDS OWN=1 V=1'

# Portway - `make help` lists the targets, `make` builds build/bin/{controld,relayd,portway}.
#
#   SAN=address|thread|fuzz   sanitizer builds, each in a tree of its own (build/address/bin, ...)
#   CC=clang                  another compiler, again in its own tree
#   O=DIR                     another build folder

VERSION  := 0.1.0
O        ?= build
SAN      ?=
PREFIX   ?= /usr/local
DESTDIR  ?=
PYTHON   ?= /usr/bin/python3

ifeq ($(SAN),fuzz)
  CC := clang
endif
ifeq ($(origin CC),default)
  CC := gcc
endif
IS_CLANG := $(findstring clang,$(CC))
OUT      := $(O)$(if $(SAN),/$(SAN))$(if $(and $(IS_CLANG),$(filter-out fuzz,$(or $(SAN),none))),/clang)
CCACHE   := $(shell command -v ccache 2>/dev/null)

WARN     := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
CFLAGS_0 := -std=gnu11 -g -fno-strict-aliasing -pthread -I. $(WARN)
HARDEN   := -O2 -fPIE -fstack-protector-strong -fstack-clash-protection -fcf-protection -D_FORTIFY_SOURCE=2
LD_HARD  := -pie -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed
ifeq ($(SAN),)
  CFLAGS_V := $(HARDEN)
  LDFLAGS_V := $(LD_HARD)
else ifeq ($(SAN),address)
  CFLAGS_V := -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
  LDFLAGS_V := -fsanitize=address,undefined
else ifeq ($(SAN),thread)
  CFLAGS_V := -O1 -fno-omit-frame-pointer -fsanitize=thread
  LDFLAGS_V := -fsanitize=thread
else ifeq ($(SAN),fuzz)
  CFLAGS_V := -O1 -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
  LDFLAGS_V := -fsanitize=fuzzer,address,undefined
else
  $(error SAN must be address, thread or fuzz, not '$(SAN)')
endif
# Some three hundred programs are linked for the tests: a fast linker where there is one.
LD_FAST  := $(if $(and $(SAN),$(shell command -v ld.lld 2>/dev/null)),-fuse-ld=lld)
LDFLAGS_V += $(LD_FAST)
ALL_CFLAGS := $(CFLAGS_0) $(CFLAGS_V) $(CFLAGS)

# Which foreign libraries each program is linked with; which folder may include them is in scripts/check-layers.
LIBS_common   := -lssl -lcrypto -lsodium -lyaml -lm -lpthread
LIBS_controld := -lcurl -lnng -levent_core -levent_extra -levent_openssl -ljansson -lsqlite3 -lpq -lz $(LIBS_common)
LIBS_relayd   := -lnng -luv -lzstd -lwslay -lz -lnghttp2 $(LIBS_common)
LIBS_portway  := -luv -lzstd -lwslay -lcurl -ljansson $(LIBS_common)

SRC_common   := $(filter-out common/uv/% common/tunnel/% common/nng/%,$(wildcard common/*/*.c))
SRC_uv       := $(wildcard common/uv/*.c common/tunnel/*.c)
SRC_nng      := $(wildcard common/nng/*.c)
SRC_proto    := $(wildcard proto/*.c)
SRC_controld := $(filter-out controld/main.c,$(wildcard controld/*.c controld/*/*.c controld/*/*/*.c))
SRC_relayd   := $(filter-out relayd/main.c,$(wildcard relayd/*.c relayd/*/*.c))
SRC_portway  := $(filter-out client/main.c,$(wildcard client/*.c client/*/*.c client/*/*/*.c))
MAIN_controld := controld/main.c
MAIN_relayd   := relayd/main.c
MAIN_portway  := client/main.c

LIB_BASE      := $(OUT)/lib/libproto.a $(OUT)/lib/libcommon.a
ARCH_controld := $(OUT)/lib/libcontrold.a $(OUT)/lib/libnngtls.a $(LIB_BASE)
ARCH_relayd   := $(OUT)/lib/librelayd.a $(OUT)/lib/libnngtls.a $(OUT)/lib/libuvio.a $(LIB_BASE)
ARCH_portway  := $(OUT)/lib/libportway.a $(OUT)/lib/libuvio.a $(LIB_BASE)

obj = $(patsubst %.c,$(OUT)/obj/%.o,$(1))
# Migrations become a C table.
SQL            := $(wildcard controld/store/migrations/*.sql controld/store/migrations/*/*.sql)
OBJ_controld   := $(OUT)/obj/controld/store/migrations.o
BINS := $(OUT)/bin/controld $(OUT)/bin/relayd $(OUT)/bin/portway

.PHONY: all
all: $(BINS) ## build controld, relayd and portway into build/bin (also plain `make`)

.SECONDEXPANSION:
$(BINS): $(OUT)/bin/%: $$(call obj,$$(MAIN_$$*)) $$(ARCH_$$*)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_V) $(LDFLAGS) -o $@ $^ $(LIBS_$*)

define archive
$(OUT)/lib/lib$(1).a: $(call obj,$(2)) $(OBJ_$(1)) $(OUT)/lists
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(AR) rcs $$@ $$(filter %.o,$$^)
endef
$(eval $(call archive,common,$(SRC_common)))
$(eval $(call archive,uvio,$(SRC_uv)))
$(eval $(call archive,nngtls,$(SRC_nng)))
$(eval $(call archive,proto,$(SRC_proto)))
$(eval $(call archive,controld,$(SRC_controld)))
$(eval $(call archive,relayd,$(SRC_relayd)))
$(eval $(call archive,portway,$(SRC_portway)))

# The flags and the file lists are files, so that a changed flag, a new or a deleted source rebuilds what it must.
$(OUT)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(ALL_CFLAGS) $(VERSION)' | cmp -s - $@ || echo '$(CC) $(ALL_CFLAGS) $(VERSION)' >$@
$(OUT)/lists: FORCE
	@mkdir -p $(@D)
	@echo '$(SRC_common) $(SRC_uv) $(SRC_nng) $(SRC_proto) $(SRC_controld) $(SRC_relayd) $(SRC_portway) $(SQL)' | cmp -s - $@ || \
	 echo '$(SRC_common) $(SRC_uv) $(SRC_nng) $(SRC_proto) $(SRC_controld) $(SRC_relayd) $(SRC_portway) $(SQL)' >$@
.PHONY: FORCE
FORCE:

$(OUT)/obj/%.o: %.c $(OUT)/flags
	@mkdir -p $(@D)
	$(CCACHE) $(CC) $(ALL_CFLAGS) -DPORTWAY_VERSION='"$(VERSION)"' -MMD -MP -c -o $@ $<

$(OUT)/gen/migrations.c: $(SQL) scripts/embed-sql $(OUT)/lists
	@mkdir -p $(@D)
	@scripts/embed-sql controld/store/migrations >$@.new && mv $@.new $@

$(OBJ_controld): $(OUT)/gen/migrations.c $(OUT)/flags
	@mkdir -p $(@D)
	$(CCACHE) $(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# ---- unit tests: tests/unit/<program>/test_*.c, one binary each ---------------------------------------------------------
UNIT_SRC := $(wildcard tests/unit/*/test_*.c)
UNIT_BIN := $(patsubst tests/unit/%.c,$(OUT)/unit/%,$(UNIT_SRC))
UNIT_ARCH_common := $(OUT)/lib/libnngtls.a $(OUT)/lib/libuvio.a $(LIB_BASE)
UNIT_LIBS_common := -lnng -luv -lzstd -lwslay $(LIBS_common)
UNIT_ARCH_proto := $(LIB_BASE)
UNIT_LIBS_proto := $(LIBS_common)
UNIT_ARCH_controld := $(ARCH_controld)
UNIT_LIBS_controld := $(LIBS_controld)
UNIT_ARCH_relayd := $(ARCH_relayd)
UNIT_LIBS_relayd := $(LIBS_relayd)
UNIT_ARCH_client := $(ARCH_portway)
UNIT_LIBS_client := $(LIBS_portway)
part = $(word 1,$(subst /, ,$(1)))

$(UNIT_BIN): $(OUT)/unit/%: $(OUT)/obj/tests/unit/%.o $$(UNIT_ARCH_$$(call part,$$*))
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_V) $(LDFLAGS) -o $@ $^ -lcmocka $(UNIT_LIBS_$(call part,$*))

# What rests on a database; these run on PostgreSQL as well, on one server for all.
STORED := $(foreach t,store changes watch lease cluster throttle migrate secrets rotate chain janitor idempotency tenant user session api_key signing_key identity mirror resolver \
	port traffic tunnels_api balancer_api certs_api series search mapping_status fleet fleet_ca turn model_reader model_certs fleet_peers roster eraser node_cert job_secret jobs schedule lb_standing request_grant,$(filter %/controld/test_$(t),$(UNIT_BIN)))

.PHONY: unit unit-bins unit-postgres
unit-bins: $(UNIT_BIN)
unit: $(UNIT_BIN) ## unit tests of this variant (SAN=, CC=)
	@scripts/run-unit $(UNIT_BIN)
	@$(MAKE) --no-print-directory unit-postgres

unit-postgres: $(STORED)
	@PORTWAY_TEST_DATABASE=postgresql tests/lib/postgres.py scripts/run-unit $(STORED)

# Tests of parts that several threads share; these run under TSan as well.
# One name a line, sorted; test_<name> and test_<name>_*.
THREADED_NAMES := \
	access_log \
	agent_door \
	agents \
	certs \
	changes \
	datagram \
	fleet \
	health \
	hub \
	janitor \
	jobs \
	lb_parts \
	link \
	log \
	loop \
	mapping_status \
	meter \
	metrics \
	model_reader \
	outbound \
	parks \
	pool \
	postgres \
	rand \
	rate \
	server \
	snapshot \
	store \
	stream \
	tunnel \
	tunnels \
	vhost \
	workers
# A pattern of make has one %, so those with more behind the name are found by the last part of their path.
THREADED := $(foreach t,$(THREADED_NAMES),$(foreach b,$(UNIT_BIN),$(if $(filter test_$(t) test_$(t)_%,$(notdir $(b))),$(b))))
.PHONY: unit-threaded threaded-bins
threaded-bins: $(sort $(THREADED))
unit-threaded: $(sort $(THREADED))
	@TSAN_OPTIONS="suppressions=$(CURDIR)/tests/tsan.supp $$TSAN_OPTIONS" scripts/run-unit $(sort $(THREADED))

# ---- tools of tests and benchmarks: tests/lib/<name>.c, one program each ------------------------------------------------
TOOL_SRC := $(wildcard tests/lib/*.c)
TOOL_BIN := $(patsubst tests/lib/%.c,$(OUT)/bin/%,$(TOOL_SRC))
.PHONY: tools
tools: $(TOOL_BIN) $(OUT)/bin/controld-next
$(TOOL_BIN): $(OUT)/bin/%: $(OUT)/obj/tests/lib/%.o $(OUT)/lib/libnngtls.a $(OUT)/lib/libportway.a $(OUT)/lib/libuvio.a $(LIB_BASE)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_V) $(LDFLAGS) -o $@ $^ -lnng -levent_core -levent_extra $(LIBS_portway)

# ---- instructions of pure code: tests/bench/cost/*.c, one program ------------------------------------------------------
COST_OBJ := $(patsubst %.c,$(OUT)/obj/%.o,$(wildcard tests/bench/cost/*.c))
$(OUT)/bin/cost: $(COST_OBJ) $(ARCH_relayd)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_V) $(LDFLAGS) -o $@ $^ -lhttp_parser $(LIBS_relayd)

# A controld that is one migration ahead: its table of migrations comes before the library's.
NEXT_SQL := tests/lib/next_migration.sql
$(OUT)/gen/next/migrations.c: $(SQL) $(NEXT_SQL) scripts/embed-sql $(OUT)/lists
	@rm -rf $(@D) && mkdir -p $(@D)/sql && cp -r controld/store/migrations/. $(@D)/sql
	@newest=$$(ls controld/store/migrations/*.sql | sed -n '$$s|.*/0*\([0-9]*\)_.*|\1|p') && \
	 (echo "-- compatible: $$newest"; cat $(NEXT_SQL)) >$(@D)/sql/$$(printf '%04d' $$((newest + 1)))_next.sql
	@scripts/embed-sql $(@D)/sql >$@.new && mv $@.new $@
$(OUT)/obj/next_migrations.o: $(OUT)/gen/next/migrations.c $(OUT)/flags
	@mkdir -p $(@D)
	$(CCACHE) $(CC) $(ALL_CFLAGS) -c -o $@ $<
$(OUT)/bin/controld-next: $(call obj,$(MAIN_controld)) $(OUT)/obj/next_migrations.o $(ARCH_controld)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_V) $(LDFLAGS) -o $@ $^ $(LIBS_controld)

# ---- fuzzing: tests/fuzz/<part>/fuzz_*.c; without SAN=fuzz they are linked with a driver that replays files ------------
FUZZ_SRC := $(wildcard tests/fuzz/*/fuzz_*.c)
FUZZ_BIN := $(patsubst tests/fuzz/%.c,$(OUT)/fuzz/%,$(FUZZ_SRC))
FUZZ_DRIVER := $(if $(filter fuzz,$(SAN)),,$(OUT)/obj/tests/fuzz/replay.o)

$(FUZZ_BIN): $(OUT)/fuzz/%: $(OUT)/obj/tests/fuzz/%.o $(FUZZ_DRIVER) $$(UNIT_ARCH_$$(call part,$$*))
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_V) $(LDFLAGS) -o $@ $^ $(UNIT_LIBS_$(call part,$*))

.PHONY: fuzz-bins
fuzz-bins: $(FUZZ_BIN)

# ---- what people type ------------------------------------------------------------------------------------------------
SECONDS ?= 60
ROUNDS  ?= 20
METRIC  ?=
T       ?=
DB      ?= sqlite
# Files of scenarios that run at once, each in a network of its own (where those can be made); they mostly wait.
# ASIDE= runs one after the other.
ASIDE   ?= $(shell unshare --net true 2>/dev/null && echo 3)
ASIDE_ARGS = $(if $(ASIDE),--dist loadfile --tx '$(ASIDE)*popen//python=$(CURDIR)/tests/lib/python-own-network')
# What `make test` runs on PostgreSQL, too; those of test_database_* are there in any case.
SCENARIOS_STORED := test_api_rules or test_mapping_life or test_tenant_wall or test_kill_rounds or test_database_commands or test_all_that_it_has \
	or test_killed_in_the_middle or test_who_bounced or test_schedules

.PHONY: deps run test test-unit test-race test-scenario fuzz fuzz-replay soak bench bench-results cost lint format install clean help
deps: ## install what building, running, testing and linting need (Debian packages, by name)
	scripts/deps build run test lint bench

run: ## quickstart: controld and a relay on this machine, a mapping, traffic; Ctrl-C stops all
	@scripts/deps build run
	@$(MAKE) --no-print-directory -s -j2 all
	@scripts/run

test: ## everything: unit tests and scenarios under ASan+UBSan, threads under TSan, fuzz corpora replayed
	@scripts/deps test
	@$(MAKE) --no-print-directory -s -j2 SAN=address all tools unit-bins fuzz-bins
	@$(MAKE) --no-print-directory test-unit
	@scripts/beside '$(MAKE) --no-print-directory fuzz-replay && $(MAKE) --no-print-directory -s -j2 SAN=thread threaded-bins' \
	 '$(MAKE) --no-print-directory test-scenario && $(MAKE) --no-print-directory test-scenario DB=postgresql T="$(SCENARIOS_STORED)"'
	@$(MAKE) --no-print-directory test-race

test-unit: ## unit tests under ASan+UBSan
	@$(MAKE) --no-print-directory -s -j2 SAN=address unit

test-race: ## unit tests of the threaded parts under TSan
	@$(MAKE) --no-print-directory -s -j2 SAN=thread unit-threaded

test-scenario: ## scenarios against the real binaries (T=name runs one, DB=postgresql there, ASIDE= one by one), under ASan+UBSan
	@$(MAKE) --no-print-directory -s -j2 SAN=address all tools
	@PORTWAY_BIN=$(abspath $(O))/address/bin PORTWAY_TEST_DATABASE=$(DB) \
	 $(PYTHON) -m pytest -q -p no:cacheprovider $(ASIDE_ARGS) $(if $(T),-k '$(T)') tests/scenario

fuzz-replay: ## run every fuzz target over its corpus, under ASan+UBSan
	@$(MAKE) --no-print-directory -s -j2 SAN=address fuzz-bins
	@scripts/run-fuzz replay $(O)/address/fuzz

fuzz: ## fuzz every target, SECONDS=60 in all
	@scripts/deps test
	@$(MAKE) --no-print-directory -s -j2 SAN=fuzz fuzz-bins
	@scripts/run-fuzz $(SECONDS) $(O)/fuzz/fuzz

soak: ## the long rounds: kill -9 under load, 100,000 connections (ROUNDS=20)
	@scripts/deps test
	@$(MAKE) --no-print-directory -s -j2 all tools
	@PORTWAY_BIN=$(abspath $(O))/bin PORTWAY_ROUNDS=$(ROUNDS) $(PYTHON) -m pytest -q -p no:cacheprovider -s $(if $(T),-k $(T)) tests/fault

bench: ## measure relayd beside its peers and the control plane (METRIC="bulk1 crr" picks some)
	@scripts/deps bench
	@$(MAKE) --no-print-directory -s -j2 all tools
	@tests/bench/run $(METRIC)

bench-results: ## make tests/bench/RESULTS.md and its picture of the last run
	@tests/bench/run --publish

cost: ## count instructions of pure code (METRIC="http lb route")
	@scripts/deps bench
	@$(MAKE) --no-print-directory -s -j2 $(OUT)/bin/cost
	@tests/bench/cost/run $(METRIC)

lint: ## format, warnings of clang, clang-tidy, cppcheck, include arrows, headers, budgets, man pages
	@scripts/deps lint
	@scripts/lint

format: ## rewrite the sources in the house's format
	clang-format -i $$(git ls-files '*.c' '*.h')

install: all ## install into $(DESTDIR)$(PREFIX)
	scripts/install '$(O)/bin' '$(DESTDIR)' '$(PREFIX)'

clean: ## remove the build tree
	rm -rf $(O)

# ---- names that other documents use for these, so that nobody has to look them up -------------------------------------
.PHONY: run-dev build-tools test-integration test-load test-coverage coverage-html docker-build release db-help db-menu \
	db-init db-migrate db-migrate-schema db-list db-reset db-rotate-key db-backup
DB_COMMAND = @$(OUT)/bin/controld db

run-dev: run ## the same as run
build-tools: all tools ## the programs, and what tests and benchmarks use
test-integration: test-scenario ## the same as test-scenario
test-load: bench ## the same as bench

test-coverage: ## unit tests with gcov; a line for each folder (needs gcov, which comes with gcc)
	@$(MAKE) --no-print-directory -s -j2 O=$(O)/coverage CFLAGS='--coverage -O0 -U_FORTIFY_SOURCE' LDFLAGS=--coverage unit
	@scripts/coverage $(O)/coverage

coverage-html:
	@echo 'coverage-html: there are no pages; make test-coverage prints a table' >&2; exit 2

docker-build:
	@echo 'docker-build: there is no image; make install DESTDIR=... lays out what one needs' >&2; exit 2

release:
	@echo 'release: a release is a tag; make install DESTDIR=... and tar make an archive of it' >&2; exit 2

db-menu: all ## controld db on a terminal: asks what to do (-database URL and so on: ARGS=)
	$(DB_COMMAND) $(ARGS)
db-help: all
	$(DB_COMMAND) help
db-init: ## make a new database (ARGS="-database URL": not that of the settings; for all of these)
db-migrate: ## bring the database to this version; a start does the same
db-list: ## list the migrations, and when they were applied
db-reset: ## erase everything; asks for the database's name
db-rotate-key: ## seal everything with another master key
db-init db-migrate db-list db-reset db-rotate-key: all
	$(DB_COMMAND) $(@:db-%=%) $(ARGS)
db-backup: all ## write a consistent copy to FILE=
	@[ -n "$(FILE)" ] || { echo 'db-backup: say FILE=' >&2; exit 2; }
	$(DB_COMMAND) backup $(FILE) $(ARGS)
db-migrate-schema: all ## bring the database to SCHEMA=0018_search_text
	@[ -n "$(SCHEMA)" ] || { echo 'db-migrate-schema: say SCHEMA=; make db-list shows them' >&2; exit 2; }
	$(DB_COMMAND) migrate -schema $(SCHEMA) $(ARGS)

help: ## this list
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "  %-17s %s\n", $$1, $$2}'

-include $(shell find $(OUT)/obj -name '*.d' 2>/dev/null)

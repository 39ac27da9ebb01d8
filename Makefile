SWIFT_BUILD = swift build -c release --explicit-target-dependency-import-check error

.PHONY: build install test test-xgboost-1.7 demo demo-soak format describe bench models prove-knowledge prove-storage fuzz simulate prove-interruption prove-inference prove-autonomy

build:
	scripts/bootstrap
	$(SWIFT_BUILD)

PREFIX ?= /usr/local

# Puts the program into PREFIX/bin with Swift's libraries within it and without symbols: 38 MB, which need the C and C++ libraries, SQLite and zlib.
install: build
	scripts/link-program .build/skerry-installed
	install -D -m 755 .build/skerry-installed $(DESTDIR)$(PREFIX)/bin/skerry

# Suites of servers, which answer in time only while nothing else holds both cores; the others compute for minutes.
# A few tests at once: with hundreds, each waits for all.
SERVERS = ^DemoTests\.DemoCluster|^(APIServer|CloudHub|Controllers|EdgeAccess|FuzzTests|HubProtocol|Identity|KubernetesClient|Network|NodeAgent|Reconciliation|Resources|Simulation|Serving|Storage)[A-Za-z]*\.|^EndToEndTests\.(Autonomy|Cloud|Doctor|Edge|FileTransfer|Hub|Job|Join|Kubectl|Model|Node|Python|Rollout|Sedna|WorkerPod)|^WorkersTests\.(Adaptation|JointWorker|NodeBounds|NumberWorker|PythonExample|ServeSoak|ServeWorker|Stream|TrainWorker|Triton|VersionLives)

# Everything CI runs. Release, because the tests work on the whole database.
test:
	scripts/bootstrap
	swift format lint --strict --recursive Package.swift Sources Tests
	$(SWIFT_BUILD) --build-tests
	scripts/run-tests swift test -c release --skip-build --filter '$(SERVERS)' --experimental-maximum-parallelization-width 4
	scripts/run-tests swift test -c release --skip-build --skip '$(SERVERS)'

# The main job on the real data: learns for some minutes, leaves its results in skerry-demo/.
demo: build
	.build/release/skerry demo thermal-comfort

# Runs the demo DEMO_RUNS times on the real data, each with a cloud and edges of its own; ends at the first run that fails.
demo-soak: build
	scripts/soak-demo $${DEMO_RUNS:-20}

format:
	swift format --in-place --recursive Package.swift Sources Tests

# Checks the real data and prints the rounds of the learning protocol.
describe: build
	.build/release/skerry dataset describe thermal-comfort

# Trains the baselines on the real data and prints their figures.
bench: build
	.build/release/skerry bench learning
	.build/release/skerry bench knowledge
	.build/release/skerry bench inference

# Kills a recording program at many random moments; the same test runs with a few in `make test`.
prove-knowledge:
	scripts/bootstrap
	$(SWIFT_BUILD) --build-tests
	SKERRY_KILLS=$${SKERRY_KILLS:-1000} swift test -c release --skip-build --filter KnowledgeCrashTests

# Fails every I/O call of the object store on a simulated disk, and kills a loaded cloud at many random moments; `make test` does a share.
prove-storage:
	scripts/bootstrap
	$(SWIFT_BUILD) --build-tests
	SKERRY_FAULT_POINTS=all swift test -c release --skip-build --filter StorageFaultTests
	SKERRY_KILLS=$${SKERRY_KILLS:-1000} swift test -c release --skip-build --filter CloudCrashTests

# Gives every reader of the API changed inputs for FUZZ_SECONDS each, from a seed that is printed; `make test` does a share. FUZZ_TARGETS=table,json
# gives them to some alone.
fuzz:
	scripts/bootstrap
	$(SWIFT_BUILD) --build-tests
	SKERRY_FUZZ_TARGETS=$${FUZZ_TARGETS:-} SKERRY_FUZZ_SECONDS=$${FUZZ_SECONDS:-1200} swift test -c release --skip-build --filter FuzzTests

# Runs cloud and edges through SEEDS random lives with everything that can go wrong; a seed that fails is printed, and SEED=n runs it again.
simulate:
	scripts/bootstrap
	$(SWIFT_BUILD) --build-tests
	env SKERRY_SEEDS=$${SEEDS:-10000} $${SEED:+SKERRY_SEED=$$SEED} swift test -c release --skip-build --filter SimulationTests

# Cuts the link of an edge with running Pods, kills it, kills its cloud, begins it without a link, SKERRY_CUTS times in all; `make test` does a share.
prove-autonomy:
	scripts/bootstrap
	$(SWIFT_BUILD) --build-tests
	SKERRY_CUTS=$${SKERRY_CUTS:-200} swift test -c release --skip-build --filter 'AutonomyTests|EndToEndTests.HubTests'

# A serving worker over a million requests, each answer checked, a hundred versions and a hundred kills; then one life of it over a million requests
# and a hundred versions, whose memory may grow by 1 %. `make test` does a share of both.
prove-inference:
	scripts/bootstrap
	$(SWIFT_BUILD) --build-tests
	SKERRY_REQUESTS=$${SKERRY_REQUESTS:-1000000} SKERRY_SWAPS=100 SKERRY_KILL_EVERY=10000 swift test -c release --skip-build --filter ServeSoakTests

# Presses Ctrl-C at many random moments of a small demo; the same test runs with a few in `make test`.
prove-interruption:
	scripts/bootstrap
	$(SWIFT_BUILD) --build-tests
	SKERRY_INTERRUPTIONS=$${SKERRY_INTERRUPTIONS:-200} swift test -c release --skip-build --filter DemoCommandTests

# Rebuilds models/ from the real data and compares files with cards.
models: build
	.build/release/skerry models build
	.build/release/skerry models check models/thermal-comfort/*.onnx

# The training tests on Debian's XGBoost 1.7, unpacked into .deps without installing it.
test-xgboost-1.7:
	scripts/bootstrap
	scripts/unpack-xgboost-1.7
	$(SWIFT_BUILD) --build-tests
	LD_LIBRARY_PATH=.deps/xgboost-1.7 SKERRY_XGBOOST_LIB=.deps/xgboost-1.7/libxgboost.so.0 \
		swift test -c release --skip-build --filter TrainingTests

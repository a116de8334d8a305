# Few verbs. Everything heavy lives in scripts/; the Rust target folder lives outside the clone.
.PHONY: build dev test lint proto bench chaos network fuzz attack damage byzantine follow metamorphic bench-page

build: ## bin/ordo, bin/ordo-bench, bin/plugins/, bin/contracts/; ORDO_MALACHITE=1: the consensus plugin malachite too
	@scripts/setup.sh

dev: build ## set up, build, run a dev node; ARGS="--ordering fee"
	@exec bin/ordo dev $(ARGS)

test: ## set up, then all tests
	@scripts/setup.sh --tests
	@scripts/test.sh

lint: ## gofmt, vet, staticcheck, tidy go.mod, make proto changes nothing, shellcheck, rustfmt, clippy; make test runs it first
	@scripts/lint.sh

proto: ## regenerate the Go code of sdk/proto and core/network/wire (needs no protoc), and the copies in examples
	@cd sdk/proto/gen && go run . .. && go run . ../../../core/network wire/network.proto
	@cp sdk/proto/ordo/v1/base.proto sdk/proto/ordo/v1/ordering.proto examples/ordering-python/proto/ordo/v1/
	@cp sdk/proto/ordo/v1/base.proto sdk/proto/ordo/v1/consensus.proto examples/consensus-rotation/proto/ordo/v1/

bench: build ## execution through the plugin against the bare crate; ARGS="--json FILE"
	@bin/ordo-bench exec $(ARGS)

FUZZTIME ?= 60s
fuzz: ## every fuzz test for FUZZTIME each
	@go run ./test/attack/fuzz -time $(FUZZTIME)

attack: ## a node under every attack at once beside an honest load, and again in 2 GB (ten minutes); ARGS="--duration 1m --limited 0"
	@scripts/setup.sh --tests
	@scripts/attack.sh $(ARGS)

damage: build ## 10,000 damaged requests per method, 2,000 sockets
	@ORDO_ATTACK=full go test -count=1 -timeout 1h -run 'Mutated|SocketAttack|RealNode' -v ./core/rpc ./test/attack

chaos: build ## kills processes of a node under load and checks what was promised; ARGS="--kills 1000 --seed N", ARGS="--localnet 4 --kills 200"
	@go run ./test/chaos $(ARGS)

follow: build ## followers that are far behind, lied to, beside a busy node, with figures; ORDO_FOLLOW_BLOCKS=N ORDO_FOLLOW_RATE=N
	@ORDO_FOLLOW_BLOCKS=$${ORDO_FOLLOW_BLOCKS:-10000} ORDO_FOLLOW_RATE=$${ORDO_FOLLOW_RATE:-1000} go test -count=1 -v -timeout 60m -run 'TestFollower' ./test/localnet

network: build ## a localnet of four under load and every fault, one validator 1,000 blocks late; ARGS="-seed N -rounds K -late BLOCKS"
	@go test -count=1 -timeout 12h -run TestNetworkUnderFaults -v ./test/localnet -args -rounds 1 $(ARGS)

byzantine: build ## a whole node with one faulty plugin, every fault; ORDO_BYZANTINE=N: N of each stage
	@ORDO_BYZANTINE=$${ORDO_BYZANTINE:-all} go test -count=1 -timeout 40m ./test/byzantine

metamorphic: build ## generated programs on every engine of the executor; ARGS="-programs 400 -seed 0"
	@scripts/metamorphic.sh $(ARGS)

bench-page: build ## measures everything and makes docs/benchmarks
	@bin/ordo-bench all --out docs/benchmarks/raw $(ARGS)
	@cd docs/benchmarks/page && go run . ..

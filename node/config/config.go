// Package config is the table of the settings: for each its key in the file, its flag, its environment variables and its help.
// A flag beats the environment, the environment beats the file, the file beats the default.
package config

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"time"

	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	"github.com/ordo-sequencer/ordo/core/rpc"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
)

// Config is a whole node.
type Config struct {
	Host string
	Port uint16

	Devnet         bool     // serve devnet_*
	AllowedOrigins []string // that may call what is beside the specification; see rpc.Access
	AllowedHosts   []string
	Forbidden      []string // of the devnet_* methods
	AnswerWhen     string   // AnswerAdmitted or AnswerRun

	ChainID         string // as the protocol spells it: SN_SEPOLIA, SN_MAIN, or the operator's own
	BlockGeneration BlockGeneration
	StartTime       uint64 // of a new chain; 0: the clock's
	ExecutionMode   string // ExecutionEager or ExecutionLazy; a network file says it, too
	Order           pipeline.OrderLimits
	Gas             GasPrices

	Seed           uint32
	Accounts       int
	InitialBalance *big.Int
	AccountClass   genesis.AccountClass

	PoolTTL         time.Duration // how long a transaction may wait; 0: for ever
	PoolCapacityMiB int
	PoolAccountMiB  int // of one account
	PoolNonceGap    int

	Limits         rpc.Limits // of all that clients ask for
	TransactionMiB int        // that one transaction may hold in a block of this node's own
	Admission      gateway.Limits

	DataDir  string // empty: nothing outlives the process
	LogLevel string
	Quiet    bool   // the address and nothing else is printed at the start
	Workers  int    // of the executor; 0: one per processor
	Native   string // Cairo Native: auto, on, off or wait
	Memory   int    // MiB for all processes of the node; 0: what its cgroup allows

	MetricsAddr string // empty: no metrics

	Network Network

	Supervision Supervision

	StateArchive string // devnet's setting, accepted; history is always kept

	Ordering, Execution, Storage, Consensus Stage

	Record    string // folder for what goes between the core and consensus; empty: it is not recorded
	RecordMiB int    // most of it
}

// How a chain is executed.
const (
	ExecutionEager = "eager" // blocks run, then one of them is decided
	ExecutionLazy  = "lazy"  // an order is decided, then it runs
)

// Lazy says whether what is decided is executed.
func (c Config) Lazy() bool { return c.ExecutionMode == ExecutionLazy }

// Moments at which the answer to a transaction that is sent comes.
const (
	AnswerAdmitted = "admitted"
	AnswerRun      = "run"
)

// Stage says which plugin serves a stage, and its own settings.
type Stage struct {
	Plugin        string // a shipped name, or the path of a plugin binary
	Checksum      string // sha256:HEX of the executable; empty: not compared
	Attach        string // address of a plugin that the operator runs; empty: the node starts it
	TLS           bool   // with the spawned plugin
	CA, Cert, Key string // files, for a plugin attached over tcp
	Settings      map[string]any
}

// JSON is the settings as the plugin takes them, over the defaults that the core gives it.
func (s Stage) JSON(defaults map[string]any) ([]byte, error) {
	merged := make(map[string]any, len(defaults)+len(s.Settings))
	for key, value := range defaults {
		merged[key] = value
	}
	for key, value := range s.Settings {
		merged[key] = value
	}
	return json.Marshal(merged)
}

// BlockGeneration says when blocks are made.
type BlockGeneration struct {
	Mode     string        // "transaction", "demand" or "interval"
	Interval time.Duration // of "interval"
}

func (b BlockGeneration) String() string {
	if b.Mode == "interval" {
		return strconv.FormatFloat(b.Interval.Seconds(), 'f', -1, 64)
	}
	return b.Mode
}

func parseBlockGeneration(text string) (BlockGeneration, error) {
	switch text {
	case "transaction", "demand":
		return BlockGeneration{Mode: text}, nil
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || !(seconds >= 0.01 && seconds <= 86400) {
		return BlockGeneration{}, fmt.Errorf("%q: choose transaction, demand, or a number of seconds from 0.01 to 86400", text)
	}
	return BlockGeneration{Mode: "interval", Interval: time.Duration(seconds * float64(time.Second)).Round(time.Millisecond)}, nil
}

// GasPrices are the prices of every block, in the smallest unit of each token.
type GasPrices struct {
	L1Wei, L1Fri, L1DataWei, L1DataFri, L2Wei, L2Fri uint64
}

// Default is a node without any setting. `ordo dev` serves devnet_* beside, and differs in AnswerWhen.
func Default() Config {
	c := Config{}
	for _, o := range Options() {
		if err := o.Set(&c, o.Default); err != nil {
			panic(fmt.Sprintf("config: default of %s: %v", o.Key, err)) // the table is wrong; a test reads every row
		}
	}
	return c
}

// SoloDefaults is what the shipped consensus plugin takes for the chosen block generation.
func (c Config) SoloDefaults() map[string]any {
	settings := map[string]any{"mode": c.BlockGeneration.Mode}
	if c.BlockGeneration.Mode == "interval" {
		settings["interval_ms"] = c.BlockGeneration.Interval.Milliseconds()
		settings["empty_blocks"] = true
	}
	return settings
}

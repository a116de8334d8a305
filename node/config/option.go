package config

import (
	"fmt"
	"math/big"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ordo-sequencer/ordo/core/pipeline"
	"github.com/ordo-sequencer/ordo/core/rpc"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
)

// Option is one setting.
type Option struct {
	Key       string // in the file, dotted
	Flag      string
	Short     string
	DevnetEnv string // the variable that starknet-devnet reads for the same setting, if it has one
	Default   string
	Number    bool // written without quotes in the file
	Bool      bool // true or false, without quotes
	Rare      bool // not in the help, and in the sample file only when it is set
	Value     string
	Help      string
	Set       func(*Config, string) error
	Get       func(*Config) string
}

// Env is the variable of ordo's own; it beats devnet's.
func (o Option) Env() string {
	return "ORDO_" + strings.ToUpper(strings.ReplaceAll(o.Flag, "-", "_"))
}

// Options is the table of all settings, in the order of the sample file.
func Options() []Option {
	return slices.Concat(rpcOptions(), chainOptions(), gasOptions(), genesisOptions(), poolOptions(), sharePool(), limitOptions(), nodeOptions(), networkOptions(), supervisionOptions(), stageOptions())
}

func rpcOptions() []Option {
	return []Option{
		{Key: "rpc.host", Flag: "host", DevnetEnv: "HOST", Default: "127.0.0.1", Value: "ADDRESS", Help: "address to listen at",
			Set: func(c *Config, s string) error {
				if net.ParseIP(s) == nil && s != "localhost" {
					return fmt.Errorf("%q is not an IP address", s)
				}
				c.Host = s
				return nil
			},
			Get: func(c *Config) string { return c.Host }},
		{Key: "rpc.port", Flag: "port", DevnetEnv: "PORT", Default: "5050", Number: true, Value: "PORT",
			Help: "port to listen at; 0 takes a free one and prints it",
			Set: func(c *Config, s string) error {
				n, err := whole(s, 65535)
				c.Port = uint16(n)
				return err
			},
			Get: func(c *Config) string { return strconv.Itoa(int(c.Port)) }},
		{Key: "rpc.devnet", Flag: "devnet", Default: "false", Bool: true,
			Help: "serve the devnet_* methods, which mint, move the time and tell the keys of the predeployed accounts (ordo dev: true)",
			Set: func(c *Config, s string) (err error) {
				if c.Devnet, err = strconv.ParseBool(s); err != nil {
					return fmt.Errorf("%q: choose true or false", s)
				}
				return nil
			},
			Get: func(c *Config) string { return strconv.FormatBool(c.Devnet) }},
		list("rpc.allowed_origins", "allowed-origins", "ORIGINS",
			"origins of pages that may call devnet_* and ordo_*, beside those of this machine: https://app.example, ..., or *",
			rpc.ParseOrigins, func(c *Config) *[]string { return &c.AllowedOrigins }),
		list("rpc.allowed_hosts", "allowed-hosts", "NAMES",
			"names under which devnet_*, ordo_* and the metrics are served, beside addresses and names without a dot: node.example, ..., or *",
			rpc.ParseHosts, func(c *Config) *[]string { return &c.AllowedHosts }),
		{Key: "rpc.answer_when", Flag: "answer-when", Default: AnswerAdmitted, Value: "admitted|run",
			Help: "when starknet_add* answers: admitted: the node has promised to run it; run: what it did can be read (ordo dev)",
			Set: func(c *Config, s string) error {
				if s != AnswerAdmitted && s != AnswerRun {
					return fmt.Errorf("%q: choose %s or %s", s, AnswerAdmitted, AnswerRun)
				}
				c.AnswerWhen = s
				return nil
			},
			Get: func(c *Config) string { return c.AnswerWhen }},
	}
}

// list is a setting of several words.
func list(key, flag, value, help string, read func(string) ([]string, error), of func(*Config) *[]string) Option {
	return Option{Key: key, Flag: flag, Value: value, Help: help,
		Set: func(c *Config, s string) (err error) {
			if *of(c), err = read(s); len(*of(c)) == 0 {
				*of(c) = nil
			}
			return err
		},
		Get: func(c *Config) string { return strings.Join(*of(c), ", ") }}
}

func chainOptions() []Option {
	return []Option{
		{Key: "chain.id", Flag: "chain-id", DevnetEnv: "CHAIN_ID", Default: "TESTNET", Value: "ID",
			Help: "MAINNET, TESTNET, or a name of your own in ASCII (at most 31 characters)",
			Set:  setChainID, Get: getChainID},
		{Key: "chain.block_generation_on", Flag: "block-generation-on", DevnetEnv: "BLOCK_GENERATION_ON", Default: "transaction", Value: "WHEN",
			Help: "transaction: as soon as there are transactions; demand: on devnet_createBlock only; a number: every so many seconds",
			Set: func(c *Config, s string) (err error) {
				c.BlockGeneration, err = parseBlockGeneration(s)
				return err
			},
			Get: func(c *Config) string { return c.BlockGeneration.String() }},
		{Key: "chain.start_time", Flag: "start-time", DevnetEnv: "START_TIME", Default: "0", Number: true, Value: "SECONDS",
			Help: "time at which a new chain begins, in seconds since 1970, and from which block time goes on; 0: the clock's",
			Set: func(c *Config, s string) (err error) {
				c.StartTime, err = whole(s, 253402300799)
				return err
			},
			Get: func(c *Config) string { return strconv.FormatUint(c.StartTime, 10) }},
		{Key: "chain.execution", Flag: "chain-execution", Default: ExecutionEager, Value: "eager|lazy",
			Help: "eager: blocks run before consensus decides one; lazy: consensus decides an order, which runs then. Of a new chain, and fixed with it; a network file says it for its network",
			Set: func(c *Config, s string) (err error) {
				c.ExecutionMode, err = parseExecution(s)
				return err
			},
			Get: func(c *Config) string { return c.ExecutionMode }},
		orderOption("transactions", pipeline.DefaultOrderTransactions, "transactions of an order that this node proposes, where execution is lazy", func(c *Config) *int { return &c.Order.Transactions }),
		orderOption("bytes", pipeline.DefaultOrderBytes, "bytes of such an order", func(c *Config) *int { return &c.Order.Bytes }),
		{Key: "chain.order_gas", Flag: "chain-order-gas", Default: "0", Number: true, Rare: true, Value: "NUMBER",
			Help: "L2 gas that the transactions of such an order allow, together; 0: any",
			Set: func(c *Config, s string) (err error) {
				c.Order.Gas, err = whole(s, 1<<63)
				return err
			},
			Get: func(c *Config) string { return strconv.FormatUint(c.Order.Gas, 10) }},
		{Key: "chain.state_archive_capacity", Flag: "state-archive-capacity", DevnetEnv: "STATE_ARCHIVE_CAPACITY", Default: "full", Value: "none|full",
			Help: "accepted as devnet's; the history is kept in any case",
			Set: func(c *Config, s string) error {
				if s != "none" && s != "full" {
					return fmt.Errorf("%q: choose none or full", s)
				}
				c.StateArchive = s
				return nil
			},
			Get: func(c *Config) string { return c.StateArchive }},
	}
}

// parseExecution reads how a chain is executed.
func parseExecution(s string) (string, error) {
	if s != ExecutionEager && s != ExecutionLazy {
		return "", fmt.Errorf("%q: choose %s or %s", s, ExecutionEager, ExecutionLazy)
	}
	return s, nil
}

func orderOption(key string, otherwise int, help string, of func(*Config) *int) Option {
	o := count("", otherwise, help, of)
	o.Key, o.Flag = "chain.order_"+key, "chain-order-"+key
	return o
}

func setChainID(c *Config, s string) error {
	switch s {
	case "MAINNET":
		c.ChainID = "SN_MAIN"
		return nil
	case "TESTNET":
		c.ChainID = "SN_SEPOLIA"
		return nil
	}
	if s == "" || len(s) > 31 {
		return fmt.Errorf("%q: choose MAINNET, TESTNET, or 1 to 31 ASCII characters", s)
	}
	for _, r := range s {
		if r <= ' ' || r > '~' {
			return fmt.Errorf("%q: only printable ASCII without spaces", s)
		}
	}
	c.ChainID = s
	return nil
}

func getChainID(c *Config) string {
	switch c.ChainID {
	case "SN_MAIN":
		return "MAINNET"
	case "SN_SEPOLIA":
		return "TESTNET"
	}
	return c.ChainID
}

func gasOptions() []Option {
	price := func(key, flag, env, what string, field func(*Config) *uint64) Option {
		return Option{Key: "gas." + key, Flag: flag, DevnetEnv: env, Default: "1000000000", Number: true, Value: "PRICE", Help: what,
			Set: func(c *Config, s string) error {
				n, err := strconv.ParseUint(s, 10, 64)
				if err != nil || n == 0 {
					return fmt.Errorf("%q: choose a whole number from 1 to 2^64-1", s)
				}
				*field(c) = n
				return nil
			},
			Get: func(c *Config) string { return strconv.FormatUint(*field(c), 10) }}
	}
	return []Option{
		price("l1_wei", "gas-price", "GAS_PRICE", "wei per L1 gas", func(c *Config) *uint64 { return &c.Gas.L1Wei }),
		price("l1_fri", "gas-price-fri", "GAS_PRICE_FRI", "fri per L1 gas", func(c *Config) *uint64 { return &c.Gas.L1Fri }),
		price("l1_data_wei", "data-gas-price", "DATA_GAS_PRICE", "wei per L1 data gas", func(c *Config) *uint64 { return &c.Gas.L1DataWei }),
		price("l1_data_fri", "data-gas-price-fri", "DATA_GAS_PRICE_FRI", "fri per L1 data gas", func(c *Config) *uint64 { return &c.Gas.L1DataFri }),
		price("l2_wei", "l2-gas-price", "L2_GAS_PRICE", "wei per L2 gas", func(c *Config) *uint64 { return &c.Gas.L2Wei }),
		price("l2_fri", "l2-gas-price-fri", "L2_GAS_PRICE_FRI", "fri per L2 gas", func(c *Config) *uint64 { return &c.Gas.L2Fri }),
	}
}

func genesisOptions() []Option {
	return []Option{
		{Key: "genesis.seed", Flag: "seed", DevnetEnv: "SEED", Default: "0", Number: true, Value: "SEED",
			Help: "seed of the predeployed accounts; 0 gives the accounts that tools know as devnet's --seed 0",
			Set: func(c *Config, s string) error {
				n, err := whole(s, 1<<32-1)
				c.Seed = uint32(n)
				return err
			},
			Get: func(c *Config) string { return strconv.FormatUint(uint64(c.Seed), 10) }},
		{Key: "genesis.accounts", Flag: "accounts", DevnetEnv: "ACCOUNTS", Default: "10", Number: true, Value: "NUMBER",
			Help: "how many accounts to predeploy, at most 255",
			Set: func(c *Config, s string) error {
				n, err := whole(s, genesis.MaxAccounts)
				c.Accounts = int(n)
				return err
			},
			Get: func(c *Config) string { return strconv.Itoa(c.Accounts) }},
		{Key: "genesis.initial_balance", Flag: "initial-balance", Short: "e", DevnetEnv: "INITIAL_BALANCE", Default: "1000000000000000000000", Value: "AMOUNT",
			Help: "balance of each predeployed account, in wei and in fri",
			Set: func(c *Config, s string) (err error) {
				c.InitialBalance, err = decimal(s)
				return err
			},
			Get: func(c *Config) string { return c.InitialBalance.String() }},
		{Key: "genesis.account_class", Flag: "account-class", DevnetEnv: "ACCOUNT_CLASS", Default: "openzeppelin", Value: "openzeppelin|native",
			Help: "class of the predeployed accounts: openzeppelin (1.0.0, what clients know; devnet's cairo1) or native (Sierra 1.9: metered in Sierra gas, fit for Cairo Native)",
			Set: func(c *Config, s string) error {
				switch s {
				case "openzeppelin", "cairo1":
					c.AccountClass = genesis.OpenZeppelin
				case "native":
					c.AccountClass = genesis.Native
				default:
					return fmt.Errorf("%q: choose openzeppelin or native", s)
				}
				return nil
			},
			Get: func(c *Config) string { return string(c.AccountClass) }},
	}
}

func poolOptions() []Option {
	return []Option{
		{Key: "pool.ttl", Flag: "pool-ttl", Default: "1h0m0s", Value: "DURATION",
			Help: "how long a transaction may wait, such as 90s or 1h; 0: for ever",
			Set: func(c *Config, s string) error {
				d, err := time.ParseDuration(s)
				if err != nil || d != 0 && d < time.Second {
					return fmt.Errorf("%q: choose a duration of at least 1s, such as 90s or 1h, or 0", s)
				}
				c.PoolTTL = d
				return nil
			},
			Get: func(c *Config) string { return c.PoolTTL.String() }},
		{Key: "pool.capacity_mib", Flag: "pool-capacity-mib", Default: "1024", Number: true, Value: "MIB",
			Help: "memory for waiting transactions with their classes, in MiB",
			Set: func(c *Config, s string) error {
				n, err := whole(s, 1<<20)
				if err == nil && n == 0 {
					err = fmt.Errorf("%q: choose at least 1", s)
				}
				c.PoolCapacityMiB = int(n)
				return err
			},
			Get: func(c *Config) string { return strconv.Itoa(c.PoolCapacityMiB) }},
	}
}

func nodeOptions() []Option {
	return []Option{
		{Key: "node.data_dir", Flag: "data-dir", Value: "FOLDER",
			Help: "folder that keeps the chain; empty: a private one that is removed at the end",
			Set:  func(c *Config, s string) error { c.DataDir = s; return nil },
			Get:  func(c *Config) string { return c.DataDir }},
		{Key: "node.log_level", Flag: "log-level", Default: "warn", Value: "LEVEL",
			Help: "trace, debug, info, warn or error (ordo dev: info, which also prints a line for each transaction and block)",
			Set: func(c *Config, s string) error {
				if !slices.Contains([]string{"trace", "debug", "info", "warn", "error"}, s) {
					return fmt.Errorf("%q: choose trace, debug, info, warn or error", s)
				}
				c.LogLevel = s
				return nil
			},
			Get: func(c *Config) string { return c.LogLevel }},
		{Key: "node.quiet", Flag: "quiet", Short: "q", Default: "false", Bool: true,
			Help: "print the address and nothing else at the start, no line for a transaction or block, and warnings and errors only unless --log-level is given",
			Set: func(c *Config, s string) (err error) {
				if c.Quiet, err = strconv.ParseBool(s); err != nil {
					return fmt.Errorf("%q: choose true or false", s)
				}
				return nil
			},
			Get: func(c *Config) string { return strconv.FormatBool(c.Quiet) }},
		{Key: "node.workers", Flag: "workers", Default: "0", Number: true, Value: "NUMBER", Help: "threads of the executor; 0: one per processor",
			Set: func(c *Config, s string) error {
				n, err := whole(s, 1024)
				c.Workers = int(n)
				return err
			},
			Get: func(c *Config) string { return strconv.Itoa(c.Workers) }},
		{Key: "node.memory_mib", Flag: "memory-mib", Default: "0", Number: true, Value: "MIB",
			Help: "memory for all processes of the node together, in MiB: each gets a share as its soft limit; 0: what the cgroup allows, and no limits where it allows all",
			Set: func(c *Config, s string) error {
				n, err := whole(s, 1<<30)
				if err == nil && n > 0 && n < leastMemory {
					err = fmt.Errorf("%q: choose at least %d, or 0", s, leastMemory)
				}
				c.Memory = int(n)
				return err
			},
			Get: func(c *Config) string { return strconv.Itoa(c.Memory) }},
		{Key: "node.native", Flag: "native", Default: "auto", Value: "auto|on|off|wait",
			Help: "Cairo Native: auto, where the executor was built with it; on: or the node does not start; off: everything on the Cairo VM; wait: compiled before a class is first used, for measurements",
			Set: func(c *Config, s string) error {
				if !slices.Contains([]string{"auto", "on", "off", "wait"}, s) {
					return fmt.Errorf("%q: choose auto, on, off or wait", s)
				}
				c.Native = s
				return nil
			},
			Get: func(c *Config) string { return c.Native }},
		{Key: "node.metrics_addr", Flag: "metrics-addr", Value: "ADDRESS:PORT",
			Help: "serve Prometheus metrics at this address under /metrics; empty: do not",
			Set: func(c *Config, s string) error {
				if s != "" {
					if err := checkAddress(s); err != nil {
						return err
					}
				}
				c.MetricsAddr = s
				return nil
			},
			Get: func(c *Config) string { return c.MetricsAddr }},
	}
}

func checkAddress(s string) error {
	if _, _, err := net.SplitHostPort(s); err != nil {
		return fmt.Errorf("%q: choose an address with a port, such as 127.0.0.1:9090", s)
	}
	return nil
}

// leastMemory is what a node cannot do without, in MiB.
const leastMemory = 512

func whole(s string, most uint64) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > most {
		return 0, fmt.Errorf("%q: choose a whole number from 0 to %d", s, most)
	}
	return n, nil
}

// decimal reads digits only: big.Int would take signs, underscores and prefixes.
func decimal(s string) (*big.Int, error) {
	if s == "" || len(s) > 78 || strings.Trim(s, "0123456789") != "" {
		return nil, fmt.Errorf("%q: choose a decimal number of at most 78 digits", s)
	}
	n, _ := new(big.Int).SetString(s, 10)
	return n, nil
}

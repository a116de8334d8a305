package config

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// devnets are all options of starknet-devnet 0.1 to 0.10 with a value that its own documentation shows, and what becomes of it here:
// what is set, or a part of what the operator reads.
var devnets = []struct {
	flag, value string
	set         func(Config) any
	want        any
	word        string
}{
	{"accounts", "3", func(c Config) any { return c.Accounts }, 3, ""},
	{"account-class", "cairo1", func(c Config) any { return string(c.AccountClass) }, "openzeppelin", ""},
	{"account-class", "cairo0", func(c Config) any { return string(c.AccountClass) }, "openzeppelin", "cairo0 is not served"},
	{"account-class-custom", "account.json", nil, nil, "--account-class"},
	{"predeclare-argent", "", nil, nil, "declares nothing"},
	{"initial-balance", "77", func(c Config) any { return c.InitialBalance.String() }, "77", ""},
	{"seed", "42", func(c Config) any { return c.Seed }, uint32(42), ""},
	{"host", "localhost", func(c Config) any { return c.Host }, "localhost", ""},
	{"port", "1234", func(c Config) any { return c.Port }, uint16(1234), ""},
	{"start-time", "1000000000", func(c Config) any { return c.StartTime }, uint64(1_000_000_000), ""},
	{"timeout", "121", func(c Config) any { return c.Limits.Work }, 121 * time.Second, ""},
	{"gas-price", "7", func(c Config) any { return c.Gas.L1Wei }, uint64(7), ""},
	{"gas-price-fri", "7", func(c Config) any { return c.Gas.L1Fri }, uint64(7), ""},
	{"data-gas-price", "7", func(c Config) any { return c.Gas.L1DataWei }, uint64(7), ""},
	{"data-gas-price-fri", "7", func(c Config) any { return c.Gas.L1DataFri }, uint64(7), ""},
	{"l2-gas-price", "7", func(c Config) any { return c.Gas.L2Wei }, uint64(7), ""},
	{"l2-gas-price-fri", "7", func(c Config) any { return c.Gas.L2Fri }, uint64(7), ""},
	{"chain-id", "MAINNET", func(c Config) any { return c.ChainID }, "SN_MAIN", ""},
	{"dump-on", "exit", nil, nil, "--data-dir"},
	{"dump-path", "dump", nil, nil, "--data-dir"},
	{"lite-mode", "", nil, nil, "always computed"},
	{"proof-mode", "devnet", nil, nil, "proofs"},
	{"block-generation-on", "demand", func(c Config) any { return c.BlockGeneration.Mode }, "demand", ""},
	{"mempool-ordering", "fifo", func(c Config) any { return c.Ordering.Plugin }, "fifo", ""},
	{"mempool-ordering", "starknet", func(c Config) any { return c.Ordering.Plugin }, "fee", ""},
	{"mempool-ordering", "random", func(c Config) any { return c.Ordering.Plugin }, "fifo", "--ordering"},
	{"mempool-random-seed", "3", nil, nil, "no random ordering"},
	{"mempool-max-transactions-per-block", "500", nil, nil, "protocol's limits"},
	{"state-archive-capacity", "none", func(c Config) any { return c.StateArchive }, "none", ""},
	{"fork-network", "http://localhost:1", nil, nil, "its own genesis"},
	{"fork-block", "7", nil, nil, "--fork-network"},
	{"fork-upstream-caching", "true", nil, nil, "--fork-network"},
	{"request-body-size-limit", "2000000", func(c Config) any { return c.Limits.Body }, 2_000_000, ""},
	{"restrictive-mode", "", func(c Config) any { return c.Forbidden }, []string{"devnet_mint", "devnet_createBlock", "devnet_getPredeployedAccounts"}, ""},
	{"maximum-contract-class-size", "5000000", func(c Config) any { return c.Admission.ClassBytes }, 5_000_000, ""},
	{"maximum-contract-bytecode-size", "90000", nil, nil, "limits.class_felts"},
	{"maximum-sierra-length", "90000", func(c Config) any { return c.Admission.ClassProgram }, 90_000, ""},
	{"metrics-host", "127.0.0.1", func(c Config) any { return c.MetricsAddr }, "127.0.0.1:9090", ""},
	{"metrics-port", "9091", func(c Config) any { return c.MetricsAddr }, "", "--metrics-host"},
	{"ui", "", nil, nil, "no page"},
}

// asDev is what `ordo dev` makes of its command line and environment.
func asDev(args []string, env map[string]string) (Config, []string, error) {
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	Bind(flags)
	BindDevnet(flags)
	c := Default()
	if err := flags.Parse(args); err != nil {
		return c, nil, err
	}
	words, err := FromDevnet(&c, flags, flags.Args(), lookup)
	if err == nil {
		err = FromEnv(&c, WithoutDevnets(flags, lookup))
	}
	if err == nil {
		err = FromFlags(&c, flags)
	}
	return c, words, err
}

// TestDevnetsOptions: no option of starknet-devnet ends the start, on the command line or as a variable: it is served, or the
// operator reads why not.
func TestDevnetsOptions(t *testing.T) {
	for _, d := range devnets {
		arg, value := "--"+d.flag, d.value
		if value == "" {
			value = "true"
		} else {
			arg += "=" + value
		}
		variable := strings.ToUpper(strings.ReplaceAll(d.flag, "-", "_"))
		for source, run := range map[string]func() (Config, []string, error){
			"--" + d.flag: func() (Config, []string, error) { return asDev([]string{arg}, nil) },
			variable:      func() (Config, []string, error) { return asDev(nil, map[string]string{variable: value}) },
		} {
			c, words, err := run()
			said := strings.Join(words, "\n")
			if err != nil || (d.word == "") != (said == "") || !strings.Contains(said, d.word) || said != "" && !strings.HasPrefix(said, source+" ") {
				t.Errorf("%s %s: says %q, %v", source, value, said, err)
			}
			if d.set != nil && !reflect.DeepEqual(d.set(c), d.want) {
				t.Errorf("%s %s: sets %v", source, value, d.set(c))
			}
		}
	}
}

func TestDevnetsOptionsTogether(t *testing.T) {
	c, words, err := asDev([]string{"--restrictive-mode", "devnet_mint", "/is_alive", "--metrics-port", "9", "--metrics-host=::1"}, nil)
	if err != nil || c.MetricsAddr != "[::1]:9" || !reflect.DeepEqual(c.Forbidden, []string{"devnet_mint"}) ||
		len(words) != 1 || words[0] != "--restrictive-mode forbids devnet_* only, not is_alive" {
		t.Errorf("%v %v %q %v", c.MetricsAddr, c.Forbidden, words, err)
	}
	// A setting of ordo's own wins; a variable of another program's is no reason not to start.
	c, words, err = asDev([]string{"--limit-request-timeout", "3s", "--timeout", "120"}, map[string]string{"UI": "gtk", "TIMEOUT": "2m", "METRICS_HOST": "prometheus"})
	if err != nil || c.Limits.Work != 3*time.Second || len(words) != 1 || !strings.HasPrefix(words[0], "METRICS_HOST is ignored: ") {
		t.Errorf("%v %q %v", c.Limits.Work, words, err)
	}
	for _, wrong := range [][]string{{"--timeout", "2m"}, {"--timeout", "0"}, {"--metrics-host", "x"}, {"--metrics-host=::1", "--metrics-port=x"}, {"--prot", "1"}} {
		if _, _, err := asDev(wrong, nil); err == nil || !strings.Contains(err.Error(), strings.Split(wrong[0], "=")[0]) {
			t.Errorf("%v: %v", wrong, err)
		}
	}
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	Bind(flags)
	if got := NearestFlag("prot", flags); got != "port" {
		t.Errorf("--prot is nearest to --%s", got)
	}
}

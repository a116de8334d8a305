package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/ordo-sequencer/ordo/sdk/schema"
)

// devnetOption is an option of starknet-devnet that is no setting of ordo's own. Scripts that begin with it start ordo as well:
// what has an equal here is set, and of the rest the operator reads what becomes of it.
type devnetOption struct {
	flag string
	bare bool // may stand without a value
	// apply sets what is like it here, or says what is not. given are all options of devnet's that were given.
	apply func(c *Config, value string, given map[string]string) (word string, err error)
}

// env is the variable that starknet-devnet reads for the same option.
func (o devnetOption) env() string { return strings.ToUpper(strings.ReplaceAll(o.flag, "-", "_")) }

// RestrictiveMode takes any number of words after it, as devnet's does.
const RestrictiveMode = "restrictive-mode"

// restrictedByDefault are the methods that devnet forbids when its restrictive mode is given none, as far as they are served here.
const restrictedByDefault = "devnet_mint devnet_createBlock devnet_getPredeployedAccounts"

// oldAccounts is the account class of devnet's that the setting here does not take.
const oldAccounts = "cairo0"

// devnetOptions are those of starknet-devnet 0.1 to 0.10 that are not in the table of settings, or take more there.
func devnetOptions() []devnetOption {
	says := func(flag string, bare bool, word string) devnetOption {
		return devnetOption{flag, bare, func(_ *Config, value string, _ map[string]string) (string, error) {
			if on, err := strconv.ParseBool(value); bare && (err != nil || !on) {
				return "", nil
			}
			return word, nil
		}}
	}
	sets := func(flag string, most uint64, set func(*Config, int)) devnetOption {
		return devnetOption{flag, false, func(c *Config, value string, _ map[string]string) (string, error) {
			n, err := whole(value, most)
			if err == nil && n == 0 {
				err = fmt.Errorf("%q: choose at least 1", value)
			}
			if err == nil {
				set(c, int(n))
			}
			return "", err
		}}
	}
	return []devnetOption{
		{"account-class", false, func(c *Config, value string, _ map[string]string) (string, error) {
			if value != oldAccounts {
				return "", nil // the setting of this name
			}
			return "cairo0 is not served: the predeployed accounts are OpenZeppelin's of Cairo 1", nil
		}},
		sets("timeout", 1<<16-1, func(c *Config, n int) { c.Limits.Work = time.Duration(n) * time.Second }),
		sets("request-body-size-limit", 1<<30, func(c *Config, n int) { c.Limits.Body = max(n, 64<<10) }),
		sets("maximum-contract-class-size", 1<<31-1, func(c *Config, n int) { c.Admission.ClassBytes = n }),
		sets("maximum-sierra-length", 1<<31-1, func(c *Config, n int) { c.Admission.ClassProgram = n }),
		says("maximum-contract-bytecode-size", false, "is not served: a class is bounded by limits.class_bytes and limits.class_felts"),
		{"metrics-host", false, metricsAt},
		{"metrics-port", false, func(c *Config, value string, given map[string]string) (string, error) {
			if given["metrics-host"] == "" {
				return "serves no metrics without --metrics-host, as in devnet", nil
			}
			return "", nil // metricsAt has read it
		}},
		{"mempool-ordering", false, orderedBy},
		{RestrictiveMode, true, restrict},
		says("predeclare-argent", true, "declares nothing: Argent's classes are under the GPL and not shipped"),
		says("account-class-custom", false, "is not served: the predeployed accounts are of the class that --account-class names"),
		says("lite-mode", true, "is not served: hashes of blocks and state are always computed"),
		says("proof-mode", false, "is not served: no proofs are verified, and transactions with proofs are refused"),
		says("dump-on", false, "is not served: --data-dir FOLDER keeps the chain, block by block"),
		says("dump-path", false, "is not served: --data-dir FOLDER keeps the chain, block by block"),
		says("fork-network", false, "is not served: the chain begins with its own genesis, not with the state of another network"),
		says("fork-block", false, "is not served, as is --fork-network"),
		says("fork-upstream-caching", false, "is not served, as is --fork-network"),
		says("mempool-random-seed", false, "is not served: there is no random ordering; --ordering takes a plugin of your own"),
		says("mempool-max-transactions-per-block", false, "is not served: a block closes when the protocol's limits of a block are reached"),
		says("ui", true, "is not served: there is no page to look at"),
	}
}

func metricsAt(c *Config, value string, given map[string]string) (string, error) {
	if value == "localhost" {
		value = "127.0.0.1"
	}
	if _, err := netip.ParseAddr(value); err != nil {
		return "", fmt.Errorf("%q is not an IP address", value)
	}
	port := given["metrics-port"]
	if port == "" {
		port = "9090"
	}
	if _, err := whole(port, 65535); err != nil {
		return "", fmt.Errorf("with --metrics-port %w", err)
	}
	c.MetricsAddr = net.JoinHostPort(value, port)
	return "", nil
}

func orderedBy(c *Config, value string, _ map[string]string) (string, error) {
	switch value {
	case "fifo":
		c.Ordering.Plugin = "fifo"
	case "starknet": // by tip
		c.Ordering.Plugin = "fee"
	default:
		return fmt.Sprintf("%q is not served: transactions are ordered by the plugin of --ordering (%s)", value, c.Ordering.Plugin), nil
	}
	return "", nil
}

// restrict forbids methods; devnet's methods outside of JSON-RPC are written as paths.
func restrict(c *Config, value string, _ map[string]string) (string, error) {
	if value == "" || value == "true" {
		value = restrictedByDefault
	}
	c.Forbidden = nil
	var others []string
	for _, name := range fields(value) {
		if name = strings.TrimPrefix(name, "/"); strings.HasPrefix(name, "devnet_") {
			c.Forbidden = append(c.Forbidden, name)
		} else {
			others = append(others, name)
		}
	}
	if len(others) > 0 {
		return fmt.Sprintf("forbids devnet_* only, not %s", strings.Join(others, ", ")), nil
	}
	return "", nil
}

func fields(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' })
}

// BindDevnet defines a flag for each of starknet-devnet's options that is no setting of ordo's. None is in the help.
func BindDevnet(flags *pflag.FlagSet) {
	for _, o := range devnetOptions() {
		if flags.Lookup(o.flag) != nil {
			continue
		}
		flags.Var(&text{kind: "VALUE"}, o.flag, "an option of starknet-devnet")
		flag := flags.Lookup(o.flag)
		if flag.Hidden = true; o.bare {
			flag.NoOptDefVal = "true"
		}
	}
}

// WithoutDevnets leaves out the values of starknet-devnet's that the setting of the same name does not take; FromDevnet has
// told the operator.
func WithoutDevnets(flags *pflag.FlagSet, lookup func(string) (string, bool)) func(string) (string, bool) {
	if flag := flags.Lookup("account-class"); flag != nil && flag.Value.String() == oldAccounts {
		flag.Changed = false
	}
	return func(name string) (string, bool) {
		value, ok := lookup(name)
		return value, ok && !(name == "ACCOUNT_CLASS" && value == oldAccounts)
	}
}

// FromDevnet applies starknet-devnet's options: flags, which must be right, over variables, which may be of something else: UI and
// TIMEOUT are names that many programs read. words are for the operator, a line each. Settings of ordo's own come after and win.
func FromDevnet(c *Config, flags *pflag.FlagSet, rest []string, lookup func(string) (string, bool)) (words []string, err error) {
	given, source := map[string]string{}, map[string]string{}
	options := devnetOptions()
	for _, o := range options {
		if value, ok := lookup(o.env()); ok && value != "" {
			given[o.flag], source[o.flag] = value, o.env()
		}
		if flag := flags.Lookup(o.flag); flag != nil && flag.Changed {
			given[o.flag], source[o.flag] = flag.Value.String(), "--"+o.flag
		}
	}
	if len(rest) > 0 {
		given[RestrictiveMode] = strings.TrimPrefix(given[RestrictiveMode]+" ", "true ") + strings.Join(rest, " ")
	}
	for _, o := range options {
		value, ok := given[o.flag]
		if !ok {
			continue
		}
		word, err := o.apply(c, value, given)
		if from := source[o.flag]; strings.HasPrefix(from, "--") {
			if err != nil {
				return nil, fmt.Errorf("config: %s: %w", from, err)
			}
		} else if err != nil {
			word = fmt.Sprintf("is ignored: %v", err)
		}
		if word != "" {
			words = append(words, fmt.Sprintf("%s %s", source[o.flag], word))
		}
	}
	return words, nil
}

// NearestFlag is the one that was probably meant by a flag that there is not; "" when none is near.
func NearestFlag(name string, flags *pflag.FlagSet) string {
	var names []string
	flags.VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	near, _ := schema.Nearest(name, names)
	return near
}

package config

import (
	"fmt"
	"unicode/utf8"

	"github.com/spf13/pflag"
)

// FromEnv applies what the environment sets; lookup is os.LookupEnv.
func FromEnv(c *Config, lookup func(string) (string, bool)) error {
	for _, o := range Options() {
		for _, name := range []string{o.DevnetEnv, o.Env()} { // the later one wins
			if name == "" {
				continue
			}
			if value, ok := lookup(name); ok && value != "" {
				if err := o.set(c, value); err != nil {
					return fmt.Errorf("config: environment variable %s: %w", name, err)
				}
			}
		}
	}
	return nil
}

// set is Set for a value from outside, where a path may be any bytes.
func (o Option) set(c *Config, value string) error {
	if !utf8.ValidString(value) {
		return fmt.Errorf("%q is not valid UTF-8, which neither the configuration nor the plugins can carry: rename the file or folder, or use another", value)
	}
	return o.Set(c, value)
}

// Bind defines a flag for each option.
func Bind(flags *pflag.FlagSet) {
	for _, o := range Options() {
		env := o.Env()
		if o.DevnetEnv != "" {
			env = o.DevnetEnv + ", " + env
		}
		flags.VarP(&text{value: o.Default, kind: o.Value}, o.Flag, o.Short, fmt.Sprintf("%s [%s]", o.Help, env))
		flag := flags.Lookup(o.Flag)
		if flag.Hidden = o.Rare; o.Bool && o.Value == "" { // a switch
			flag.NoOptDefVal = "true"
		}
	}
}

// FromFlags applies the flags that were given.
func FromFlags(c *Config, flags *pflag.FlagSet) error {
	for _, o := range Options() {
		if flag := flags.Lookup(o.Flag); flag != nil && flag.Changed {
			if err := o.set(c, flag.Value.String()); err != nil {
				return fmt.Errorf("config: --%s: %w", o.Flag, err)
			}
		}
	}
	return nil
}

// text is a flag whose help shows what it takes.
type text struct{ value, kind string }

func (t *text) String() string     { return t.value }
func (t *text) Set(s string) error { t.value = s; return nil }
func (t *text) Type() string       { return t.kind }

package config

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Supervision says how patient the node is with its plugins.
type Supervision struct {
	Restarts      int           // of one stage within Window; one more stops the node
	Window        time.Duration // over which they are counted
	HealthTimeout time.Duration // of a plugin's health check before it is killed; 0: for ever
	CallTimeout   time.Duration // of a call before the plugin is taken for wedged; 0: for ever
	Shutdown      time.Duration // from the signal to the end of the process; what hangs is killed then

	QuestionCrashes int           // of execution by one kind of question within Window; one more pauses the kind
	QuestionPause   time.Duration // of the kind
	QuestionMemory  time.Duration // for how long a question that ended execution is refused
}

func supervisionOptions() []Option {
	duration := func(key, flag, def, help string, least time.Duration, zero bool, of func(*Config) *time.Duration) Option {
		return Option{Key: "supervision." + key, Flag: flag, Default: def, Value: "DURATION", Help: help,
			Set: func(c *Config, s string) error {
				d, err := time.ParseDuration(s)
				if err != nil || d < least && !(zero && d == 0) {
					or := ""
					if zero {
						or = ", or 0"
					}
					return fmt.Errorf("%q: choose a duration of at least %s, such as 30s%s", s, least, or)
				}
				*of(c) = d
				return nil
			},
			Get: func(c *Config) string { return of(c).String() }}
	}
	return []Option{
		{Key: "supervision.restarts", Flag: "plugin-restarts", Default: "8", Number: true, Value: "NUMBER",
			Help: "how often a stage's plugin may be started again within the window before the node stops; 0: never",
			Set: func(c *Config, s string) error {
				n, err := whole(s, 1_000_000)
				c.Supervision.Restarts = int(n)
				return err
			},
			Get: func(c *Config) string { return strconv.Itoa(c.Supervision.Restarts) }},
		duration("window", "plugin-restart-window", "1m0s", "over which the restarts of a stage are counted", time.Second, false,
			func(c *Config) *time.Duration { return &c.Supervision.Window }),
		duration("health_timeout", "plugin-health-timeout", "5s", "a plugin that leaves its health check unanswered for so long is killed and started again; 0: never (for a debugger)",
			500*time.Millisecond, true, func(c *Config) *time.Duration { return &c.Supervision.HealthTimeout }),
		duration("call_timeout", "plugin-call-timeout", "30s", "a plugin that does not answer a call for so long is killed and started again; 0: never (for a debugger)",
			time.Second, true, func(c *Config) *time.Duration { return &c.Supervision.CallTimeout }),
		duration("shutdown_timeout", "shutdown-timeout", "20s", "how long a node may take to stop: plugins that have not drained by then are killed, and the node ends",
			time.Second, false, func(c *Config) *time.Duration { return &c.Supervision.Shutdown }),
		{Key: "supervision.question_crashes", Flag: "question-crashes", Default: "8", Number: true, Value: "NUMBER", Rare: true,
			Help: "how often one kind of request (views, validations, compilations) may end the execution plugin within the restart window before the kind is paused; costs no restarts",
			Set: func(c *Config, s string) error {
				n, err := whole(s, 1_000_000)
				if err == nil && n == 0 {
					err = fmt.Errorf("%q: choose at least 1", s)
				}
				c.Supervision.QuestionCrashes = int(n)
				return err
			},
			Get: func(c *Config) string { return strconv.Itoa(c.Supervision.QuestionCrashes) }},
		rarely(duration("question_pause", "question-pause", "30s", "for how long that kind is refused then", time.Second, false,
			func(c *Config) *time.Duration { return &c.Supervision.QuestionPause })),
		rarely(duration("question_memory", "question-memory", "5m0s", "for how long a request that ended the execution plugin, and its account, are refused", time.Second, false,
			func(c *Config) *time.Duration { return &c.Supervision.QuestionMemory })),
	}
}

// rarely leaves an option out of the help.
func rarely(o Option) Option {
	o.Rare = true
	return o
}

func stageOptions() []Option {
	var all []Option
	for _, s := range []struct {
		name, shipped, help string
		of                  func(*Config) *Stage
	}{
		{"ordering", "fifo", "ordering plugin: fifo, fee, or a path", func(c *Config) *Stage { return &c.Ordering }},
		{"execution", "blockifier", "execution plugin: blockifier, or a path", func(c *Config) *Stage { return &c.Execution }},
		{"storage", "badger", "storage plugin: badger, or a path", func(c *Config) *Stage { return &c.Storage }},
		{"consensus", "solo", "consensus plugin: solo, or a path", func(c *Config) *Stage { return &c.Consensus }},
	} {
		text := func(key, value, def, help string, check func(string) error, field func(*Stage) *string) Option {
			return Option{Key: s.name + "." + key, Flag: s.name + "-" + strings.ReplaceAll(key, ".", "-"), Default: def, Value: value, Help: help, Rare: true,
				Set: func(c *Config, text string) error {
					if text != "" {
						if err := check(text); err != nil {
							return err
						}
					}
					*field(s.of(c)) = text
					return nil
				},
				Get: func(c *Config) string { return *field(s.of(c)) }}
		}
		file := func(string) error { return nil }
		plugin := text("plugin", "NAME|PATH", s.shipped, s.help, file, func(s *Stage) *string { return &s.Plugin })
		set := plugin.Set
		plugin.Flag, plugin.Rare = s.name, false
		plugin.Set = func(c *Config, text string) error {
			if text == "" {
				return fmt.Errorf("empty: name a shipped plugin (%s) or the path of a plugin binary", s.shipped)
			}
			return set(c, text)
		}
		all = append(all, plugin,
			text("checksum", "sha256:HEX", "", "sha256 of the plugin's executable: another file is not started", checkChecksum,
				func(s *Stage) *string { return &s.Checksum }),
			text("attach", "URL", "", "unix:///PATH or tcp://HOST:PORT of a plugin that the operator runs: the node neither starts nor kills it", checkAttach,
				func(s *Stage) *string { return &s.Attach }),
			Option{Key: s.name + ".tls", Flag: s.name + "-tls", Default: "false", Value: "true|false", Bool: true, Rare: true,
				Help: "mutual TLS with the spawned plugin, with certificates of one run (plugins on the Go SDK)",
				Set: func(c *Config, text string) (err error) {
					if s.of(c).TLS, err = strconv.ParseBool(text); err != nil {
						return fmt.Errorf("%q: choose true or false, or a table of ca, cert and key for an attached plugin", text)
					}
					return nil
				},
				Get: func(c *Config) string { return strconv.FormatBool(s.of(c).TLS) }},
			text("tls.ca", "FILE", "", "PEM of the authority that signed the attached plugin's certificate", file, func(s *Stage) *string { return &s.CA }),
			text("tls.cert", "FILE", "", "PEM of the certificate that the node shows to the attached plugin", file, func(s *Stage) *string { return &s.Cert }),
			text("tls.key", "FILE", "", "PEM of that certificate's key", file, func(s *Stage) *string { return &s.Key }),
		)
	}
	return append(all, recordOptions()...)
}

// recordOptions are about the recording of what goes between the core and consensus.
func recordOptions() []Option {
	most := limit("", 256, 1, 1<<20, "MiB of recordings in consensus.record; then nothing more is recorded",
		func(c *Config, n int) { c.RecordMiB = n }, func(c *Config) int { return c.RecordMiB })
	most.Key, most.Flag = "consensus.record_mib", "consensus-record-mib"
	return []Option{
		{Key: "consensus.record", Flag: "consensus-record", Value: "FOLDER", Rare: true,
			Help: "record the events and actions between the core and a hosted protocol here, a file for each start; ordo localnet replay plays them again",
			Set:  func(c *Config, s string) error { c.Record = s; return nil },
			Get:  func(c *Config) string { return c.Record }},
		most,
	}
}

func checkChecksum(text string) error {
	sum, ok := strings.CutPrefix(text, "sha256:")
	if raw, err := hex.DecodeString(sum); !ok || err != nil || len(raw) != 32 {
		return fmt.Errorf("%q: write sha256: and 64 hexadecimal digits, as sha256sum prints them", text)
	}
	return nil
}

func checkAttach(text string) error {
	u, err := url.Parse(text)
	if err == nil {
		switch {
		case u.Scheme == "unix" && u.Host == "" && filepath.IsAbs(u.Path):
			return nil
		case u.Scheme == "tcp" && u.Path == "" && u.Port() != "" && u.Hostname() != "":
			if _, _, err := net.SplitHostPort(u.Host); err == nil {
				return nil
			}
		}
	}
	return fmt.Errorf("%q: choose unix:///absolute/path or tcp://host:port", text)
}

// Validate checks what no single setting shows.
func (c Config) Validate() error {
	names := []string{"ordering", "execution", "storage", "consensus"}
	for i, s := range []Stage{c.Ordering, c.Execution, c.Storage, c.Consensus} {
		name := names[i]
		files := s.CA != "" || s.Cert != "" || s.Key != ""
		tcp := strings.HasPrefix(s.Attach, "tcp:")
		switch {
		case tcp && (s.CA == "" || s.Cert == "" || s.Key == ""):
			return fmt.Errorf("config: %s.attach: over tcp the plugin and the node have to know each other: give %s.tls = { ca = FILE, cert = FILE, key = FILE }", name, name)
		case tcp && name == "storage":
			return fmt.Errorf("config: storage.attach: execution reads from storage over a unix socket: attach storage as unix:///PATH on this machine")
		case files && !tcp:
			return fmt.Errorf("config: %s.tls: certificates are for a plugin attached over tcp; for a spawned one write %s.tls = true", name, name)
		case s.Attach != "" && s.TLS:
			return fmt.Errorf("config: %s.tls = true makes certificates for a plugin that the node starts; an attached one needs ca, cert and key of yours", name)
		case s.Attach != "" && s.Checksum != "":
			return fmt.Errorf("config: %s.checksum: the node starts no file of an attached plugin: compare the checksum where the plugin is started", name)
		}
	}
	return nil
}

package host

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Spec is one plugin to start.
type Spec struct {
	Stage ordov1.Stage // the plugin must be of this stage
	Path  string       // executable; without a slash it is looked up in PATH
	Args  []string
	Env   []string // KEY=VALUE, beyond the allow-list

	Config     []byte         // JSON object
	Offers     map[string]any // settings for a plugin whose schema has them, where Config has none
	Chain      *ordov1.Chain
	DataDir    string            // durable folder; created; "" for none
	Listen     map[string]string // role -> socket that the plugin must serve
	Peers      map[string]string // role -> socket of another stage
	Generation uint64            // 1 when zero

	// TLS makes certificates for this instance and demands them of the plugin's socket.
	TLS bool
	// Attach is where the operator runs the plugin: unix:///PATH or tcp://HOST:PORT. Path, Args, Env, TLS and Checksums are
	// not used then. Over tcp both sides show certificates, ours are TLSFiles.
	Attach   string
	TLSFiles sdk.TLSFiles

	// Checksums of files, path -> hex SHA-256, compared before each start. For an interpreted plugin name the script, not
	// only the interpreter.
	Checksums map[string]string
}

// Options hold for every plugin of a node. The zero value is usable.
type Options struct {
	// RunDir is a private folder (0700) for sockets; each plugin gets a folder in it. "" makes a new one for each plugin.
	RunDir string
	Logger hclog.Logger
	// PassEnv names variables of this process that plugins may see, beyond PATH, HOME, TMPDIR, TZ and the language.
	PassEnv []string

	StartTimeout     time.Duration // launch to handshake; 10 s
	ConfigureTimeout time.Duration // Configure may open a database or warm up; 5 min
	ExitTimeout      time.Duration // from the end of Drain to the kill; 3 s
	HealthInterval   time.Duration // between health checks; 10 s, or 1 s when HealthTimeout is set
	// HealthTimeout is for how long a plugin may leave its health checks unanswered before it is killed. 0: for ever, which is
	// what a debugger needs.
	HealthTimeout time.Duration
	// CallLimit is how long a call of the stage may wait for its answer before the plugin is taken for wedged. 0: for ever.
	CallLimit time.Duration

	// Starting is told of each plugin that StartSet is about to start. nil: not told.
	Starting func(Spec)

	guard *reaper // of a set; nil: each plugin has its own
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.StartTimeout == 0 {
		o.StartTimeout = 10 * time.Second
	}
	if o.ConfigureTimeout == 0 {
		o.ConfigureTimeout = 5 * time.Minute
	}
	if o.ExitTimeout == 0 {
		o.ExitTimeout = 3 * time.Second
	}
	if o.HealthInterval == 0 {
		o.HealthInterval = 10 * time.Second
		if o.HealthTimeout > 0 {
			o.HealthInterval = min(time.Second, o.HealthTimeout/4)
		}
	}
	return o
}

// executable finds the program and tells in plain words why it cannot be one.
func (s Spec) executable() (string, error) {
	if s.Path == "" {
		return "", fmt.Errorf("no path given: name the plugin's executable")
	}
	if !strings.ContainsRune(s.Path, filepath.Separator) {
		found, err := exec.LookPath(s.Path)
		if err != nil {
			return "", fmt.Errorf("%s: not found in PATH: give the path of the plugin's executable", s.Path)
		}
		return filepath.Abs(found)
	}
	path, err := filepath.Abs(s.Path)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	switch {
	case os.IsNotExist(err):
		return "", fmt.Errorf("%s: no such file: check the path, or build the plugin first", path)
	case err != nil:
		return "", fmt.Errorf("%s: %w", path, err)
	case info.IsDir():
		return "", fmt.Errorf("%s: is a folder: name the executable in it", path)
	case info.Mode()&0o111 == 0:
		return "", fmt.Errorf("%s: is not executable: chmod +x it, if it is a plugin", path)
	}
	return path, nil
}

// environment is what the plugin may see of ours, then its own.
func (s Spec) environment(pass []string) []string {
	allowed := append([]string{"PATH", "HOME", "TMPDIR", "TZ", "LANG", "LC_ALL", "XDG_CACHE_HOME", "ORDO_PLUGIN_LOG",
		"LD_LIBRARY_PATH", "RUST_BACKTRACE", "RUST_LOG", "GOTRACEBACK", "GOMAXPROCS"}, pass...)
	var env []string
	for _, key := range allowed {
		if value, ok := os.LookupEnv(key); ok {
			env = append(env, key+"="+value)
		}
	}
	// Stdin is a pipe whose other end only we hold.
	env = append(env, "ORDO_PLUGIN_WATCH_STDIN=1")
	return append(env, s.Env...)
}

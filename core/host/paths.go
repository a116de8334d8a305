package host

import (
	"encoding/json"
	"fmt"
	"os"
	"unicode/utf8"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// utf8Paths refuses paths that the plugin protocol cannot carry: protobuf's strings are UTF-8, a file name is any bytes.
func (s Spec) utf8Paths(runDir string) error {
	check := func(what, path, remedy string) error {
		if utf8.ValidString(path) {
			return nil
		}
		return fmt.Errorf("%s %q: the path is not valid UTF-8, which a plugin cannot be told: %s", what, path, remedy)
	}
	if runDir == "" {
		runDir = os.TempDir()
	}
	if err := check("run folder in", runDir, "set TMPDIR to another folder"); err != nil {
		return err
	}
	if err := check("data folder", s.DataDir, "choose another with --data-dir, or rename it"); err != nil {
		return err
	}
	for _, sockets := range []map[string]string{s.Listen, s.Peers} {
		for role, path := range sockets {
			if err := check("socket "+role, path, "set TMPDIR to another folder"); err != nil {
				return err
			}
		}
	}
	return nil
}

// settings is the configuration that the plugin gets: what was written for it, and of what is offered to any plugin the
// keys that its schema has and that nothing was written for.
func (s Spec) settings(info *ordov1.DescribeResponse) []byte {
	if len(s.Offers) == 0 {
		return s.Config
	}
	var schema struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if json.Unmarshal([]byte(info.GetConfigSchema()), &schema) != nil {
		return s.Config
	}
	given := map[string]json.RawMessage{}
	if len(s.Config) > 0 && json.Unmarshal(s.Config, &given) != nil {
		return s.Config // the plugin says what is wrong with it
	}
	for key, value := range s.Offers {
		if _, set := given[key]; set || schema.Properties[key] == nil {
			continue
		}
		raw, err := json.Marshal(value)
		if err == nil {
			given[key] = raw
		}
	}
	merged, err := json.Marshal(given)
	if err != nil {
		return s.Config
	}
	return merged
}

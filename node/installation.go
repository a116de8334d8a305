// Package node assembles a node: it starts the four plugins, the core between them and the JSON-RPC, and stops them in the
// opposite order.
package node

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ordo-sequencer/ordo/core/host"
	"github.com/ordo-sequencer/ordo/devnet/genesis"
	"github.com/ordo-sequencer/ordo/node/config"
	"github.com/ordo-sequencer/ordo/node/memory"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/sdk/schema"
	"github.com/ordo-sequencer/ordo/starknet"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Installation is where the parts that ship with the binary lie.
type Installation struct {
	Plugins   string
	Contracts string
}

// Installed looks beside the running binary; ORDO_PLUGINS and ORDO_CONTRACTS name other folders.
func Installed() (Installation, error) {
	self, err := os.Executable()
	if err == nil {
		self, err = filepath.EvalSymlinks(self)
	}
	if err != nil {
		return Installation{}, fmt.Errorf("where is this binary: %w", err)
	}
	i := Installation{Plugins: filepath.Join(filepath.Dir(self), "plugins"), Contracts: filepath.Join(filepath.Dir(self), "contracts")}
	if dir := os.Getenv("ORDO_PLUGINS"); dir != "" {
		i.Plugins = dir
	}
	if dir := os.Getenv("ORDO_CONTRACTS"); dir != "" {
		i.Contracts = dir
	}
	return i, nil
}

// Plugin finds the binary of a stage: a shipped name first, else a path.
func (i Installation) Plugin(stage, choice string) (string, error) {
	if strings.ContainsRune(choice, filepath.Separator) {
		return choice, nil
	}
	shipped := filepath.Join(i.Plugins, "ordo-"+stage+"-"+choice)
	if _, err := os.Stat(shipped); err == nil {
		return shipped, nil
	}
	if _, err := os.Stat(choice); err == nil {
		return "." + string(filepath.Separator) + choice, nil
	}
	if stage == "consensus" && choice == "malachite" { // shipped as source
		return "", fmt.Errorf("--%s %s: it is built on request only: run ORDO_MALACHITE=1 make build in the folder of the source (Rust, about two minutes the first time)", stage, choice)
	}
	found := i.shipped(stage)
	if near, ok := schema.Nearest(choice, found); ok {
		return "", fmt.Errorf("--%s %s: no such plugin: did you mean %s?", stage, choice, near)
	}
	for other := ordov1.Stage_STAGE_ORDERING; other <= ordov1.Stage_STAGE_CONSENSUS; other++ {
		if name := sdk.StageName(other); slices.Contains(i.shipped(name), choice) {
			return "", fmt.Errorf("--%s %s: that is a plugin of stage %s: choose %s, or the path of a plugin binary", stage, choice, name, strings.Join(found, ", "))
		}
	}
	if len(found) == 0 {
		found = []string{"one after make build (there is none in " + i.Plugins + ")"}
	}
	return "", fmt.Errorf("--%s %s: no such plugin: choose %s, or the path of a plugin binary", stage, choice, strings.Join(found, ", "))
}

// shipped lists the plugins of a stage.
func (i Installation) shipped(stage string) []string {
	prefix := "ordo-" + stage + "-"
	found, _ := filepath.Glob(filepath.Join(i.Plugins, prefix+"*"))
	for n, path := range found {
		found[n] = strings.TrimPrefix(filepath.Base(path), prefix)
	}
	return found
}

// specs says how each stage is started. shares are nil when the memory of the processes is not limited.
func specs(c config.Config, i Installation, shares *memory.Shares) ([]host.Spec, error) {
	chain := &ordov1.Chain{
		ChainId: c.ChainID, StarknetVersion: starknet.LatestVersion,
		StrkFeeToken: packed(genesis.STRKAddress()), EthFeeToken: packed(genesis.ETHAddress()),
	}
	data := func(stage string) string {
		if c.DataDir == "" {
			return ""
		}
		return filepath.Join(c.DataDir, stage)
	}
	var list []host.Spec
	add := func(stage ordov1.Stage, chosen config.Stage, defaults map[string]any, dataDir string) error {
		var path string
		if chosen.Attach == "" {
			var err error
			if path, err = i.Plugin(sdk.StageName(stage), chosen.Plugin); err != nil {
				return err
			}
		}
		settings, err := chosen.JSON(defaults)
		if err != nil {
			return fmt.Errorf("%s.config: %w", sdk.StageName(stage), err)
		}
		spec := host.Spec{
			Stage: stage, Path: path, Config: settings, Chain: chain, DataDir: dataDir, Env: []string{"ORDO_LOG_LEVEL=" + c.LogLevel},
			TLS: chosen.TLS, Attach: chosen.Attach, TLSFiles: sdk.TLSFiles{CA: chosen.CA, Cert: chosen.Cert, Key: chosen.Key},
		}
		if sum, ok := strings.CutPrefix(chosen.Checksum, "sha256:"); ok {
			spec.Checksums = map[string]string{path: sum}
		}
		if shares != nil && chosen.Attach == "" {
			share(&spec, shares)
		}
		list = append(list, spec)
		return nil
	}
	var consensus map[string]any
	execution := map[string]any{}
	if c.Execution.Plugin == blockifier {
		if c.Workers > 0 {
			execution["workers"] = c.Workers
		}
		if c.Native != "" && c.Native != "auto" {
			execution["native"] = c.Native
		}
	}
	if c.Consensus.Plugin == solo {
		consensus = c.SoloDefaults()
	}
	for _, err := range []error{
		add(ordov1.Stage_STAGE_ORDERING, c.Ordering, nil, ""),
		add(ordov1.Stage_STAGE_EXECUTION, c.Execution, execution, ""),
		add(ordov1.Stage_STAGE_STORAGE, c.Storage, nil, data("storage")),
		add(ordov1.Stage_STAGE_CONSENSUS, c.Consensus, consensus, data("consensus")),
	} {
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

func packed(f felt.Felt) []byte { return f.Append(nil) }

package localnet

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ordo-sequencer/ordo/core/host"
	"github.com/ordo-sequencer/ordo/node"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/sdk/schema"
)

// consensus finds out which plugin is meant and what it needs to know of the network.
func consensus(ctx context.Context, installed node.Installation, choice string, validators int) (plugin string, t Takes, err error) {
	path, err := installed.Plugin("consensus", choice)
	if err != nil {
		return "", t, err
	}
	plugin = choice
	if strings.ContainsRune(path, filepath.Separator) && path != filepath.Join(installed.Plugins, "ordo-consensus-"+choice) {
		if plugin, err = filepath.Abs(path); err != nil {
			return "", t, err
		}
	}
	info, err := host.Describe(ctx, host.Options{}, host.Spec{Stage: ordov1.Stage_STAGE_CONSENSUS, Path: path})
	if err != nil {
		return "", t, err
	}
	together := slices.Contains(info.GetCapabilities(), sdk.CapNetwork) || slices.Contains(info.GetCapabilities(), sdk.CapEngine)
	if validators > 1 && !together {
		return "", t, fmt.Errorf("--consensus %s: it decides alone, so %d validators would make %d chains: choose a plugin with capability %s or %s, or --validators 1",
			choice, validators, validators, sdk.CapNetwork, sdk.CapEngine)
	}
	t, err = takes(info)
	if err != nil {
		return "", t, fmt.Errorf("--consensus %s: %w", choice, err)
	}
	return plugin, t, nil
}

// takes reads the schema of a consensus plugin.
func takes(info *ordov1.DescribeResponse) (t Takes, err error) {
	rules, err := schema.Parse(info.GetConfigSchema())
	if err != nil {
		return t, err
	}
	has := func(key string) bool { return rules.Properties[key] != nil }
	t = Takes{KeyFile: has("key_file"), NodeKeyFile: has("node_key_file"), Listen: has("listen"), Peers: has("peers"), AcceptUnknown: has("accept_unknown_peers")}
	if t.Peers {
		switch kind := rules.Properties["peers"].Type; kind {
		case "string":
			t.PeersText = true
		case "array", "":
		default:
			return t, fmt.Errorf("its setting peers has type %s: localnet writes a list of key@host:port, or one text with commas", kind)
		}
	}
	return t, nil
}

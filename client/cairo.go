package client

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/ordo-sequencer/ordo/contracts"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// CairoClass compiles one of this project's own contracts, contracts/cairo/NAME.cairo, from Sierra on: artifacts is the
// folder where scripts/test.sh leaves what the Cairo compiler made, bin the folder of the binaries. NAME.class.pb is left in
// work, for commands that take class files.
func CairoClass(bin, artifacts, work, name string) (*ordov1.Class, error) {
	artifact, err := os.ReadFile(filepath.Join(artifacts, name+".contract_class.json"))
	if err != nil {
		return nil, err
	}
	definition, err := contracts.Definition(ordov1.Class_SIERRA, artifact)
	if err != nil {
		return nil, err
	}
	in := filepath.Join(work, name+".json")
	if err := os.WriteFile(in, definition, 0o600); err != nil {
		return nil, err
	}
	compiler := filepath.Join(bin, "plugins", "ordo-execution-blockifier")
	if out, err := exec.Command(compiler, "compile", in, "--out", work).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compile %s: %w: %s", name, err, out)
	}
	return contracts.Read(work, name)
}

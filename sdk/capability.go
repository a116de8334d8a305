package sdk

import ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"

// Capabilities: what a plugin names in Describe beyond what its stage demands. The stages' pages of docs/spec say what each is
// good for.
const (
	// CapArrival of ordering: every score is equal, the order is that of arrival.
	CapArrival = "arrival"

	// CapConcurrent of execution: more than one worker.
	CapConcurrent = "concurrent"
	// CapView of execution: View is served.
	CapView = "view"
	// CapCompile of execution: Compile is served.
	CapCompile = "compile"
	// CapNative of execution: classes may run as machine code.
	CapNative = "native"

	// CapRoots of storage: state roots and block hashes.
	CapRoots = "roots"
	// CapHistory of storage: state at any past height.
	CapHistory = "history"
	// CapRevert of storage: Revert removes the newest block.
	CapRevert = "revert"
	// CapProofs of storage: Proofs proves values of the newest states.
	CapProofs = "proofs"

	// CapNetwork of consensus: proposals go from node to node, so they come with what is built.
	CapNetwork = "network"
	// CapCertificates of consensus: Verify is served.
	CapCertificates = "certificates"
	// CapEngine of consensus: it has a network of its own and acts unasked.
	CapEngine = "engine"
)

// Capabilities are the names that mean something for a stage.
func Capabilities(stage ordov1.Stage) []string {
	switch stage {
	case ordov1.Stage_STAGE_ORDERING:
		return []string{CapArrival}
	case ordov1.Stage_STAGE_EXECUTION:
		return []string{CapConcurrent, CapView, CapCompile, CapNative}
	case ordov1.Stage_STAGE_STORAGE:
		return []string{CapRoots, CapHistory, CapRevert, CapProofs}
	case ordov1.Stage_STAGE_CONSENSUS:
		return []string{CapNetwork, CapCertificates, CapEngine}
	}
	return nil
}

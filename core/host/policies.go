package host

import (
	"strings"
	"time"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// policy is what the host allows a method of the plugin protocol.
type policy struct {
	reply       int           // bytes of one message of the plugin: gRPC rejects a larger one by its announced length
	times       time.Duration // of the limit that a call may wait for an answer; 0: the host gives each call its own deadline
	lenient     bool          // a client's request can make the work long: one overdue call is not a wedged plugin
	answersEach bool          // a stream on which the plugin answers each message
	follows     bool          // a stream that follows the head: it may be silent as long as it likes
}

// policies has a row for every method of the plugin protocol; a test holds it to the service descriptors. A message that carries a
// block, a class or a trace gets the protocol's limit; the rest is small by nature.
var policies = map[string]policy{
	ordov1.Plugin_Describe_FullMethodName:  {reply: 1 << 20},
	ordov1.Plugin_Configure_FullMethodName: {reply: 4 << 20},
	ordov1.Plugin_Drain_FullMethodName:     {reply: 1 << 20},

	ordov1.Ordering_Score_FullMethodName: {reply: 16 << 20, times: 1}, // a number for each of a batch

	ordov1.Execution_Build_FullMethodName:    {reply: sdk.MaxMessage, times: 1},
	ordov1.Execution_Apply_FullMethodName:    {reply: 1 << 20, times: 1},
	ordov1.Execution_Validate_FullMethodName: {reply: 16 << 20, times: 1, lenient: true}, // a verdict with a reason for each of a batch
	ordov1.Execution_View_FullMethodName:     {reply: sdk.MaxMessage, times: 1, lenient: true},
	ordov1.Execution_Compile_FullMethodName:  {reply: sdk.MaxMessage, times: 2, lenient: true},

	ordov1.Storage_Head_FullMethodName:     {reply: 1 << 20, times: 1},
	ordov1.Storage_Commit_FullMethodName:   {reply: 1 << 20, times: 5}, // may wait for the roots of blocks before it
	ordov1.Storage_Snapshot_FullMethodName: {reply: sdk.MaxMessage, times: 1},
	ordov1.Storage_Roots_FullMethodName:    {reply: 1 << 20, times: 1, follows: true},
	ordov1.Storage_Revert_FullMethodName:   {reply: 1 << 20, times: 1},

	ordov1.StorageRead_State_FullMethodName:           {reply: 64 << 20, times: 1},
	ordov1.StorageRead_Proofs_FullMethodName:          {reply: 64 << 20, times: 1},
	ordov1.StorageRead_Classes_FullMethodName:         {reply: sdk.MaxMessage, times: 1},
	ordov1.StorageRead_Blocks_FullMethodName:          {reply: sdk.MaxMessage, times: 1},
	ordov1.StorageRead_FindTransaction_FullMethodName: {reply: 1 << 20, times: 1},

	ordov1.Consensus_Run_FullMethodName:    {reply: 64 << 20, times: 1, answersEach: true},
	ordov1.Consensus_Verify_FullMethodName: {reply: 1 << 20, times: 1, lenient: true}, // of a certificate from a peer
}

// policyOf returns a method's policy. What is not of the plugin protocol (the health check) is as a plain call of it.
func policyOf(method string) policy {
	if p, ok := policies[method]; ok {
		return p
	}
	return policy{reply: sdk.MaxMessage, times: 1}
}

// methodName is a method without its service: "Score".
func methodName(method string) string { return method[strings.LastIndexByte(method, '/')+1:] }

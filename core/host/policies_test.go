package host

import (
	"testing"

	"google.golang.org/grpc"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// TestEveryMethodHasAPolicy: the table and the service descriptors of the plugin protocol name the same methods.
func TestEveryMethodHasAPolicy(t *testing.T) {
	served := map[string]bool{}
	for _, service := range []grpc.ServiceDesc{ordov1.Plugin_ServiceDesc, ordov1.Ordering_ServiceDesc, ordov1.Execution_ServiceDesc,
		ordov1.Storage_ServiceDesc, ordov1.StorageRead_ServiceDesc, ordov1.Consensus_ServiceDesc} {
		own := service.ServiceName == ordov1.Plugin_ServiceDesc.ServiceName // each of its calls has a deadline of its own
		check := func(method string, bidirectional bool) {
			name := "/" + service.ServiceName + "/" + method
			served[name] = true
			p, ok := policies[name]
			if !ok {
				t.Errorf("%s has no row", name)
				return
			}
			if p.reply <= 0 || p.reply > sdk.MaxMessage || own != (p.times == 0) {
				t.Errorf("%s: %+v", name, p)
			}
			if p.answersEach && !bidirectional {
				t.Errorf("%s answers each message, and takes but one", name)
			}
		}
		for _, m := range service.Methods {
			check(m.MethodName, false)
		}
		for _, s := range service.Streams {
			check(s.StreamName, s.ClientStreams && s.ServerStreams)
		}
	}
	for name := range policies {
		if !served[name] {
			t.Errorf("%s has a row, and no service has it", name)
		}
	}
}

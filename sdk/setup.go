package sdk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hashicorp/go-hclog"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"google.golang.org/grpc"
)

// Setup is what a part gets to work with. It stays valid after Configure returned.
type Setup struct {
	Config     []byte        // JSON object that fits the schema, with its defaults; "{}" when there is none
	Chain      *ordov1.Chain // never nil
	RunDir     string        // private folder of this run, for sockets and scratch files
	DataDir    string        // durable folder of the stage; "" when nothing is to outlive the process
	Generation uint64        // which start of this stage this is
	Logger     hclog.Logger

	peers    map[string]string
	warnings []*ordov1.Diagnostic
}

// Decode reads the configuration into v. Keys that v does not know are an error even if the schema lets them pass.
func (s *Setup) Decode(v any) error {
	dec := json.NewDecoder(bytes.NewReader(s.Config))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return &Problem{Summary: fmt.Sprintf("configuration: %v", err)}
	}
	return nil
}

// Dial connects to another stage by role ("storage.read"). The caller closes the connection.
func (s *Setup) Dial(role string) (*grpc.ClientConn, error) {
	path, ok := s.peers[role]
	if !ok {
		return nil, &Problem{
			Summary: fmt.Sprintf("no socket for peer %q was handed over", role),
			Detail:  "the plugin needs a node that runs this stage; check the host's version",
		}
	}
	return Dial(path)
}

// Warn adds a warning to the answer of Configure: the start goes on, the operator sees it.
func (s *Setup) Warn(p Problem) {
	s.warnings = append(s.warnings, p.diagnostic(ordov1.Diagnostic_WARNING))
}

// Problem is an error that the operator can act on.
type Problem struct {
	Summary string // what is wrong, one line
	Detail  string // what the operator can do
	Path    string // key of the configuration, dotted; "" when it is about none
}

func (p *Problem) Error() string {
	text := p.Summary
	if p.Path != "" {
		text = p.Path + ": " + text
	}
	if p.Detail != "" {
		text += " (" + p.Detail + ")"
	}
	return text
}

func (p *Problem) diagnostic(severity ordov1.Diagnostic_Severity) *ordov1.Diagnostic {
	return &ordov1.Diagnostic{Severity: severity, Summary: p.Summary, Detail: p.Detail, Path: p.Path}
}

// diagnostics flattens an error of Configure, joined or not, into ERROR diagnostics.
func diagnostics(err error) []*ordov1.Diagnostic {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*ordov1.Diagnostic
		for _, one := range joined.Unwrap() {
			all = append(all, diagnostics(one)...)
		}
		return all
	}
	if p, ok := errors.AsType[*Problem](err); ok {
		d := p.diagnostic(ordov1.Diagnostic_ERROR)
		if err != error(p) {
			d.Summary = err.Error() // keep what the wrapping says
			d.Detail = ""
		}
		return []*ordov1.Diagnostic{d}
	}
	return []*ordov1.Diagnostic{{Severity: ordov1.Diagnostic_ERROR, Summary: err.Error()}}
}

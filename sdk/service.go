package sdk

import (
	"context"
	"fmt"
	"github.com/hashicorp/go-hclog"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/sdk/schema"
	"google.golang.org/grpc"
)

// Description says what a plugin is.
type Description struct {
	Name         string   // short, lower case: "fifo"
	Version      string   // "" is shown as "dev"
	Capabilities []string // named on the stage's page of docs/spec; optional interfaces add theirs
	ConfigSchema string   // JSON Schema of the configuration, see sdk/schema for the keywords; "" takes none
}

// rules reads the schema when the service is made, so that a schema that is wrong, or promises checks that are not made, is
// found by the author's first run and not by an operator: it panics, as regexp.MustCompile does.
func (d Description) rules() *schema.Schema {
	rules, err := schema.Parse(d.ConfigSchema)
	if err != nil {
		panic(fmt.Sprintf("sdk: plugin %q: %v", d.Name, err))
	}
	return rules
}

// Configurer is implemented by a part that wants its configuration, its data folder or its peers. Configure is called
// once, before any call of the stage, with a configuration that fits the schema and has its defaults. An error refuses the start; a *Problem
// (or several, joined) points at the key that is wrong.
type Configurer interface {
	Configure(ctx context.Context, setup *Setup) error
}

// Drainer is implemented by a part that has something to flush. Drain is called once, after the last unary call and the
// last upload have been answered; the process ends after it returns, or at the deadline of ctx.
type Drainer interface {
	Drain(ctx context.Context) error
}

// Capable is implemented by a part whose capabilities depend on its configuration. They are asked for at any time, also
// before Configure, and take the place of Description.Capabilities.
type Capable interface {
	Capabilities() []string
}

// Counting is implemented by a part that counts what it does. Counters are told with Describe, at any time; a name that has been
// told stays.
type Counting interface {
	Counters() map[string]uint64
}

// Service is one stage, ready to be served: by Serve in a process of its own, or by a test over any listener.
type Service struct {
	description Description
	rules       *schema.Schema // of the configuration
	stage       ordov1.Stage
	impl        any
	register    func(grpc.ServiceRegistrar)
	// sockets are the services that are served on a socket of their own, by role.
	sockets map[string]func(grpc.ServiceRegistrar)
	// logs takes the logger of the instance, where the stage writes lines by itself.
	logs func(hclog.Logger)
}

// Ordering serves a level-2 ordering plugin. See ServeScore for level 1.
func Ordering(d Description, part ordov1.OrderingServer) *Service {
	return &Service{description: d, rules: d.rules(), stage: ordov1.Stage_STAGE_ORDERING, impl: part,
		register: func(r grpc.ServiceRegistrar) { ordov1.RegisterOrderingServer(r, part) }}
}

// Execution serves an execution plugin.
func Execution(d Description, part ordov1.ExecutionServer) *Service {
	return &Service{description: d, rules: d.rules(), stage: ordov1.Stage_STAGE_EXECUTION, impl: part,
		register: func(r grpc.ServiceRegistrar) { ordov1.RegisterExecutionServer(r, part) }}
}

// StoragePart is a storage plugin: the stage, and the reads that it answers on the socket of role "read".
type StoragePart interface {
	ordov1.StorageServer
	ordov1.StorageReadServer
}

// Storage serves a storage plugin.
func Storage(d Description, part StoragePart) *Service {
	return &Service{description: d, rules: d.rules(), stage: ordov1.Stage_STAGE_STORAGE, impl: part,
		register: func(r grpc.ServiceRegistrar) { ordov1.RegisterStorageServer(r, part) },
		sockets: map[string]func(grpc.ServiceRegistrar){
			"read": func(r grpc.ServiceRegistrar) { ordov1.RegisterStorageReadServer(r, part) },
		}}
}

// Consensus serves a consensus plugin that handles its own stream. See ServeProtocol for level 1.
func Consensus(d Description, part ordov1.ConsensusServer) *Service {
	return &Service{description: d, rules: d.rules(), stage: ordov1.Stage_STAGE_CONSENSUS, impl: part,
		register: func(r grpc.ServiceRegistrar) { ordov1.RegisterConsensusServer(r, part) }}
}

// Describe is the answer of the plugin's Describe call.
func (s *Service) Describe() *ordov1.DescribeResponse {
	version := s.description.Version
	if version == "" {
		version = "dev"
	}
	capabilities := s.description.Capabilities
	if c, ok := s.impl.(Capable); ok {
		capabilities = c.Capabilities()
	}
	var counters map[string]uint64
	if c, ok := s.impl.(Counting); ok {
		counters = c.Counters()
	}
	return &ordov1.DescribeResponse{
		Name:         s.description.Name,
		Version:      version,
		Stage:        s.stage,
		ApiMinor:     APIMinor,
		Capabilities: capabilities,
		ConfigSchema: s.description.ConfigSchema,
		Counters:     counters,
	}
}

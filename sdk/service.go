package sdk

import (
	"context"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"google.golang.org/grpc"
)

// Description says who a plugin is.
type Description struct {
	Name         string   // short, lower case: "fifo"
	Version      string   // "" is shown as "dev"
	Capabilities []string // named on the stage's page of docs/spec; optional interfaces add theirs
	ConfigSchema string   // JSON Schema of the configuration; "" takes none
}

// Configurer is implemented by a part that wants its configuration, its data folder or its peers. Configure is called
// once, before any call of the stage, with a configuration that fits the schema. An error refuses the start; a *Problem
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

// Service is one stage, ready to be served: by Serve in a process of its own, or by a test over any listener.
type Service struct {
	description Description
	stage       ordov1.Stage
	impl        any
	register    func(grpc.ServiceRegistrar)
	// sockets are the services that are served on a socket of their own, by role.
	sockets map[string]func(grpc.ServiceRegistrar)
}

// Ordering serves a level-2 ordering plugin. See ServeScore for level 1.
func Ordering(d Description, part ordov1.OrderingServer) *Service {
	return &Service{description: d, stage: ordov1.Stage_STAGE_ORDERING, impl: part,
		register: func(r grpc.ServiceRegistrar) { ordov1.RegisterOrderingServer(r, part) }}
}

// Execution serves an execution plugin.
func Execution(d Description, part ordov1.ExecutionServer) *Service {
	return &Service{description: d, stage: ordov1.Stage_STAGE_EXECUTION, impl: part,
		register: func(r grpc.ServiceRegistrar) { ordov1.RegisterExecutionServer(r, part) }}
}

// StoragePart is a storage plugin: the stage, and the reads that it answers on the socket of role "read".
type StoragePart interface {
	ordov1.StorageServer
	ordov1.StorageReadServer
}

// Storage serves a storage plugin.
func Storage(d Description, part StoragePart) *Service {
	return &Service{description: d, stage: ordov1.Stage_STAGE_STORAGE, impl: part,
		register: func(r grpc.ServiceRegistrar) { ordov1.RegisterStorageServer(r, part) },
		sockets: map[string]func(grpc.ServiceRegistrar){
			"read": func(r grpc.ServiceRegistrar) { ordov1.RegisterStorageReadServer(r, part) },
		}}
}

// Consensus serves a consensus plugin that handles its own stream. See Hosted for level 1.
func Consensus(d Description, part ordov1.ConsensusServer) *Service {
	return &Service{description: d, stage: ordov1.Stage_STAGE_CONSENSUS, impl: part,
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
	return &ordov1.DescribeResponse{
		Name:         s.description.Name,
		Version:      version,
		Stage:        s.stage,
		ApiMinor:     APIMinor,
		Capabilities: capabilities,
		ConfigSchema: s.description.ConfigSchema,
	}
}

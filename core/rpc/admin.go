package rpc

import (
	"context"

	"github.com/ordo-sequencer/ordo/core/internal/jsonin"
)

// PluginInfo is one running plugin, for `ordo plugin list`. What is counted is counted since the newest start of the plugin.
type PluginInfo struct {
	Stage        string       `json:"stage"`
	Name         string       `json:"name"`
	Version      string       `json:"version"`
	PID          int          `json:"pid"`
	Generation   uint64       `json:"generation"` // which start of the stage this is
	Capabilities []string     `json:"capabilities"`
	Calls        uint64       `json:"calls"`
	P50          float64      `json:"p50_ms"` // of Method
	P99          float64      `json:"p99_ms"`
	Method       string       `json:"method,omitempty"`    // the busiest one
	Errors       uint64       `json:"errors"`              // calls that failed, late ones among them
	Late         uint64       `json:"late"`                // calls whose time was over before the answer
	State        string       `json:"state,omitempty"`     // "up", "late", "failing", "degraded" or "away"
	Since        string       `json:"since,omitempty"`     // when it was started or attached
	Restarts     uint64       `json:"restarts,omitempty"`  // since the node's start
	LastExit     string       `json:"last_exit,omitempty"` // when and why
	Problem      string       `json:"problem,omitempty"`   // what keeps it from its work
	Path         string       `json:"path,omitempty"`      // of the executable
	Attached     string       `json:"attached,omitempty"`  // address of one that the node does not start
	APIMinor     uint32       `json:"api_minor"`           // of the plugin protocol
	Methods      []MethodInfo `json:"methods,omitempty"`

	Counters     map[string]uint64 `json:"counters,omitempty"`      // what the plugin itself counts
	ConfigSchema string            `json:"config_schema,omitempty"` // JSON Schema of what [STAGE.config] takes
}

// MethodInfo is what one method of a plugin has served.
type MethodInfo struct {
	Name   string  `json:"name"`
	Calls  uint64  `json:"calls"` // or messages of a stream
	Errors uint64  `json:"errors"`
	Late   uint64  `json:"late"`
	Open   int64   `json:"open"`
	P50    float64 `json:"p50_ms"`
	P99    float64 `json:"p99_ms"`
}

func (s *Server) adminMethods() map[string]Method {
	return map[string]Method{
		"ordo_plugins": {Call: func(ctx context.Context, _ *jsonin.Object) (any, error) {
			list := s.Plugins(ctx)
			if list == nil {
				list = []PluginInfo{}
			}
			for i := range list {
				if list[i].Capabilities == nil {
					list[i].Capabilities = []string{}
				}
			}
			return list, nil
		}},
	}
}

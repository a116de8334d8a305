package rpc

import (
	"context"

	"github.com/ordo-sequencer/ordo/core/internal/jsonin"
)

// PluginInfo is one running plugin, for `ordo plugin list`.
type PluginInfo struct {
	Stage        string   `json:"stage"`
	Name         string   `json:"name"`
	Version      string   `json:"version"`
	PID          int      `json:"pid"`
	Generation   uint64   `json:"generation"` // which start of the stage this is
	Capabilities []string `json:"capabilities"`
	Calls        uint64   `json:"calls"`
	P50          float64  `json:"p50_ms"`
	P99          float64  `json:"p99_ms"`
	State        string   `json:"state,omitempty"` // "up", "degraded" or "away"
	Restarts     uint64   `json:"restarts,omitempty"`
	LastExit     string   `json:"last_exit,omitempty"` // when and why
	Problem      string   `json:"problem,omitempty"`   // what keeps it from its work
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

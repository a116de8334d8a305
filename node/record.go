package node

import (
	"cmp"
	"errors"
	"time"

	"github.com/ordo-sequencer/ordo/core/driver"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/sdk/recording"
)

// recorder is a recording as the driver writes it.
type recorder struct{ *recording.Writer }

// Begin implements driver.Recorder.
func (r recorder) Begin() driver.RunRecorder { return r.Writer.Begin() }

// record begins a recording of what goes between the core and consensus; nil when none is asked for.
func (n *Node) record() (driver.Recorder, error) {
	if n.config.Record == "" {
		return nil, nil
	}
	info := n.set.Plugin(ordov1.Stage_STAGE_CONSENSUS).Info()
	if describedBy(n.set.Plugin(ordov1.Stage_STAGE_CONSENSUS)).has(sdk.CapEngine) {
		return nil, errors.New("consensus.record: this consensus is an engine, which acts by its own clock and network: a replay of its events would not be the same")
	}
	h := recording.Header{ChainID: n.config.ChainID, Plugin: info.GetName() + " " + cmp.Or(info.GetVersion(), "unknown")}
	if n.member != nil {
		h.Key = n.member.id.String()
	}
	w, err := recording.Create(recording.Options{Dir: n.config.Record, Bytes: int64(n.config.RecordMiB) << 20, Header: h, Now: time.Now,
		Ended: func(why error) {
			n.log.Warn("nothing more is recorded of consensus: make room, or raise consensus.record_mib, and start the node again", "reason", why)
		}})
	if err != nil {
		return nil, err
	}
	n.recorder = w
	return recorder{w}, nil
}

package driver

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ordo-sequencer/ordo/core/chainview"
	"github.com/ordo-sequencer/ordo/core/pipeline"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
	"github.com/ordo-sequencer/ordo/test/fakestage"
)

// alone are the peers of a node that is linked to none: it finds what it keeps itself.
type alone struct {
	mu     sync.Mutex
	bodies map[string][]byte
}

func (*alone) Send(_, _ []byte) {}

func (p *alone) Publish(height uint64, _ uint32, value, body []byte) { p.Keep(height, value, body) }

func (p *alone) Keep(_ uint64, value, body []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bodies == nil {
		p.bodies = map[string][]byte{}
	}
	p.bodies[string(value)] = body
}

func (p *alone) Fetch(_ context.Context, value, _ []byte, answer func(body []byte)) {
	p.mu.Lock()
	body := p.bodies[string(value)]
	p.mu.Unlock()
	answer(body)
}

// A vote outlives a power cut, and so does the body of the proposal that it is about: the node finds it valid again, and decides it.
func TestBodyOfAVoteComesBack(t *testing.T) { synctest.Test(t, bodyOfAVoteComesBack) }

func bodyOfAVoteComesBack(t *testing.T) {
	key := []byte("the only validator")
	network := func(peers Peers) func(*Options) {
		return func(o *Options) {
			o.Block.Sequencer = make([]byte, felt.Size)
			o.Network = pipeline.Network{Self: key, Validators: []*ordov1.Validator{{Key: key, Power: 1, Address: o.Block.Sequencer}}}
			o.Peers = peers
		}
	}
	storage, fuse := fakestage.NewStorage(), newFuse(0)
	m, err := boot(t, storage, &memory{fuse: fuse, files: map[string]*page{}}, fuse, func(event *ordov1.ConsensusEvent) []*ordov1.Action {
		switch {
		case event.GetReady() != nil:
			return []*ordov1.Action{fakestage.Build(&ordov1.Action_Build{Attempt: 1, Publish: true}), fakestage.Seal(1)}
		case event.GetBuilt() != nil:
			return []*ordov1.Action{{Action: &ordov1.Action_Persist_{Persist: &ordov1.Action_Persist{Data: event.GetBuilt().Value}}}}
		}
		return nil
	}, network(&alone{}))
	if err != nil {
		t.Fatal(err)
	}
	tx := m.tx(1, 0, plain, 1)
	if err := m.submitOne(tx); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	synctest.Wait()
	m.off()

	storage.Restarted()
	var verdicts []*ordov1.ConsensusEvent_Verdict
	next, err := boot(t, storage, m.disk.survivor(fuse, false), fuse, func(event *ordov1.ConsensusEvent) []*ordov1.Action {
		if s := event.GetStart(); s != nil && len(s.Records) == 1 {
			return []*ordov1.Action{{Action: &ordov1.Action_Validate_{Validate: &ordov1.Action_Validate{Attempt: 7, Value: s.Records[0], From: key}}}}
		}
		if v := event.GetVerdict(); v != nil {
			verdicts = append(verdicts, v)
			if v.Valid {
				return []*ordov1.Action{fakestage.Decide(7, v.Value)}
			}
		}
		return nil
	}, network(&alone{}))
	if err != nil {
		t.Fatal(err)
	}
	defer next.off()
	time.Sleep(time.Second)
	synctest.Wait()
	if len(verdicts) != 1 || !verdicts[0].Valid {
		t.Fatalf("verdicts of the proposal that was voted for: %v", verdicts)
	}
	next.await(chainview.Accepted, tx)
}

package engine

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	cs "github.com/cometbft/cometbft/consensus"
	"github.com/cometbft/cometbft/mempool"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/types"

	"github.com/ordo-sequencer/ordo/plugins/consensus/comet/bridge"
)

const (
	watchEvery  = time.Second
	ringAgain   = 200 * time.Millisecond // a bell may be lost, and then a height waits for it
	measureWAL  = 10 * time.Second
	tellWAL     = 10 * time.Minute
	behind      = 50               // heights: gossip is slower than a busy chain, and block sync runs at the start only
	behindFor   = 3                // looks in a row
	rejoinAfter = 30 * time.Second // of the start before
)

// watch rings the bells that the session asks for and looks after a node, until it has to be stopped; the answer is why.
func (e *Engine) watch(ctx context.Context, r *running, s *session) (why string) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	dialing, enough := context.WithCancel(ctx)
	defer enough()
	e.redial(dialing, r)
	again := time.NewTicker(ringAgain)
	defer again.Stop()
	var measured, told time.Time
	late, others := 0, map[p2p.ID]bool{}
	s.step(bridge.Woken{}, 0)
	for {
		select {
		case <-s.ended:
			return "the core's stream has ended"
		case <-ctx.Done():
			return "the core's stream has ended"
		case <-e.draining:
			return "the node stops"
		case bell := <-s.bells:
			e.ring(r, bell)
		case <-again.C:
			r.app.heard.forget()
			s.step(bridge.Woken{}, 0)
		case now := <-tick.C:
			if now.Sub(measured) >= measureWAL {
				measured = now
				e.counters.walBytes.Store(folderSize(e.settings.wal()))
			}
			if now.Sub(told) >= tellWAL {
				told = now
				e.settings.Log.Info("CometBFT's write-ahead log", "bytes", e.counters.walBytes.Load(), "folder", e.settings.wal(), "at_most", "about 1 GB")
			}
			heights, own := e.look(r, others), r.BlockStore().Height()
			if late++; !isBehind(own, heights, len(s.start.GetValidators())) || r.ConsensusReactor().WaitSync() || now.Sub(r.booted) < rejoinAfter {
				late = 0
			}
			if late >= behindFor {
				return fmt.Sprintf("this node is at CometBFT's height %d, more than %d behind its peers (%v)", own, behind, heights)
			}
		}
	}
}

// ring wakes all nodes for the next height, unless a bell that is on its way does.
func (e *Engine) ring(r *running, what bridge.Bell) {
	if r.app.heard.enough(r.app.committed.Load()+1, what) {
		return
	}
	e.counters.bells.Add(1)
	// In a goroutine: while CometBFT commits, its mempool is locked.
	go func() {
		if err := r.Mempool().CheckTx(newBell(what, r.app.committed.Load()+1), nil, mempool.TxInfo{}); err != nil {
			e.settings.Log.Debug("a bell was not taken", "error", err)
		}
	}()
}

// look returns the heights that peers say they are at, highest first, and names peers of another network.
func (e *Engine) look(r *running, others map[p2p.ID]bool) (heights []int64) {
	peers := r.Switch().Peers().List()
	if now, was := uint64(len(peers)), e.counters.peers.Swap(uint64(len(peers))); now != was {
		e.settings.Log.Info("CometBFT's connections", "peers", now, "of", len(e.settings.others()))
	}
	for _, p := range peers {
		if state, ok := p.Get(types.PeerStateKey).(*cs.PeerState); ok {
			heights = append(heights, state.GetHeight())
		}
		if info, ok := p.NodeInfo().(p2p.DefaultNodeInfo); ok && info.Moniker != r.genesis && !others[p.ID()] {
			others[p.ID()] = true
			e.settings.Log.Error("a peer began the chain in another way: compare validators, max_block_bytes and genesis_time", "peer", p.ID(), "address", p.SocketAddr())
		}
	}
	slices.SortFunc(heights, func(a, b int64) int { return int(b - a) })
	return heights
}

// isBehind says whether more peers are far ahead of a node than the protocol lets lie. Their heights come highest first.
func isBehind(own int64, heights []int64, validators int) bool {
	liars := (validators - 1) / 3
	return len(heights) > liars && heights[liars] > own+behind
}

// folderSize is the bytes of the files of a folder.
func folderSize(dir string) (bytes uint64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // a file that was deleted meanwhile
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			bytes += uint64(info.Size())
		}
		return nil
	})
	return bytes
}

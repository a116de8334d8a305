package engine

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/cometbft/cometbft/p2p"
)

// Pauses between two attempts to dial a peer: doubled from the first to the last, with up to half of it more at random, so that two nodes
// which dial each other do not both close what the other one opened, again and again.
const (
	firstRedial = 250 * time.Millisecond
	lastRedial  = 500 * time.Millisecond
)

// redial dials, beside the caller, the peers that there is no connection with, until the context ends; what is on its way then ends by itself. CometBFT does so too, every 5 to 8 s, after 20 attempts
// ever more rarely, and at last not at all: a partition that is healed would go on by that much.
func (e *Engine) redial(ctx context.Context, r *running) {
	for _, p := range e.settings.others() {
		address := p2p.IDAddressString(nodeID(p.Key), p.Addr)
		go func() {
			pause := firstRedial
			for {
				select {
				case <-ctx.Done():
					return
				case <-time.After(pause + rand.N(pause/2)):
				}
				if !r.Switch().IsRunning() {
					return
				}
				if pause = min(2*pause, lastRedial); r.Switch().Peers().Has(nodeID(p.Key)) {
					pause = firstRedial
					continue
				}
				to, err := p2p.NewNetAddressString(address) // it asks for the address of the name, which may be another one by now
				if err == nil && !r.Switch().IsDialingOrExistingAddress(to) {
					err = r.Switch().DialPeerWithAddress(to)
				}
				if err != nil {
					e.settings.Log.Debug("a peer cannot be dialed", "peer", address, "error", err)
				}
			}
		}()
	}
}

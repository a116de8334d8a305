package network

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/ordo-sequencer/ordo/core/network/peer"
)

// peerFilePause is how often the peer file is looked at.
const peerFilePause = 2 * time.Second

// maxPeerFile bounds the size of a peer file.
const maxPeerFile = 1 << 20

// readPeerFile reads the peer file; without one there are no peers in it. A file that is missing is an error: it was named.
func (n *Network) readPeerFile() ([]peer.Address, error) {
	if n.o.PeerFile == "" {
		return nil, nil
	}
	f, err := os.Open(n.o.PeerFile)
	if err != nil {
		return nil, fmt.Errorf("network.peer_file: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() > maxPeerFile {
		return nil, fmt.Errorf("network.peer_file %s: larger than %d bytes, or unreadable: %w", n.o.PeerFile, maxPeerFile, errors.Join(err, fs.ErrInvalid))
	}
	list, err := peer.ReadAddresses(f)
	if err != nil {
		return nil, fmt.Errorf("network.peer_file %s: %w", n.o.PeerFile, err)
	}
	return list, nil
}

// Reload reads the peer file again: links to peers that are not in it any more end, new ones are dialed. With an error everything stays as it is.
func (n *Network) Reload() error {
	if n.o.PeerFile == "" {
		return nil
	}
	list, err := n.readPeerFile()
	if err != nil {
		return err
	}
	n.setPeers(list, false)
	n.o.Log.Info("peer file was read", "file", n.o.PeerFile, "peers", len(list))
	return nil
}

// stamp is what tells that a file has changed.
type stamp struct {
	time time.Time
	size int64
}

func stampOf(path string) (s stamp) {
	if info, err := os.Stat(path); err == nil {
		s = stamp{info.ModTime(), info.Size()}
	}
	return s
}

// watchPeerFile reads the peer file when it has changed since it was read.
func (n *Network) watchPeerFile(last stamp) {
	t := time.NewTicker(peerFilePause)
	defer t.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-t.C:
		}
		now := stampOf(n.o.PeerFile)
		if now == last {
			continue
		}
		last = now
		if err := n.Reload(); err != nil {
			n.o.Log.Error("peer file is not taken: the peers stay as they are", "error", err)
		}
	}
}

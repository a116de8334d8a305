package journal

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
)

var errPowerCut = errors.New("power cut")

// disk is a Directory in memory that knows what a power cut would leave: names since the last Sync of the directory, and
// bytes since the last Sync of their file, may be there, or not, or in part.
type disk struct {
	mu      sync.Mutex
	names   map[string]*inode
	durable map[string]*inode
	pending []func(map[string]*inode) // changes of names since the last Sync
	ops     int
	cutAt   int // the operation during which the power goes; 0: never
	cut     bool
	rng     *rand.Rand
	fault   func(op int, what string) error
	log     []string
}

type inode struct{ data, synced []byte }

func newDisk(seed uint64) *disk {
	return &disk{names: map[string]*inode{}, durable: map[string]*inode{}, rng: rand.New(rand.NewPCG(seed, 1))}
}

// step counts a change; an error says that it does not happen.
func (d *disk) step(what string) error {
	if d.cut {
		return errPowerCut
	}
	d.ops++
	d.log = append(d.log, what)
	if d.ops == d.cutAt {
		d.cut = true
		return errPowerCut
	}
	if d.fault != nil {
		return d.fault(d.ops, what)
	}
	return nil
}

func (d *disk) change(what string, f func(map[string]*inode)) error {
	err := d.step(what)
	if err == nil || err == errPowerCut && d.ops == d.cutAt {
		d.pending = append(d.pending, f)
	}
	if err != nil {
		return err
	}
	f(d.names)
	return nil
}

func (d *disk) List() ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for name := range d.names {
		names = append(names, name)
	}
	return names, nil
}

func (d *disk) Open(name string) (File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names[name] == nil {
		return nil, fmt.Errorf("%s: no such file", name)
	}
	return &handle{d, name, d.names[name]}, nil
}

func (d *disk) Create(name string) (File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := &inode{}
	if err := d.change("create "+name, func(m map[string]*inode) { m[name] = n }); err != nil {
		return nil, err
	}
	return &handle{d, name, n}, nil
}

func (d *disk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.names[from]
	return d.change("rename "+from+" "+to, func(m map[string]*inode) { m[to] = n; delete(m, from) })
}

func (d *disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names[name] == nil {
		return fmt.Errorf("%s: no such file", name)
	}
	return d.change("remove "+name, func(m map[string]*inode) { delete(m, name) })
}

func (d *disk) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step("sync directory"); err != nil {
		return err
	}
	d.durable, d.pending = map[string]*inode{}, nil
	for name, n := range d.names {
		d.durable[name] = n
	}
	return nil
}

// survivor is the disk as the next process finds it.
type survivor int

const (
	synced survivor = iota // only what was synced
	cached                 // everything: the process ended, the host did not
	torn                   // chance decides, name by name and sector by sector
)

func (d *disk) after(how survivor, seed uint64) *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := newDisk(seed)
	names := map[string]*inode{}
	for name, n := range d.durable {
		names[name] = n
	}
	for _, change := range d.pending {
		if how == cached || how == torn && next.rng.IntN(2) == 0 {
			change(names)
		}
	}
	for name, n := range names {
		data := n.synced
		if how == cached {
			data = n.data
		} else if how == torn {
			data = next.tear(n)
		}
		kept := &inode{append([]byte(nil), data...), append([]byte(nil), data...)}
		if how == cached { // still only in memory
			kept.synced = append([]byte(nil), n.synced...)
		}
		next.names[name], next.durable[name] = kept, kept
	}
	return next
}

// tear keeps a prefix of what was not synced, and zeroes some of its sectors.
func (d *disk) tear(n *inode) []byte {
	if len(n.data) <= len(n.synced) {
		if d.rng.IntN(2) == 0 {
			return n.data
		}
		return n.synced
	}
	const sector = 32
	size := len(n.synced) + d.rng.IntN(len(n.data)-len(n.synced)+1)
	data := append([]byte(nil), n.data[:size]...)
	for at := len(n.synced); at < size; at++ {
		if at == len(n.synced) || at%sector == 0 {
			if d.rng.IntN(3) == 0 {
				clear(data[at:min(size, at-at%sector+sector)])
			}
		}
	}
	return data
}

type handle struct {
	disk *disk
	name string
	n    *inode
}

func (h *handle) ReadAt(p []byte, offset int64) (int, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if offset >= int64(len(h.n.data)) {
		return 0, io.EOF
	}
	n := copy(p, h.n.data[offset:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *handle) Write(p []byte) (int, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	alive := !h.disk.cut
	if err := h.disk.step("write " + h.name); err != nil {
		n := 0
		if alive { // a part of it may have got there
			n = h.disk.rng.IntN(len(p) + 1)
			h.n.data = append(h.n.data, p[:n]...)
		}
		return n, err
	}
	h.n.data = append(h.n.data, p...)
	return len(p), nil
}

func (h *handle) Size() (int64, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	return int64(len(h.n.data)), nil
}

func (h *handle) Truncate(size int64) error {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if err := h.disk.step("truncate " + h.name); err != nil {
		return err
	}
	h.n.data = h.n.data[:size:size]
	return nil
}

func (h *handle) Sync() error {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if err := h.disk.step("sync " + h.name); err != nil {
		return err
	}
	h.n.synced = append([]byte(nil), h.n.data...)
	return nil
}

func (h *handle) Close() error { return nil }

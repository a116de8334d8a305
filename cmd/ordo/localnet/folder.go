package localnet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ordo-sequencer/ordo/cmd/ordo/localnet/faults"
	"github.com/ordo-sequencer/ordo/core/network/identity"
	"github.com/ordo-sequencer/ordo/node/config"
)

// Files of a localnet folder.
const (
	layoutFile  = "localnet.json"
	lockFile    = "lock"
	controlFile = "control.sock"
	makingFile  = "unfinished" // there while a new localnet is made: without the layout file, what is beside it is of one that was not finished
)

// errNone means that a folder holds no localnet.
var errNone = errors.New("there is no localnet in it")

// readLayout reads what the localnet in a folder is made of.
func readLayout(dir string) (*Layout, error) {
	raw, err := os.ReadFile(filepath.Join(dir, layoutFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, errNone)
	}
	if err != nil {
		return nil, err
	}
	l := &Layout{}
	if err := json.Unmarshal(raw, l); err != nil {
		return nil, fmt.Errorf("%s: %s is damaged: %w", dir, layoutFile, err)
	}
	if l.Version != layoutVersion || len(l.Members) == 0 || len(l.Members) > faults.MaxNodes {
		return nil, fmt.Errorf("%s: %s is of version %d with %d nodes, this ordo reads version %d with 1 to %d", dir, layoutFile, l.Version, len(l.Members), layoutVersion, faults.MaxNodes)
	}
	return l, nil
}

// write stores the layout, as a whole or not at all.
func (l *Layout) write(dir string) error {
	raw, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	return replace(filepath.Join(dir, layoutFile), append(raw, '\n'))
}

// replace writes a file as a whole or not at all.
func replace(path string, data []byte) error {
	next := path + ".new"
	if err := os.WriteFile(next, data, 0o600); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// lock keeps a second ordo localnet out of the folder. The lock ends with the process.
func lock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("a localnet runs in %s: stop it, or choose another folder with --dir", dir)
	}
	return f, nil
}

// create makes the folder of a new localnet. The layout file comes last: a folder without it is none.
func create(dir string, l *Layout, validators int) (err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	unfinished := slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == makingFile })
	for _, e := range entries {
		if e.Name() != lockFile && !(unfinished && ours(e.Name())) {
			return fmt.Errorf("%s is not empty and holds no localnet (there is %s): choose another folder with --dir", dir, e.Name())
		}
	}
	if unfinished {
		if err := unmake(dir); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, makingFile), nil, 0o600); err != nil {
		return err
	}
	defer func() {
		if err != nil { // what was made so far would look like files of the user's
			err = errors.Join(err, unmake(dir))
		}
	}()
	for k := range validators {
		l.Members = append(l.Members, Member{Kind: Validator})
		if err := l.makeKey(dir, k); err != nil {
			return err
		}
	}
	if err := os.WriteFile(networkPath(dir), l.Network().Format(), 0o600); err != nil {
		return err
	}
	for k := range l.Members {
		if err := l.makeNode(dir, k); err != nil {
			return err
		}
	}
	if err := l.write(dir); err != nil {
		return err
	}
	return os.Remove(filepath.Join(dir, makingFile))
}

// ours tells whether create makes an entry of this name.
func ours(name string) bool {
	_, err := strconv.Atoi(strings.TrimPrefix(name, "node-"))
	return name == makingFile || name == filepath.Base(networkPath("")) || strings.HasPrefix(name, "node-") && err == nil || strings.HasPrefix(name, layoutFile)
}

// unmake removes what create has made; the file that says so goes last.
func unmake(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if ours(e.Name()) && e.Name() != makingFile {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	if err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, makingFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// makeKey makes a node's folder and key.
func (l *Layout) makeKey(dir string, node int) error {
	folder := folderOf(dir, node)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	path := filepath.Join(folder, "node.key")
	m := &l.Members[node]
	if m.Kind == Twin {
		raw, err := os.ReadFile(filepath.Join(folderOf(dir, m.Of), "node.key"))
		if err == nil {
			err = os.WriteFile(path, raw, 0o600)
		}
		if err != nil {
			return err
		}
		if l.Takes.NodeKeyFile {
			if _, _, err := identity.LoadOrCreate(filepath.Join(folder, "engine.key")); err != nil {
				return err
			}
		}
	}
	key, _, err := identity.LoadOrCreate(path)
	if err == nil {
		m.Key = identity.Of(key)
	}
	return err
}

// makeNode writes a node's configuration.
func (l *Layout) makeNode(dir string, node int) error {
	c, err := l.Config(dir, node)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("# Node %d of a localnet (%s): ordo run --config FILE\n", node, l.Members[node].Kind) + config.Changed(c)
	if err := os.WriteFile(filepath.Join(folderOf(dir, node), "ordo.toml"), []byte(text), 0o600); err != nil {
		return err
	}
	return l.writePeers(dir, node)
}

func (l *Layout) writePeers(dir string, node int) error {
	return replace(filepath.Join(folderOf(dir, node), "peers"), l.PeerFile(node))
}

// add makes the files of one more node, and tells the others of it by their peer files.
func (l *Layout) add(dir string, m Member) (node int, err error) {
	if len(l.Members) >= faults.MaxNodes {
		return 0, fmt.Errorf("a localnet has at most %d nodes", faults.MaxNodes)
	}
	node = len(l.Members)
	grown := *l
	grown.Members = append(slices.Clone(l.Members), m)
	if err := os.RemoveAll(folderOf(dir, node)); err != nil { // of an attempt that was given up
		return 0, err
	}
	for _, step := range []func() error{
		func() error { return grown.makeKey(dir, node) },
		func() error { return grown.makeNode(dir, node) },
		func() error { return grown.write(dir) },
	} {
		if err := step(); err != nil {
			return 0, err
		}
	}
	*l = grown
	for k := range node {
		if err := l.writePeers(dir, k); err != nil {
			return 0, err
		}
	}
	return node, nil
}

// clean removes the folder of a localnet in which nothing runs.
func clean(dir string) error {
	if _, err := readLayout(dir); err != nil {
		if _, unfinished := os.Stat(filepath.Join(dir, makingFile)); unfinished != nil || !errors.Is(err, errNone) {
			return fmt.Errorf("clean: %w: nothing is removed", err)
		}
	}
	held, err := lock(dir)
	if err != nil {
		return fmt.Errorf("clean: %w", err)
	}
	defer held.Close()
	return os.RemoveAll(dir)
}

// free tells whether nothing listens at an address.
func free(address string) bool {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// chooseBasePort finds a base port of which all ports that the first nodes need are free. It is below those that systems give to clients.
func chooseBasePort(l *Layout, validators int) (int, error) {
	trial := *l
	trial.Members = slices.Repeat([]Member{{Kind: Validator}}, validators)
	for range 200 {
		trial.BasePort = 10000 + rand.IntN(20000/portsNeeded)*portsNeeded
		if trial.taken() == "" {
			return trial.BasePort, nil
		}
	}
	return 0, errors.New("no free ports between 10000 and 30000: name some with --base-port")
}

// taken names an address of the localnet that another program listens at; "": none.
func (l *Layout) taken() string {
	for k := range l.Members {
		for _, address := range l.Ports(k) {
			if !free(address) {
				return address
			}
		}
	}
	return ""
}

// newLayout is a layout without nodes.
func newLayout(chainID string, now time.Time) *Layout {
	return &Layout{Version: layoutVersion, ChainID: chainID, GenesisTime: uint64(now.Unix()), Seed: rand.Uint64()}
}

package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	dbm "github.com/cometbft/cometbft-db"
	"github.com/cometbft/cometbft/config"
	sm "github.com/cometbft/cometbft/state"
	"github.com/cometbft/cometbft/store"
	"github.com/cometbft/cometbft/types"

	"github.com/ordo-sequencer/ordo/plugins/consensus/comet/block"
	"github.com/ordo-sequencer/ordo/plugins/consensus/comet/guard"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// haltError is one that a restart does not mend: the node stops with it.
type haltError struct{ reason string }

func (e *haltError) Error() string { return e.reason }

func haltf(format string, args ...any) error { return &haltError{fmt.Sprintf(format, args...)} }

// appHash is the same after every block: with one that changes CometBFT would add a block without payload to each that has one.
var appHash = func() []byte { h := sha256.Sum256([]byte("ordo/comet/1")); return h[:] }()

// genesis is CometBFT's, the same on all nodes.
func (s *Settings) genesis(validators []*ordov1.Validator) (*types.GenesisDoc, error) {
	list, err := block.Validators(validators)
	if err != nil {
		return nil, haltf("comet: %v", err)
	}
	params := types.DefaultConsensusParams()
	params.Block.MaxBytes, params.Block.MaxGas = s.MaxBlockBytes, -1
	params.Evidence.MaxBytes = min(params.Evidence.MaxBytes, s.MaxBlockBytes/2)
	doc := &types.GenesisDoc{GenesisTime: s.GenesisTime, ChainID: s.ChainID, InitialHeight: 1, ConsensusParams: params, AppHash: appHash}
	for _, v := range list {
		doc.Validators = append(doc.Validators, types.GenesisValidator{Address: v.Address, PubKey: v.PubKey, Power: v.VotingPower})
	}
	if err := doc.ValidateAndComplete(); err != nil {
		return nil, haltf("comet: genesis: %v", err)
	}
	return doc, nil
}

// moniker tells the genesis to other nodes.
func moniker(doc *types.GenesisDoc) (string, error) {
	text, err := json.Marshal(struct {
		Time       string
		Chain      string
		Params     []byte
		Validators []byte
	}{doc.GenesisTime.String(), doc.ChainID, doc.ConsensusParams.Hash(), doc.ValidatorHash()})
	sum := sha256.Sum256(text)
	return "ordo-" + hex.EncodeToString(sum[:8]), err
}

// stores are CometBFT's databases.
type stores struct {
	databases map[string]dbm.DB
	blocks    *store.BlockStore // for reading beside CometBFT's own
	state     sm.State
}

func (s *Settings) openStores() (*stores, error) {
	all := &stores{databases: map[string]dbm.DB{}}
	for _, name := range []string{"blockstore", "state", "evidence"} {
		db, err := dbm.NewDB(name, dbm.GoLevelDBBackend, s.databases())
		if err != nil {
			all.close()
			return nil, fmt.Errorf("comet: database %s in %s: %w", name, s.databases(), err)
		}
		all.databases[name] = db
	}
	all.blocks = store.NewBlockStore(all.databases["blockstore"])
	var err error
	if all.state, err = sm.NewStore(all.databases["state"], sm.StoreOptions{}).Load(); err != nil {
		all.close()
		return nil, fmt.Errorf("comet: state in %s: %w", s.databases(), err)
	}
	return all, nil
}

// provide is a config.DBProvider.
func (d *stores) provide(c *config.DBContext) (dbm.DB, error) {
	if db := d.databases[c.ID]; db != nil {
		return db, nil
	}
	return nil, fmt.Errorf("no database %s", c.ID)
}

// close ends the databases of a node that did not start; a started one ends its own.
func (d *stores) close() {
	for _, db := range d.databases {
		_ = db.Close()
	}
}

// check says what of CometBFT's folder does not belong to the core, its settings or its validators.
func (d *stores) check(s *Settings, want *types.GenesisDoc, parent *block.Certificate) error {
	height := d.blocks.Height()
	ok, err := guard.Exists(s.guard())
	if err != nil {
		return fmt.Errorf("comet: %w", err)
	}
	if height > 0 && !ok {
		return haltf("comet: %s is missing, and without it this validator could sign twice: restore it from the newest backup of this node, "+
			"or remove the node's whole data folder: it then fetches the chain from its peers", s.guard())
	}
	if err := d.sameGenesis(s, want); err != nil || parent == nil {
		return err
	}
	at := parent.Header.Height
	if at > height {
		return haltf("comet: the node has blocks up to CometBFT's height %d, %s ends at %d: restore this folder from the newest backup of this node, "+
			"or remove the node's whole data folder: it then fetches the chain from its peers", at, s.databases(), height)
	}
	if meta := d.blocks.LoadBlockMeta(at); meta == nil || !bytes.Equal(meta.Header.Hash(), parent.Header.Hash()) {
		return haltf("comet: %s has another block at CometBFT's height %d than the node: it is the folder of another chain", s.databases(), at)
	}
	return nil
}

// sameGenesis compares the genesis that CometBFT has stored: it would take no other.
func (d *stores) sameGenesis(s *Settings, want *types.GenesisDoc) error {
	raw, err := d.databases["state"].Get([]byte("genesisDoc"))
	if err != nil {
		return fmt.Errorf("comet: %w", err)
	}
	if len(raw) == 0 {
		return nil // a new folder
	}
	stored, err := types.GenesisDocFromJSON(raw)
	if err != nil {
		return fmt.Errorf("comet: the genesis in %s: %w", s.databases(), err)
	}
	const what = "comet: %s was made with %s %v, now it is %v: all nodes of a chain keep what the chain began with"
	switch {
	case stored.ChainID != want.ChainID:
		return haltf(what, s.databases(), "chain", stored.ChainID, want.ChainID)
	case stored.ConsensusParams.Block.MaxBytes != want.ConsensusParams.Block.MaxBytes:
		return haltf(what, s.databases(), "max_block_bytes", stored.ConsensusParams.Block.MaxBytes, want.ConsensusParams.Block.MaxBytes)
	case !stored.GenesisTime.Equal(want.GenesisTime):
		return haltf(what, s.databases(), "genesis_time", stored.GenesisTime, want.GenesisTime)
	case !maps.Equal(powers(stored), powers(want)):
		return haltf(what, s.databases(), "the validators (key: power)", powers(stored), powers(want))
	}
	return nil
}

func powers(doc *types.GenesisDoc) map[string]int64 {
	all := map[string]int64{}
	for _, v := range doc.Validators {
		all[hex.EncodeToString(v.PubKey.Bytes())] = v.Power
	}
	return all
}

// replayFrom is the height of CometBFT up to which the core has everything. One too low does no harm: no block is handed over twice.
func (d *stores) replayFrom(parent *block.Certificate) int64 {
	if parent == nil {
		return 0
	}
	// The core may have the block of a height whose end CometBFT did not write down.
	return min(parent.Header.Height, d.state.LastBlockHeight)
}

// certificate is that of a decided block. CometBFT saves a block with its precommits before it hands it over.
func (d *stores) certificate(height int64, body []byte) (raw []byte, round uint32, err error) {
	meta, commit := d.blocks.LoadBlockMeta(height), d.blocks.LoadSeenCommit(height)
	if meta == nil || commit == nil {
		return nil, 0, errors.New("comet: the block is not in CometBFT's store")
	}
	raw, err = block.Certify(&meta.Header, commit, body)
	return raw, uint32(commit.Round), err
}

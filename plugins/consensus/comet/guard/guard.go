// Package guard signs for a validator and never signs two different messages of one step, whatever ends in between.
//
// The last message that was signed lies in a file, durable before its signature is given away. The file is the state of one engine: it
// is never copied to another machine together with the key, and never deleted alone.
package guard

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/cometbft/cometbft/crypto"
	"github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/libs/protoio"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cometbft/cometbft/types"
)

// Steps of a round, in the order in which a validator signs in them.
const (
	stepProposal  = 1
	stepPrevote   = 2
	stepPrecommit = 3
)

// signed is the last message that was signed.
type signed struct {
	Height    int64  `json:"height"`
	Round     int32  `json:"round"`
	Step      int8   `json:"step"`
	Message   []byte `json:"message"` // the bytes that CometBFT signs
	Signature []byte `json:"signature"`
}

// Guard implements types.PrivValidator.
type Guard struct {
	key  ed25519.PrivKey
	path string

	mu   sync.Mutex
	last signed
}

var _ types.PrivValidator = (*Guard)(nil)

// Exists says whether there is a file of a guard at a path.
func Exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Open reads the file at path, and makes it when there is none: from then on it must be there.
func Open(path string, key ed25519.PrivKey) (*Guard, error) {
	g := &Guard{key: key, path: path}
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return g, g.save(signed{})
	case err != nil:
		return nil, fmt.Errorf("guard: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&g.last); err != nil {
		return nil, fmt.Errorf("guard: %s cannot be read: %w: restore it from this machine's newest backup", path, err)
	}
	return g, nil
}

// GetPubKey implements types.PrivValidator.
func (g *Guard) GetPubKey() (crypto.PubKey, error) { return g.key.PubKey(), nil }

// SignVote implements types.PrivValidator.
func (g *Guard) SignVote(chainID string, vote *cmtproto.Vote) error {
	step := int8(stepPrevote)
	switch vote.Type {
	case cmtproto.PrevoteType:
	case cmtproto.PrecommitType:
		step = stepPrecommit
	default:
		return fmt.Errorf("guard: a vote of type %s", vote.Type)
	}
	if len(vote.Extension) > 0 {
		return errors.New("guard: vote extensions are not in use")
	}
	signature, at, err := g.sign(signed{Height: vote.Height, Round: vote.Round, Step: step, Message: types.VoteSignBytes(chainID, vote)}, voteTime)
	if err != nil {
		return err
	}
	vote.Signature = signature
	if at != nil {
		vote.Timestamp = *at
	}
	return nil
}

// SignProposal implements types.PrivValidator.
func (g *Guard) SignProposal(chainID string, proposal *cmtproto.Proposal) error {
	signature, at, err := g.sign(signed{Height: proposal.Height, Round: proposal.Round, Step: stepProposal,
		Message: types.ProposalSignBytes(chainID, proposal)}, proposalTime)
	if err != nil {
		return err
	}
	proposal.Signature = signature
	if at != nil {
		proposal.Timestamp = *at
	}
	return nil
}

// sign signs a message that comes after the last one, or is the last one. When it differs from that in its time only, as after a
// restart, at is the time that was signed.
func (g *Guard) sign(s signed, timeOf func([]byte) (message []byte, at time.Time, err error)) (signature []byte, at *time.Time, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch last := &g.last; {
	case s.before(last):
		return nil, nil, fmt.Errorf("guard: height %d round %d step %d is signed: nothing of height %d round %d step %d is", last.Height, last.Round, last.Step, s.Height, s.Round, s.Step)
	case !last.before(&s) && bytes.Equal(last.Message, s.Message):
		return last.Signature, nil, nil
	case !last.before(&s):
		was, then, err := timeOf(last.Message)
		if err != nil {
			return nil, nil, fmt.Errorf("guard: %s: the message of the last signature: %w", g.path, err)
		}
		is, _, err := timeOf(s.Message)
		if err != nil {
			return nil, nil, fmt.Errorf("guard: %w", err)
		}
		if !bytes.Equal(was, is) {
			return nil, nil, fmt.Errorf("guard: another message of height %d round %d step %d is signed already", s.Height, s.Round, s.Step)
		}
		return last.Signature, &then, nil
	}
	if s.Signature, err = g.key.Sign(s.Message); err != nil {
		return nil, nil, fmt.Errorf("guard: %w", err)
	}
	if err := g.save(s); err != nil {
		return nil, nil, err
	}
	return s.Signature, nil, nil
}

func (s *signed) before(other *signed) bool {
	switch {
	case s.Height != other.Height:
		return s.Height < other.Height
	case s.Round != other.Round:
		return s.Round < other.Round
	}
	return s.Step < other.Step
}

// save makes a message the last one, durably.
func (g *Guard) save(s signed) error {
	text, err := json.MarshalIndent(&s, "", "  ")
	if err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	if err := replace(g.path, append(text, '\n')); err != nil {
		return fmt.Errorf("guard: nothing is signed: %w", err)
	}
	g.last = s
	return nil
}

// replace writes a file as a whole: after a crash it has the old content or the new.
func replace(path string, text []byte) error {
	temporary := path + ".new"
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// voteTime takes the time out of a vote's bytes.
func voteTime(raw []byte) ([]byte, time.Time, error) {
	var v cmtproto.CanonicalVote
	if err := protoio.UnmarshalDelimited(raw, &v); err != nil {
		return nil, time.Time{}, err
	}
	at := v.Timestamp
	v.Timestamp = time.Time{}
	rest, err := v.Marshal()
	return rest, at, err
}

// proposalTime takes the time out of a proposal's bytes.
func proposalTime(raw []byte) ([]byte, time.Time, error) {
	var p cmtproto.CanonicalProposal
	if err := protoio.UnmarshalDelimited(raw, &p); err != nil {
		return nil, time.Time{}, err
	}
	at := p.Timestamp
	p.Timestamp = time.Time{}
	rest, err := p.Marshal()
	return rest, at, err
}

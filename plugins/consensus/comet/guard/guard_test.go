package guard_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/crypto/tmhash"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cometbft/cometbft/types"

	"github.com/ordo-sequencer/ordo/plugins/consensus/comet/guard"
)

const chainID = "SN_TEST"

var key = ed25519.GenPrivKeyFromSecret([]byte("guard"))

func open(t *testing.T, path string) *guard.Guard {
	t.Helper()
	g, err := guard.Open(path, key)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func vote(kind cmtproto.SignedMsgType, height int64, round int32, value string, second int64) *cmtproto.Vote {
	v := &cmtproto.Vote{Type: kind, Height: height, Round: round, Timestamp: time.Unix(second, 0).UTC()}
	if value != "" {
		id := types.BlockID{Hash: tmhash.Sum([]byte(value)), PartSetHeader: types.PartSetHeader{Total: 1, Hash: tmhash.Sum([]byte(value))}}
		v.BlockID = id.ToProto()
	}
	return v
}

func TestSignaturesAreThoseOfCometBFT(t *testing.T) {
	g := open(t, filepath.Join(t.TempDir(), "guard.json"))
	p := types.NewProposal(1, 0, -1, types.BlockID{Hash: tmhash.Sum(nil), PartSetHeader: types.PartSetHeader{Total: 1, Hash: tmhash.Sum(nil)}}).ToProto()
	if err := g.SignProposal(chainID, p); err != nil || !key.PubKey().VerifySignature(types.ProposalSignBytes(chainID, p), p.Signature) {
		t.Fatal(err)
	}
	v := vote(cmtproto.PrevoteType, 1, 0, "a", 1)
	if err := g.SignVote(chainID, v); err != nil || !key.PubKey().VerifySignature(types.VoteSignBytes(chainID, v), v.Signature) {
		t.Fatal(err)
	}
}

// TestNoTwoMessagesOfAStepAreSigned: for any order of requests, and restarts between them.
func TestNoTwoMessagesOfAStepAreSigned(t *testing.T) {
	path := filepath.Join(t.TempDir(), "guard.json")
	r := rand.New(rand.NewPCG(3, 4))
	g := open(t, path)
	type step struct {
		height int64
		round  int32
		kind   cmtproto.SignedMsgType
	}
	given := map[step]string{} // what was signed, without its time
	last := step{}
	count := 0
	for range 3000 {
		if r.IntN(20) == 0 {
			g = open(t, path)
		}
		height := max(1, last.height+int64(r.IntN(4))-1)
		v := vote(cmtproto.PrevoteType+cmtproto.SignedMsgType(r.IntN(2)), height, int32(r.IntN(3)), []string{"", "a", "b"}[r.IntN(3)], r.Int64N(5))
		value := string(v.BlockID.Hash)
		if g.SignVote(chainID, v) != nil {
			continue
		}
		count++
		if !key.PubKey().VerifySignature(types.VoteSignBytes(chainID, v), v.Signature) {
			t.Fatal("the signature is not of the vote that came back")
		}
		at := step{v.Height, v.Round, v.Type}
		if was, ok := given[at]; ok && was != value {
			t.Fatalf("%v: two different votes are signed", at)
		}
		given[at], last = value, at
	}
	if count < 200 {
		t.Fatalf("only %d votes were signed", count)
	}
}

func TestAfterARestartTheSameVoteHasTheSameSignature(t *testing.T) {
	path := filepath.Join(t.TempDir(), "guard.json")
	first := vote(cmtproto.PrecommitType, 5, 1, "a", 10)
	if err := open(t, path).SignVote(chainID, first); err != nil {
		t.Fatal(err)
	}
	g := open(t, path)
	again := vote(cmtproto.PrecommitType, 5, 1, "a", 99) // the clock went on
	if err := g.SignVote(chainID, again); err != nil || string(again.Signature) != string(first.Signature) || !again.Timestamp.Equal(first.Timestamp) {
		t.Fatalf("%v, %v", again, err)
	}
	for want, v := range map[string]*cmtproto.Vote{
		"another message": vote(cmtproto.PrecommitType, 5, 1, "b", 10),
		"is signed":       vote(cmtproto.PrevoteType, 5, 1, "a", 10),
		"round 1 step 3":  vote(cmtproto.PrecommitType, 5, 0, "a", 10),
		"height 5":        vote(cmtproto.PrecommitType, 4, 7, "a", 10),
		"extensions":      {Type: cmtproto.PrecommitType, Height: 6, Extension: []byte{1}},
		"of type":         {Type: cmtproto.ProposalType, Height: 6},
	} {
		if err := g.SignVote(chainID, v); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

func TestNothingIsSignedWithoutItsFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state", "guard.json")
	if _, err := guard.Open(path, key); err == nil {
		t.Fatal("a guard without a folder")
	}
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	g := open(t, path)
	if ok, err := guard.Exists(path); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	if err := g.SignVote(chainID, vote(cmtproto.PrevoteType, 1, 0, "a", 1)); err == nil || !strings.Contains(err.Error(), "nothing is signed") {
		t.Fatal(err)
	}
	bad := filepath.Join(dir, "bad.json")
	if err := os.WriteFile(bad, []byte(`{"height":1,`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := guard.Open(bad, key); err == nil || !strings.Contains(err.Error(), "restore it") {
		t.Fatal(err)
	}
}

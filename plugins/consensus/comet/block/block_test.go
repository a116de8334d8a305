package block_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/crypto/tmhash"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	cmtversion "github.com/cometbft/cometbft/proto/tendermint/version"
	"github.com/cometbft/cometbft/types"
	"github.com/cometbft/cometbft/version"
	"google.golang.org/protobuf/proto"

	"github.com/ordo-sequencer/ordo/plugins/consensus/comet/block"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

const chainID = "SN_TEST"

// committee is a set of validators with their private keys, in the order of the set.
type committee struct {
	set  *types.ValidatorSet
	keys []cmted25519.PrivKey
	list []*ordov1.Validator
}

func newCommittee(t testing.TB, seed string, powers ...uint64) *committee {
	t.Helper()
	c := &committee{}
	private := map[string]cmted25519.PrivKey{}
	for i, power := range powers {
		key := cmted25519.GenPrivKeyFromSecret([]byte(seed + string(rune('a'+i))))
		private[string(key.PubKey().Bytes())] = key
		c.list = append(c.list, &ordov1.Validator{Key: key.PubKey().Bytes(), Power: power})
	}
	list, err := block.Validators(c.list)
	if err != nil {
		t.Fatal(err)
	}
	c.set = types.NewValidatorSet(list)
	for _, v := range c.set.Validators {
		c.keys = append(c.keys, private[string(v.PubKey.Bytes())])
	}
	return c
}

// decide makes a block with a payload and the precommits of the validators for which signs says true; nils says which vote for no block.
func (c *committee) decide(t testing.TB, p *block.Payload, chain string, signs, nils func(int) bool) []byte {
	t.Helper()
	txs := types.ToTxs(p.Transactions())
	when := time.Unix(1_700_000_000, 5).UTC()
	sum := func(s string) []byte { return tmhash.Sum([]byte(s)) }
	header := &types.Header{Version: cmtversion.Consensus{Block: version.BlockProtocol}, ChainID: chain, Height: 41, Time: when,
		LastBlockID:    types.BlockID{Hash: sum("last"), PartSetHeader: types.PartSetHeader{Total: 2, Hash: sum("parts")}},
		LastCommitHash: sum("commit"), DataHash: txs.Hash(), ValidatorsHash: c.set.Hash(), NextValidatorsHash: c.set.Hash(), ConsensusHash: sum("params"),
		AppHash: sum("app"), LastResultsHash: sum("results"), EvidenceHash: sum("evidence"), ProposerAddress: c.set.Validators[0].Address}
	commit := &types.Commit{Height: 41, Round: 1, BlockID: types.BlockID{Hash: header.Hash(), PartSetHeader: types.PartSetHeader{Total: 1, Hash: sum("part")}}}
	for i, v := range c.set.Validators {
		if !signs(i) {
			commit.Signatures = append(commit.Signatures, types.NewCommitSigAbsent())
			continue
		}
		vote := cmtproto.Vote{Type: cmtproto.PrecommitType, Height: 41, Round: 1, Timestamp: when.Add(time.Duration(i)), BlockID: commit.BlockID.ToProto()}
		flag := types.BlockIDFlagCommit
		if nils(i) {
			vote.BlockID, flag = cmtproto.BlockID{}, types.BlockIDFlagNil
		}
		signature, err := c.keys[i].Sign(types.VoteSignBytes(chain, &vote))
		if err != nil {
			t.Fatal(err)
		}
		commit.Signatures = append(commit.Signatures, types.CommitSig{BlockIDFlag: flag, ValidatorAddress: v.Address, Timestamp: vote.Timestamp, Signature: signature})
	}
	raw, err := block.Certify(header, commit, p.Body)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func all(int) bool  { return true }
func none(int) bool { return false }

var payload = &block.Payload{Height: 7, Value: bytes.Repeat([]byte{9}, block.ValueSize), Body: []byte("the proposal")}

func (c *committee) request(certificate []byte) *ordov1.VerifyRequest {
	return &ordov1.VerifyRequest{ChainId: chainID, Height: payload.Height, Value: payload.Value, Certificate: certificate, Validators: c.list, Scheme: block.Scheme}
}

func TestPayloadIsReadAsItWasWritten(t *testing.T) {
	got, err := block.Read(payload.Transactions())
	if err != nil || got.Height != payload.Height || !bytes.Equal(got.Value, payload.Value) || !bytes.Equal(got.Body, payload.Body) {
		t.Fatalf("%v, %v", got, err)
	}
	if got, err := block.Read(nil); got != nil || err != nil {
		t.Fatalf("a block without transactions: %v, %v", got, err)
	}
	h, body := payload.Transactions()[0], payload.Body
	for name, txs := range map[string][][]byte{"one": {h}, "three": {h, body, body}, "short": {h[1:], body}, "long": {append(h, 0), body},
		"other tag": {append([]byte("x"), h[1:]...), body}, "no body": {h, nil}} {
		if got, err := block.Read(txs); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestCertificateIsValidFromMoreThanTwoThirdsOfThePower(t *testing.T) {
	for _, c := range []struct {
		powers []uint64
		signs  func(int) bool
		nils   func(int) bool
		valid  bool
	}{
		{[]uint64{1}, all, none, true},
		{[]uint64{1, 1, 1, 1}, all, none, true},
		{[]uint64{1, 1, 1, 1}, func(i int) bool { return i != 2 }, none, true},
		{[]uint64{1, 1, 1, 1}, all, func(i int) bool { return i == 1 }, true},
		{[]uint64{1, 1, 1, 1}, func(i int) bool { return i < 2 }, none, false},
		{[]uint64{1, 1, 1, 1}, all, func(i int) bool { return i < 2 }, false},
		{[]uint64{1, 1, 1}, func(i int) bool { return i > 0 }, none, false}, // two thirds are not more than two thirds
		{[]uint64{7, 1, 1, 1}, func(i int) bool { return i == 0 }, none, true},
		{[]uint64{6, 1, 1, 1}, func(i int) bool { return i == 0 }, none, false},
	} {
		set := newCommittee(t, "x", c.powers...)
		why := block.Verify(set.request(set.decide(t, payload, chainID, c.signs, c.nils)))
		if (why == "") != c.valid {
			t.Errorf("powers %v: %q, want valid %v", c.powers, why, c.valid)
		}
	}
}

func TestCertificateOfAnythingElseIsInvalid(t *testing.T) {
	c := newCommittee(t, "x", 1, 1, 1, 1)
	good := c.decide(t, payload, chainID, all, none)
	if why := block.Verify(c.request(good)); why != "" {
		t.Fatal(why)
	}
	other := newCommittee(t, "y", 1, 1, 1, 1)
	for want, change := range map[string]func(*ordov1.VerifyRequest){
		"chain":              func(r *ordov1.VerifyRequest) { r.ChainId = "SN_OTHER" },
		"of chain":           func(r *ordov1.VerifyRequest) { r.Certificate = c.decide(t, payload, "SN_OTHER", all, none) },
		"height or value":    func(r *ordov1.VerifyRequest) { r.Height++ },
		"another height":     func(r *ordov1.VerifyRequest) { r.Value[0]++ },
		"of other":           func(r *ordov1.VerifyRequest) { r.Validators = other.list },
		"other validators":   func(r *ordov1.VerifyRequest) { r.Validators = r.Validators[1:] },
		"are no validators":  func(r *ordov1.VerifyRequest) { r.Validators = nil },
		"twice":              func(r *ordov1.VerifyRequest) { r.Validators = append(r.Validators, r.Validators[0]) },
		"power":              func(r *ordov1.VerifyRequest) { r.Validators[0].Power = 0 },
		"power of all":       func(r *ordov1.VerifyRequest) { r.Validators[0].Power = 1<<60 - 1; r.Validators[1].Power = 1<<60 - 1 },
		"its key has":        func(r *ordov1.VerifyRequest) { r.Validators[0].Key = nil },
		"scheme":             func(r *ordov1.VerifyRequest) { r.Scheme = "test" },
		"a value of":         func(r *ordov1.VerifyRequest) { r.Value = nil },
		"not a certificate":  func(r *ordov1.VerifyRequest) { r.Certificate = nil },
		"at most":            func(r *ordov1.VerifyRequest) { r.Certificate = make([]byte, 3<<20) },
		"cannot be read":     func(r *ordov1.VerifyRequest) { r.Certificate = append([]byte{1}, r.Certificate...) },
		"not encoded":        func(r *ordov1.VerifyRequest) { r.Certificate = append(r.Certificate, 0x7a, 1, 'x') },
		"wrong signature":    func(r *ordov1.VerifyRequest) { r.Certificate[len(r.Certificate)-1] ^= 1 },
		"signatures are for": func(r *ordov1.VerifyRequest) { r.Certificate = withTime(t, r.Certificate) },
	} {
		r := proto.CloneOf(c.request(good))
		change(r)
		if why := block.Verify(r); !strings.Contains(why, want) {
			t.Errorf("%q: %q", want, why)
		}
	}
}

// withTime changes the time in the header of a certificate.
func withTime(t *testing.T, raw []byte) []byte {
	c, err := block.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	c.Header.Time = c.Header.Time.Add(1)
	changed, err := block.Certify(c.Header, c.Commit, payload.Body)
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

// TestEveryBitCounts: a certificate with one bit flipped, anywhere, proves nothing; neither does one that is cut.
func TestEveryBitCounts(t *testing.T) {
	c := newCommittee(t, "x", 4, 1, 1, 1)
	good := c.decide(t, payload, chainID, func(i int) bool { return i != 3 }, func(i int) bool { return i == 2 })
	if why := block.Verify(c.request(good)); why != "" {
		t.Fatal(why)
	}
	for bit := range 8 * len(good) {
		bad := bytes.Clone(good)
		bad[bit/8] ^= 1 << (bit % 8)
		if block.Verify(c.request(bad)) == "" {
			t.Errorf("bit %d of byte %d does not count", bit%8, bit/8)
		}
	}
	for n := range good {
		if block.Verify(c.request(good[:n])) == "" {
			t.Errorf("its first %d bytes are valid", n)
		}
	}
}

// FuzzVerify: what cannot be read is invalid, and nothing ends the process.
func FuzzVerify(f *testing.F) {
	c := newCommittee(f, "x", 1, 1)
	good := c.decide(f, payload, chainID, all, none)
	f.Add(good, uint64(7))
	f.Add([]byte{}, uint64(0))
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		bad := bytes.Clone(good)
		for range 1 + r.IntN(4) {
			bad[r.IntN(len(bad))] = byte(r.Uint32())
		}
		f.Add(bad, uint64(7))
	}
	f.Fuzz(func(t *testing.T, certificate []byte, height uint64) {
		request := c.request(certificate)
		request.Height = height
		if block.Verify(request) == "" && (height != payload.Height || !bytes.Equal(certificate, good)) {
			t.Error("valid")
		}
	})
}

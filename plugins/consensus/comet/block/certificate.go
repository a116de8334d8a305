package block

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math"

	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/crypto/tmhash"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cometbft/cometbft/types"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Certificate proves that a value was decided: the header of the block of CometBFT, the precommits for it, and the hash of the body,
// with which the header's data hash is computed from height and value.
type Certificate struct {
	Header   *types.Header
	Commit   *types.Commit
	BodyHash []byte
}

// A certificate in bytes is its form, the hash of the body, and a SignedHeader of CometBFT in Protobuf.
const (
	certificateForm = 1
	prefixSize      = 1 + tmhash.Size
)

// maxCertificate bounds what Parse reads: 10,000 signatures, the most that CometBFT has, take about 1.2 MB.
const maxCertificate = 2 << 20

// Scheme is the one scheme of keys that CometBFT and ordo share.
const Scheme = "ed25519"

// Certify is the certificate of a decided block as bytes.
func Certify(header *types.Header, commit *types.Commit, body []byte) ([]byte, error) {
	c := Certificate{Header: header, Commit: commit, BodyHash: tmhash.Sum(body)}
	return c.marshal()
}

func (c *Certificate) marshal() ([]byte, error) {
	signed := cmtproto.SignedHeader{Header: c.Header.ToProto(), Commit: c.Commit.ToProto()}
	out := append(make([]byte, 0, prefixSize+signed.Size()), certificateForm)
	out = append(out, c.BodyHash...)
	raw, err := signed.Marshal()
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return append(out, raw...), nil
}

// Parse reads a certificate. It takes one encoding of each certificate only, so that no two differ and say the same.
func Parse(raw []byte) (*Certificate, error) {
	if len(raw) > maxCertificate {
		return nil, fmt.Errorf("%d bytes, at most %d are read", len(raw), maxCertificate)
	}
	if len(raw) < prefixSize || raw[0] != certificateForm {
		return nil, errors.New("not a certificate of comet")
	}
	var signed cmtproto.SignedHeader
	if err := signed.Unmarshal(raw[prefixSize:]); err != nil {
		return nil, fmt.Errorf("not a certificate of comet: %w", err)
	}
	header, err := types.HeaderFromProto(signed.Header)
	if err != nil {
		return nil, fmt.Errorf("its header: %w", err)
	}
	commit, err := types.CommitFromProto(signed.Commit)
	if err != nil {
		return nil, fmt.Errorf("its commit: %w", err)
	}
	c := &Certificate{Header: &header, Commit: commit, BodyHash: raw[1:prefixSize]}
	again, err := c.marshal()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, raw) {
		return nil, errors.New("it is not encoded as CometBFT does")
	}
	return c, nil
}

// Validators are ordo's validators as CometBFT knows them; an error says which of them it cannot have.
func Validators(of []*ordov1.Validator) ([]*types.Validator, error) {
	var total uint64
	seen := make(map[string]bool, len(of))
	all := make([]*types.Validator, 0, len(of))
	for _, v := range of {
		key, power := v.GetKey(), v.GetPower()
		switch {
		case len(key) != ed25519.PublicKeySize:
			return nil, fmt.Errorf("validator %x: its key has %d bytes, want %d", key, len(key), ed25519.PublicKeySize)
		case seen[string(key)]:
			return nil, fmt.Errorf("validator %x is in the list twice", key)
		case power == 0 || power > math.MaxInt64/8:
			return nil, fmt.Errorf("validator %x: power %d, want 1 to %d", key, power, int64(math.MaxInt64/8))
		}
		seen[string(key)] = true
		if total += power; total > uint64(types.MaxTotalVotingPower) {
			return nil, fmt.Errorf("the power of all validators is more than %d", types.MaxTotalVotingPower)
		}
		all = append(all, types.NewValidator(cmted25519.PubKey(key), int64(power)))
	}
	if len(all) == 0 {
		return nil, errors.New("there are no validators")
	}
	return all, nil
}

// Verify says why a certificate does not prove what the request says, "" when it does. It depends on the request alone.
func Verify(request *ordov1.VerifyRequest) (why string) {
	// CometBFT panics rather than return an error in some places, and a certificate is from a stranger.
	defer func() {
		if r := recover(); r != nil {
			why = fmt.Sprintf("the certificate cannot be read: %v", r)
		}
	}()
	if request.GetScheme() != Scheme {
		return fmt.Sprintf("the scheme is %q, comet has %q only", request.GetScheme(), Scheme)
	}
	if len(request.GetValue()) != ValueSize {
		return fmt.Sprintf("a value of %d bytes, want %d", len(request.GetValue()), ValueSize)
	}
	c, err := Parse(request.GetCertificate())
	if err != nil {
		return fmt.Sprintf("the certificate cannot be read: %v", err)
	}
	list, err := Validators(request.GetValidators())
	if err != nil {
		return err.Error()
	}
	set := types.NewValidatorSet(list)
	switch {
	case c.Header.ChainID != request.GetChainId():
		return fmt.Sprintf("the certificate is of chain %q, not %q", c.Header.ChainID, request.GetChainId())
	case !bytes.Equal(c.Header.DataHash, dataHash(request.GetHeight(), request.GetValue(), c.BodyHash)):
		return "the certificate is about another height or value"
	case !bytes.Equal(c.Header.ValidatorsHash, set.Hash()):
		return "the certificate is of other validators"
	case !bytes.Equal(c.Header.Hash(), c.Commit.BlockID.Hash):
		return "the signatures are for another header"
	}
	if err := types.VerifyCommit(request.GetChainId(), set, c.Commit.BlockID, c.Header.Height, c.Commit); err != nil {
		return err.Error()
	}
	return ""
}

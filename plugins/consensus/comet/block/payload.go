// Package block is what a CometBFT block carries for ordo: the payload of its transactions, and the certificate of its decision.
package block

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cometbft/cometbft/crypto/merkle"
	"github.com/cometbft/cometbft/crypto/tmhash"
)

// Payload is a block of ordo inside of a block of CometBFT. It travels as two transactions: the head, which says height and value,
// and the body. A certificate then proves the value with the hash of the body alone.
type Payload struct {
	Height uint64
	Value  []byte // 32 bytes
	Body   []byte // the proposal, for the core
}

// headTag begins a head: its form, should there be another one day.
const headTag = "ordo/1"

// ValueSize is the length of a value in bytes, headSize that of a head.
const (
	ValueSize = 32
	headSize  = len(headTag) + 8 + ValueSize
)

// overhead is what Protobuf may add to each transaction of a block.
const overhead = 16

func head(height uint64, value []byte) []byte {
	h := make([]byte, 0, headSize)
	h = append(h, headTag...)
	h = binary.BigEndian.AppendUint64(h, height)
	return append(h, value...)
}

// Transactions are the transactions of the block that carries the payload.
func (p *Payload) Transactions() [][]byte { return [][]byte{head(p.Height, p.Value), p.Body} }

// Size is at least what the payload takes in a block.
func (p *Payload) Size() int { return headSize + len(p.Body) + 2*overhead }

// Read reads the payload of a block. A block without transactions has none: nil.
func Read(transactions [][]byte) (*Payload, error) {
	switch {
	case len(transactions) == 0:
		return nil, nil
	case len(transactions) != 2:
		return nil, fmt.Errorf("a block of %d transactions: want a head and a body, or none", len(transactions))
	}
	h, body := transactions[0], transactions[1]
	if len(h) != headSize || !bytes.HasPrefix(h, []byte(headTag)) {
		return nil, errors.New("the first transaction of a block is not a head of ordo")
	}
	if len(body) == 0 {
		return nil, errors.New("the block has a head and an empty body")
	}
	rest := h[len(headTag):]
	return &Payload{Height: binary.BigEndian.Uint64(rest), Value: rest[8:], Body: body}, nil
}

// dataHash is what the header of a block says of a payload.
func dataHash(height uint64, value, bodyHash []byte) []byte {
	return merkle.HashFromByteSlices([][]byte{tmhash.Sum(head(height, value)), bodyHash})
}

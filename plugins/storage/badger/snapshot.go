package badger

import (
	"bytes"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// snapshotChunk is about how large one message of a snapshot is.
const snapshotChunk = 1 << 20

// Snapshot streams the flat state of one moment in key order: storage, contracts, classes.
func (s *Store) Snapshot(_ *ordov1.SnapshotRequest, stream grpc.ServerStreamingServer[ordov1.SnapshotChunk]) error {
	v, head, err := s.read()
	if err != nil {
		return err
	}
	if head == nil {
		return nil
	}
	defer v.close()
	w := &snapshotWriter{height: *head, stream: stream}
	w.reset()
	steps := []struct {
		table byte
		add   func(k, value []byte) error
	}{{tableStorage, w.storage}, {tableContract, w.contract}, {tableCompiled, w.compiled}, {tableClass, w.class}}
	for _, step := range steps {
		err := v.scan([]byte{step.table}, nil, false, func(k, value []byte) (bool, error) {
			if err := step.add(k[1:], value); err != nil {
				return false, err
			}
			return true, w.sendIfFull()
		})
		if err != nil {
			return err
		}
	}
	return w.send()
}

type snapshotWriter struct {
	height uint64
	stream grpc.ServerStreamingServer[ordov1.SnapshotChunk]
	state  *ordov1.StateDiff
	size   int
	sent   bool
}

func (w *snapshotWriter) reset() { w.state, w.size = &ordov1.StateDiff{}, 0 }

func (w *snapshotWriter) sendIfFull() error {
	if w.size < snapshotChunk {
		return nil
	}
	return w.send()
}

// send sends what has gathered; the first message goes out even when it is empty, for its height.
func (w *snapshotWriter) send() error {
	if w.size == 0 && w.sent {
		return nil
	}
	w.sent = true
	err := w.stream.Send(&ordov1.SnapshotChunk{Height: w.height, State: w.state})
	w.reset()
	return err
}

func damaged(what string, k []byte) error {
	return status.Error(codes.DataLoss, fmt.Sprintf("snapshot: %s %x is damaged", what, k))
}

func (w *snapshotWriter) storage(k, value []byte) error {
	if len(k) != pairSize || len(value) != feltSize {
		return damaged("storage", k)
	}
	list := w.state.Storage
	if n := len(list); n == 0 || !bytes.Equal(list[n-1].Address, k[:feltSize]) {
		w.state.Storage = append(list, &ordov1.ContractStorage{Address: bytes.Clone(k[:feltSize])})
		w.size += feltSize + 8
	}
	last := w.state.Storage[len(w.state.Storage)-1]
	last.Entries = append(append(last.Entries, k[feltSize:]...), value...)
	w.size += pairSize
	return nil
}

func (w *snapshotWriter) contract(k, value []byte) error {
	if len(k) != feltSize || len(value) != pairSize {
		return damaged("contract", k)
	}
	if class := value[:feltSize]; !isZero(class) {
		w.state.Deployed = append(append(w.state.Deployed, k...), class...)
		w.size += pairSize
	}
	if nonce := value[feltSize:]; !isZero(nonce) {
		w.state.Nonces = append(append(w.state.Nonces, k...), nonce...)
		w.size += pairSize
	}
	return nil
}

func (w *snapshotWriter) compiled(k, value []byte) error {
	if len(k) != feltSize || len(value) != feltSize {
		return damaged("class", k)
	}
	w.state.Declared = append(append(w.state.Declared, k...), value...)
	w.size += pairSize
	return nil
}

// class adds the classes of Cairo 0, which have no compiled class hash.
func (w *snapshotWriter) class(k, value []byte) error {
	_, data, ok := declaredAt(value)
	c := &ordov1.Class{}
	if !ok || proto.Unmarshal(data, c) != nil {
		return damaged("class", k)
	}
	if c.Kind == ordov1.Class_CAIRO0 {
		w.state.DeprecatedDeclared = append(w.state.DeprecatedDeclared, k...)
		w.size += feltSize
	}
	return nil
}

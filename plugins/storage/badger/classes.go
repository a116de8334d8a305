package badger

import (
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"github.com/ordo-sequencer/ordo/starknet/felt"
)

// Classes streams the classes that exist, in the order asked for.
func (s *Store) Classes(r *ordov1.ClassesRequest, stream grpc.ServerStreamingServer[ordov1.Class]) error {
	if len(r.GetHashes())%feltSize != 0 {
		return status.Errorf(codes.InvalidArgument, "classes: %d bytes are not a multiple of %d", len(r.Hashes), feltSize)
	}
	v, head, err := s.read()
	if err != nil {
		return err
	}
	if head == nil {
		return nil
	}
	defer v.close()
	for hash := range felt.Rows(r.GetHashes()) {
		c, err := s.class(v, hash, r)
		if err != nil {
			return status.Errorf(codes.DataLoss, "classes: %v", err)
		}
		if c == nil {
			continue
		}
		if err := stream.Send(c); err != nil {
			return err
		}
	}
	return nil
}

// class returns nil, nil for a class that is not there, or not yet at the height asked for.
func (s *Store) class(v view, hash []byte, want *ordov1.ClassesRequest) (*ordov1.Class, error) {
	record, err := v.get(key(tableClass, hash))
	if err != nil || record == nil {
		return nil, err
	}
	c := &ordov1.Class{}
	since, data, ok := declaredAt(record)
	if !ok {
		return nil, fmt.Errorf("class 0x%x is damaged", hash)
	}
	if want.GetAtHeight() && since > want.GetHeight() {
		return nil, nil
	}
	if err := proto.Unmarshal(data, c); err != nil {
		return nil, fmt.Errorf("class 0x%x is damaged: %w", hash, err)
	}
	if want.GetDefinition() {
		if c.Definition, err = s.blobs.get(v, key(tableDefinition, hash)); err != nil {
			return nil, err
		}
		if c.Definition == nil {
			return nil, fmt.Errorf("definition of class 0x%x is missing", hash)
		}
	}
	if want.GetCasm() {
		if c.Casm, err = s.blobs.get(v, key(tableCasm, hash)); err != nil {
			return nil, err
		}
	}
	return c, nil
}

package files

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/dgraph-io/badger/v4/pb"
	"google.golang.org/protobuf/proto"
)

// ManifestName is the file that lists the tables.
const ManifestName = "MANIFEST"

// The manifest is an eight byte head, then records: u32 length, u32 CRC, a set of changes.
const (
	manifestHead    = 8
	manifestVersion = 8
	maxLevels       = 7
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Manifest is what the file lists.
type Manifest struct {
	Tables map[uint64]int // id -> level
	Size   int64          // of the file
	End    int64          // behind the last whole record; less than Size when the file is torn
}

// ReadManifest replays a manifest. A record that is not whole ends it; one that is whole and wrong is an error.
func ReadManifest(data []byte) (Manifest, error) {
	m := Manifest{Tables: map[uint64]int{}, Size: int64(len(data))}
	if len(data) < manifestHead || string(data[:4]) != "Bdgr" {
		return m, &Damage{File: ManifestName, Text: "it does not begin as a manifest does"}
	}
	if v := binary.BigEndian.Uint16(data[6:]); v != manifestVersion || binary.BigEndian.Uint16(data[4:]) != 0 {
		return m, &Damage{File: ManifestName, Offset: 4, Text: fmt.Sprintf("its version is %x, want %d", data[4:8], manifestVersion)}
	}
	at := int64(manifestHead)
	for rest := data[at:]; len(rest) >= 8; rest = data[at:] {
		n := int64(binary.BigEndian.Uint32(rest))
		if n > int64(len(rest)-8) {
			break
		}
		record := rest[8 : 8+n]
		if crc32.Checksum(record, castagnoli) != binary.BigEndian.Uint32(rest[4:]) {
			return m, &Damage{File: ManifestName, Offset: at, Text: "a record does not fit its checksum"}
		}
		var set pb.ManifestChangeSet
		if err := proto.Unmarshal(record, &set); err != nil {
			return m, &Damage{File: ManifestName, Offset: at, Text: "a record cannot be read: " + err.Error()}
		}
		for _, c := range set.Changes {
			if err := m.apply(c); err != nil {
				return m, &Damage{File: ManifestName, Offset: at, Text: err.Error()}
			}
		}
		at += 8 + n
	}
	m.End = at
	return m, nil
}

func (m *Manifest) apply(c *pb.ManifestChange) error {
	switch c.Op {
	case pb.ManifestChange_CREATE:
		if _, there := m.Tables[c.Id]; there {
			return fmt.Errorf("table %d is created twice", c.Id)
		}
		if c.Level >= maxLevels || c.KeyId != 0 || c.Compression != 0 {
			return fmt.Errorf("table %d is one that ordo does not write: level %d, key %d, compression %d", c.Id, c.Level, c.KeyId, c.Compression)
		}
		m.Tables[c.Id] = int(c.Level)
	case pb.ManifestChange_DELETE:
		delete(m.Tables, c.Id) // Badger forgives a second time
	default:
		return fmt.Errorf("unknown change %d", c.Op)
	}
	return nil
}

// encodeManifest is a manifest of the tables given.
func encodeManifest(tables map[uint64]int) ([]byte, error) {
	var set pb.ManifestChangeSet
	for id, level := range tables {
		set.Changes = append(set.Changes, &pb.ManifestChange{Id: id, Op: pb.ManifestChange_CREATE, Level: uint32(level)})
	}
	record, err := proto.Marshal(&set)
	if err != nil {
		return nil, err
	}
	out := []byte{'B', 'd', 'g', 'r', 0, 0, 0, manifestVersion}
	out = binary.BigEndian.AppendUint32(out, uint32(len(record)))
	out = binary.BigEndian.AppendUint32(out, crc32.Checksum(record, castagnoli))
	return append(out, record...), nil
}

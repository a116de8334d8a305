package badger

import (
	"encoding/binary"
)

// Tables: the first byte of a key. Numbers are big-endian, so keys sort by number; felts are 32 bytes big-endian.
//
// A blob (bodies, diffs, classes) is zstd over protobuf, cut into chunks: key|u16 chunk. History keeps the value that a
// block overwrote: the value at height B is the first entry above B, or the flat value when there is none. It can be
// switched on, off and pruned without a base to copy.
const (
	tableMeta    byte = 0x00 // name -> value
	tableHeader  byte = 0x01 // num -> BlockHeader without root, hash and parent
	tableHash    byte = 0x02 // block hash -> num
	tableBody    byte = 0x03 // num|chunk -> transactions
	tableResults byte = 0x04 // num|chunk -> results
	tableTx      byte = 0x05 // transaction hash -> num, u32 index
	tableDiff    byte = 0x06 // num|chunk -> StateDiff
	tableUndo    byte = 0x07 // num|chunk -> StateDiff of the values before
	tableRoot    byte = 0x08 // num -> state root, block hash
	tableCert    byte = 0x09 // num|chunk -> certificate of the consensus plugin

	tableContract byte = 0x10 // address -> class hash, nonce
	tableStorage  byte = 0x11 // address, key -> value
	tableCompiled byte = 0x12 // class -> compiled class hash, of declared classes

	tableStorageHistory  byte = 0x14 // address, key, num -> value before num
	tableNonceHistory    byte = 0x15 // address, num -> nonce before num
	tableClassHistory    byte = 0x16 // address, num -> class hash before num
	tableCompiledHistory byte = 0x17 // class, num -> compiled class hash before num

	tableClass      byte = 0x20 // class -> Class without definition and casm, and where it was declared
	tableDefinition byte = 0x21 // class|chunk
	tableCasm       byte = 0x22 // class|chunk

	tableTrie byte = 0x30 // pages of starknet/trie
)

// Names in tableMeta.
const (
	metaFormat       = "format"
	metaChain        = "chain"
	metaHead         = "head"          // num, partial hash
	metaPending      = "pending"       // num of a block that is being written or removed in batches
	metaCheckpoint   = "checkpoint"    // num, state root, contracts root, classes root of the trie pages
	metaHistoryFloor = "history-floor" // state is kept from the end of this height on
)

func metaKey(name string) []byte { return append([]byte{tableMeta}, name...) }

func numKey(table byte, num uint64) []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, 11), table), num)
}

// key concatenates felts or other bytes behind a table.
func key(table byte, parts ...[]byte) []byte {
	n := 1
	for _, p := range parts {
		n += len(p)
	}
	out := append(make([]byte, 0, n+10), table)
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func historyKey(table byte, num uint64, parts ...[]byte) []byte {
	return binary.BigEndian.AppendUint64(key(table, parts...), num)
}

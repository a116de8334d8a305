// Package raft is the consensus plugin of crash faults: validators replicate a log of block values with etcd's raft, and the leader builds.
//
// It is a pure state machine, see sdk.Protocol: etcd's RawNode is one, and what it would draw from the randomness of the system, the time of an
// election, is drawn from key and term here. One entry names one block: its height, its builder and its value; the block itself goes from core to core.
//
//	leader:   Build -> Built -> propose -> Persist -> Send entries -> (majority) -> Decide -> next height
//	follower: entries -> Validate -> Verdict -> Persist -> Send acknowledgement -> (committed) -> Decide
//
// A follower looks at the block of an entry before it takes the entry, so that a majority has every block that is committed.
package raft

// Package journal makes promises durable in an append-only log: admitted transactions, the step of each height, what consensus
// persists.
// Open reads it back.
//
// # Files
//
// A folder of segments, 0000000000000001.journal and so on; numbers leave no gap. A segment is a header and frames. The
// header has the version of the format, the chain, a random salt, and the state that makes all segments before it
// dispensable once their own records are; its first frame repeats which chain it is of: the hash of block 0, and the newest
// committed block. A frame is one commit: the salt's low half, length, CRC-32C, then records, each
// with its length. The checksum covers the salt and the offset of the frame, so nothing that a sender puts in calldata,
// and nothing left on the disk from before, passes for a frame.
//
// Commits never overlap: a frame is begun when the one before it is synced. Hence a bad frame that a whole frame follows is
// damage, and Open refuses with file and offset; a bad frame at the end of the last segment is a commit that was never answered for,
// and Open cuts it off and says so in Recovery.Torn. That cannot tell the last commit from one that rotted afterwards: the
// journal is a verified prefix then. A missing file between or before others is refused; the loss of the newest files
// together is not seen here, only when the node compares with storage.
//
// A segment is forgotten when all before it are, its admissions are released, and the heights with records in it are
// committed. First a record says so, durably, then the files go: however few of them are gone after a crash, that is no
// hole. When too much is released and a transaction that waits pins the oldest segment, it is copied forward under its
// number, which is also the order of admission.
//
// # Faults
//
// A write that fails, on a full disk, is cut off again; the callers in it get the error, and the next call may succeed.
// Releases and steps are kept and written with the next commit. A failed fsync, or a failed rename of a segment, poisons
// the journal: the kernel may have dropped the pages and called them clean. For the same reason Open writes the last segment
// to a new file and syncs that, rather than believe what it could read.
//
// # How the node uses it
//
//   - Before Start: OpenFolder, Open. If Recovery.Torn, log it. storage.Head is the authority on what is committed: for each
//     height from Heads.Committed to Head, read the block's transaction hashes, Release them and Mark it Committed (and
//     Accepted); a missing block is damage. Head below Heads.Committed-1 means that storage lost blocks: refuse, or Mark
//     Abandoned after an explicit revert. Recovery.Genesis and Recovery.Decided must be what storage has at those heights, or
//     the journal is of another chain; a journal without Genesis is Marked Founded.
//   - Every Recovery.Transactions that is not released by that goes to pool.Add in this order, with nonces read from storage.
//     ErrNonceTooOld and the like: Drop. L1 handlers have no nonce: the walk over the blocks releases them.
//   - Recovery.Heights of a decided height has the block's id and Note, in which the node put context and order of
//     transactions (with Proposed or Decided): the same block is built again before anything else. Height.Log of the height
//     consensus starts at is Start.log.
//   - Submit: Admit, then pool.Add. When pool.Add rejects, Drop; ErrDuplicate too: each Admit is one holder, so a
//     rejected one takes only its own away. To spare the disk, ask the pool under its lock first whether it would reject.
//     A full disk rejects Submit; ErrPoisoned must stop the node.
//   - mempool.Dropped, from Add, Expire, CommitBlock or Reject: Drop. A block's own transactions: Release, but only after storage
//     answered Commit; then Mark Committed. Neither waits for the disk, and a crash before they are durable is healed by
//     the first rule.
//   - Mark Proposed and Decided before the block leaves the core, Applied and Accepted as told. They block for one fsync, so
//     call them beside the loop and let the answer be an input of the machine.
//   - Mark Ordered, with context and hashes, as transactions are handed to execution; their results are shown when it returns,
//     and Height.Order of the first height that is not decided is where a restarted node goes on.
//   - Persist is the barrier that the plugin protocol asks for: the actions after it wait for it.
//   - Ordering: a restarted node numbers again from what it reads; the pool's Seq follows from the order of Add.
package journal

// Package pipeline moves each block through the stages: a pure state machine between consensus, execution and storage.
// It turns what consensus wants (build, seal, validate, decide) into work for execution and storage, and what they answer into
// events for consensus.
//
// Machine is a pure state machine: no I/O, no clock, no goroutine. The driver feeds it one Input at a time, with the time,
// and carries out the Commands that come back, in order. Work is asynchronous: a command that starts some (Apply, Commit,
// a build) is answered by a later input, whenever it is done. Example shows the loop.
//
// # The duties of the driver
//
//  1. Give every input to Step, one after the other, and carry out the commands of a step before those of the next.
//     Commands to the same receiver keep their order.
//  2. Fire a timer with TimerFired once, unless it was set again or cancelled before; a late one does no harm.
//  3. Stop the node when Step returns an error: a stage broke the plugin protocol, or the machine is wrong, and going on would fork or
//     corrupt the chain.
//  4. When a process has ended, see to it that none of its answers is still on its way, then give StageDown; when another process serves
//     the stage, StageUp. What the machine had asked of the old one it asks again.
//  5. Carry out one Persist at a time, in order. A command Persist with Lasting replaces what the last one of that kind kept.
//  6. Give Learned only for a block that CheckLearned finds nothing wrong with, whose hashes were recomputed and whose classes were
//     compiled here, and whose certificate is valid where the chain has certificates.
//  7. With Options.Journaled, make the order of what Open and Add hand over durable and say so with OrderPersisted, for results of
//     anything else are not shown.
//  8. Make what RecordDecision hands over durable and say so with DecisionRecorded; after a restart it is in Head.Decided.
//
// # What the machine keeps for sure
//
// At most one build is open. A block is opened only on an applied tip, only when the
// hash of the block ten below is known, and only while storage is at most MaxCommits blocks behind. Transactions that an
// attempt took from the pool go back in their order unless that attempt is decided. What Preconfirm has shown of an attempt
// that consensus does not abandon is in its block, in the same order, whichever process ends meanwhile.
//
// # Lazy execution
//
// With Options.Lazy the value of an attempt is the hash of an order, and nothing runs before it is decided: an attempt goes from held to
// built when it takes no more transactions, or when a peer's order is found to have its value and to name this node's result of the block
// below. What is decided is recorded, then an attempt of its own executes it; a rejected transaction is left out, and so is everything
// from the one on that the block has no room for. Actions wait until Decided is told.
//
// # States and inputs
//
// An attempt is in one of these states; states.go has the transitions, and the only code that makes them.
//
//	checking     a peer's proposal, whose body the driver fetches, and whose hashes and classes it checks
//	held         waits for its first stream
//	interrupted  its stream is gone: waits for another one
//	paused       its stream broke: waits for the retry timer
//	running      has a stream and takes transactions; "sealed" when only those that were ready at a moment, "expired" when none more
//	full         has a stream, and execution takes no more
//	closing      the stream is asked for the block
//	hashing      the driver computes the header
//	built        has a value: consensus may decide it
//	failed       consensus knows that it has no value
//	abandoned    nothing comes of it any more
//
// The first table says what an input does to the open attempt. A cell is the state that it comes to, "=" when the input leaves
// it where it is, "-" when the input cannot come. After each input the machine goes on by itself: it opens a held or
// interrupted attempt when nothing is in the way, and closes one that has run. An answer that belongs to another build than the open one is the input "late".
// The rows "build" and "validate" are the actions of consensus that begin an attempt, "learned" is a block that the other validators
// decided: the open attempt is abandoned. While a learned block is executed, actions wait. When it was right they are void, and so are those in
// answers to events before its Decided; when it was wrong they are carried out.
//
//	input           none     checking held        interrupted paused      running     sealed      expired     full        closing     hashing
//	build           held     held     held        held        held        held        held        held        held        held        held
//	validate        checking checking checking    checking    checking    checking    checking    checking    checking    checking    checking
//	answered        =        =        =           =           =           =           =           =           =           =           =
//	executed        -        -        -           -           -           =           =           =           =           =           -
//	full            -        -        -           -           -           full        full        full        -           =           -
//	closed          -        -        -           -           -           -           -           -           -           hashing     -
//	failed          -        -        -           -           -           paused      paused      paused      paused      paused      -
//	fetched         -        =        -           -           -           -           -           -           -           -           -
//	checked         -        held     -           -           -           -           -           -           -           -           -
//	hashed          -        -        -           -           -           -           -           -           -           -           none
//	persisted-order -        -        -           =           =           =           =           =           =           =           =
//	learned         held     held     held        held        running     running     running     running     running     running     running
//	late            =        =        =           =           =           =           =           =           =           =           =
//	timer-consensus =        =        =           =           =           =           =           =           =           =           =
//	timer-deadline  =        =        =           =           =           expired     expired     =           =           =           =
//	timer-idle      =        =        =           =           =           sealed      =           =           =           =           =
//	timer-retry     =        =        =           =           interrupted =           =           =           =           =           =
//	pool-changed    =        =        =           =           =           =           =           =           =           =           =
//	requested       =        =        =           =           =           =           =           =           =           =           =
//	delivered       =        =        =           =           =           =           =           =           =           =           =
//	persisted       =        =        =           =           =           =           =           =           =           =           =
//	applied         =        =        =           -           -           -           -           -           -           -           -
//	adopted         =        =        =           =           =           -           -           -           -           -           =
//	committed       =        =        =           =           =           =           =           =           =           =           =
//	recorded        held     -        -           -           -           -           -           -           -           -           -
//	no-room         =        =        =           =           =           =           =           =           =           =           =
//	root            =        =        =           =           =           =           =           =           =           =           =
//	down-ordering   =        =        =           =           =           =           =           =           =           =           =
//	down-execution  =        =        =           =           =           interrupted interrupted interrupted interrupted interrupted =
//	down-storage    =        =        =           =           =           =           =           =           =           =           =
//	down-consensus  =        none     none        =           =           =           =           =           =           =           =
//	up-ordering     =        =        =           =           =           =           =           =           =           =           =
//	up-execution    =        =        =           =           =           -           -           -           -           -           =
//	up-storage      =        =        =           =           =           =           =           =           =           =           =
//	up-consensus    =        -        =           =           =           =           =           =           =           =           =
//	drain           =        none     none        none        none        none        none        none        none        none        none
//
// The second table says what an action of consensus does to the attempt that it names. "reuse" is the build that proposes its
// transactions again: when it is the open one, its stream is taken over.
//
//	action   checking  held      interrupted paused    running   sealed    expired   full      closing   hashing   built     failed    abandoned
//	seal     =         =         =           =         sealed    =         =         =         =         =         =         =         =
//	abandon  abandoned abandoned abandoned   abandoned abandoned abandoned abandoned abandoned abandoned abandoned abandoned abandoned =
//	reuse    -         abandoned abandoned   abandoned abandoned abandoned abandoned abandoned abandoned abandoned =         =         =
//	decide   -         -         -           -         -         -         -         -         -         -         =         -         -
package pipeline

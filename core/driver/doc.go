// Package driver drives the pipeline: it feeds the machine, carries out its commands over gRPC, and keeps pool, journal and chain
// view in step.
//
// Driver has the loop, the pool and the machine. Each stage is a type of its own (ordering, execution, storage, consensus) with its
// queue, its reply watchdog and its stream; it knows the driver by a port of four methods. openBlock is a block that execution
// runs: its stream, its commitments and its order in the journal. journaling makes promises durable. In outline:
//
//	for each input of the inbox:
//		commands := machine.Step(now, input)    // under the lock of the pool
//		for each command:                       // carryOut
//			Tell, Send                          -> consensus
//			Open, Add, Close, Abort, Apply, ... -> execution, openBlock
//			Commit, Accept, FollowRoots, ...    -> storage
//			Persist                             -> journaling
//
// No command waits: what a stage has to do goes into a queue without a bound, which the machine keeps short by its windows.
//
// # Goroutines
//
// Those of an instance belong to one run of a plugin's process: when it is lost they are cancelled and awaited before the machine
// hears of it, so that no reply of an ended process is ever used.
//
//	goroutine            one for each   waits for                       posts
//	loop                 driver         the inbox                       -
//	ordering.run         driver         transactions without a rank     PoolChanged
//	expire               driver         its ticker                      - (drops from the pool)
//	watch                driver         its ticker                      - (suspects a stage that owes a reply)
//	watchStalls          driver         its ticker                      - (logs)
//	writeOrders          driver         the order of the open block     OrderPersisted
//	persist, decide      command        the journal                     Persisted; decide: - (lets Commit go on)
//	hashHeader           command        a processor                     HeaderHashed
//	StageDown            lost instance  the instance's goroutines       StageDown
//	sendEvents           instance       events for consensus            -
//	recvActions          instance       actions of consensus            Answered
//	openBlock.run        build          results of execution            Executed, Full, Closed, BuildFailed
//	openBlock.send       build          steps for execution             -
//	runApply             instance       decided blocks, then Apply      Applied, Adopted
//	proposals.check      proposal       hashes, then Compile            Checked
//	runCommit            instance       decided blocks, then Commit     Committed, NoRoom
//	followRoots          instance       roots of storage                RootComputed
//
// Callers of SubmitAt and CreateBlock run in goroutines of their own; StageUp posts StageUp, timers post TimerFired.
//
// # Faults
//
// faults.go judges them. A fault that could fork or corrupt the chain halts the node; a fault that the end of a process can cause
// makes the stage suspect; a full disk stops production until there is room.
//
//	fault            found by                                 what happens                              log line
//	halt             the machine, an answer that the plugin   the node stops; Done and Err tell         the node stops
//	                 protocol forbids, a hash that differs,
//	                 a broken journal
//	suspect a stage  a broken stream, the reply watchdog,     the supervisor kills and restarts the     a stage is lost
//	                 the scorer, the machine (SuspectStage)   process; without a supervisor: halt       (from StageDown)
//	call failed      Apply, Commit, Roots, Compile            callFailed: by its code, halt or suspect  as above
//	build failed     the stream of a build                    the machine builds the same again;        build broke off
//	                                                          DATA_LOSS: halt
//	no ranks         the scorer                               by arrival, the block is degraded         ordering: no ranks
//	no room          storage, for a block                     the machine opens no block; Commit is     storage has no room
//	                                                          tried again
//	disk full        the journal, for a decision or an order  tried again, the block waits              the disk of the journal is full
//	                 the journal, for an admission            SubmitAt returns ErrNoRoom                -
//	order lost       a journal that is closed while an order  the part of the order is not written:     -
//	                 is written                               the node stops anyway
//	stage down       the supervisor                           the machine waits for StageUp             a stage is lost
package driver

// Package bridge is the state machine between CometBFT's calls (ABCI) and the events of the core.
//
// Machine is pure: no I/O, no clock, no goroutine. The engine feeds it one Input at a time and carries out the Output: actions for
// the core, answers to calls of CometBFT, and whether to ring. CometBFT makes one call at a time.
//
// # States
//
// What waits for what. A call of CometBFT is open in all but the first and the last.
//
//	idle       no call is open
//	building   PrepareProposal waits for Built or Failed
//	validating ProcessProposal waits for a Verdict
//	executing  FinalizeBlock waits for the Verdict about a block that was decided and is not known here
//	deciding   FinalizeBlock waits for Decided
//	halted     the node stops
//
//	input      idle                  building    validating  executing          deciding
//	Prepare    building              -           -           -                  -
//	Process    validating            -           -           -                  -
//	Finalize   executing, deciding   -           -           -                  -
//	Built      idle                  idle        validating  executing          deciding
//	Failed     idle                  idle        validating  executing          deciding
//	Verdict    idle                  building    idle        deciding, halted   deciding
//	Decided    -                     -           -           -                  idle
//	Expired    idle                  idle        idle        executing          deciding
//
// A call whose answer is known is answered at once, and the machine stays idle.
//
// # Values
//
// An attempt is known by its payload and its proposer: value, body and the address that is paid together are what a validator
// accepts. What was found valid stays valid at its height; what was found invalid is validated again when it is proposed again, for
// the time, the prices and the messages from L1 that this node knows have gone on.
//
// # Bells
//
// CometBFT makes no empty blocks here, so something has to wake it: Ring puts a transaction into its mempool that never gets into a
// block. It is rung while there are transactions or an operator's wish for a block, once after each height of CometBFT, and says which:
// for a wish the proposer makes a block even if it is empty, whichever node's operator waits.
package bridge

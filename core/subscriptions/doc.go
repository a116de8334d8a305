// Package subscriptions decides what each subscriber is told: a pure state machine between the changes of the chain and the connections.
//
// A Hub takes the changes of a chainview.Feed in order and returns notifications. It has no I/O, no clock and no goroutine, and it
// is not safe for concurrent use: the server calls it under a lock. A subscription is in one of two states:
//
//	Backfilling  the server reads accepted blocks from storage and sends them; the hub tells nothing
//	Live         the hub tells what changes
//
// CaughtUp is the only way from the first to the second. It succeeds when all blocks up to the hub's tip are sent, so the two parts
// join without a gap and without a double, however long storage was away in between.
//
// What is told is encoded once for each Form, when there is a subscriber to tell it to, and shared by all of them.
package subscriptions

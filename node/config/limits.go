package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/core/mempool"
	"github.com/ordo-sequencer/ordo/core/rpc"
	"github.com/ordo-sequencer/ordo/sdk"
)

// limitOptions are what clients are held to: the table that rpc.Limits and gateway.Limits explain.
func limitOptions() []Option {
	return append(servingLimits(), admissionLimits()...)
}

func servingLimits() []Option {
	d := rpc.DefaultLimits()
	return []Option{
		limit("body_kib", d.Body>>10, 64, 1<<20, "KiB of a request body", func(c *Config, n int) { c.Limits.Body = n << 10 }, func(c *Config) int { return c.Limits.Body >> 10 }),
		limit("bodies_mib", d.Bodies>>20, 1, 1<<20, "MiB of all request bodies over 64 KiB that are on their way in", func(c *Config, n int) { c.Limits.Bodies = n << 20 }, func(c *Config) int { return c.Limits.Bodies >> 20 }),
		count("batch", d.Batch, "requests in one body", func(c *Config) *int { return &c.Limits.Batch }),
		limit("response_mib", d.Answer>>20, 1, 1<<12, "MiB of answers after which the rest of a batch is not run", func(c *Config, n int) { c.Limits.Answer = n << 20 }, func(c *Config) int { return c.Limits.Answer >> 20 }),
		limit("responses_mib", d.Answers>>20, 1, 1<<16, "MiB that answers over 64 KiB hold until they are sent; a client that does not read is cut off for others", func(c *Config, n int) { c.Limits.Answers = n << 20 }, func(c *Config) int { return c.Limits.Answers >> 20 }),
		limit("waiting_mib", d.Waiting>>20, 1, 1<<16, "MiB of the requests that wait for a turn, in each queue", func(c *Config, n int) { c.Limits.Waiting = n << 20 }, func(c *Config) int { return c.Limits.Waiting >> 20 }),
		span("stall", d.Stall, "for the next 32 KiB of a body or an answer, when others wait for the memory that it holds", func(c *Config) *time.Duration { return &c.Limits.Stall }),
		count("connections", d.Connections, "open connections; a new one takes the place of the one that is quiet for longest", func(c *Config) *int { return &c.Limits.Connections }),
		count("connections_per_address", d.PerAddress, "of one IPv4 address or IPv6 /64", func(c *Config) *int { return &c.Limits.PerAddress }),
		count("sockets", d.Sockets, "of the connections that may be WebSockets", func(c *Config) *int { return &c.Limits.Sockets }),
		count("subscriptions", d.Subscriptions, "subscriptions of one WebSocket", func(c *Config) *int { return &c.Limits.Subscriptions }),
		limit("socket_kib", d.SocketQueue>>10, 64, 1<<20, "KiB that wait for one WebSocket, beyond which its client is cut off", func(c *Config, n int) { c.Limits.SocketQueue = n << 10 }, func(c *Config) int { return c.Limits.SocketQueue >> 10 }),
		span("header_timeout", d.Header, "for the head of a request to arrive", func(c *Config) *time.Duration { return &c.Limits.Header }),
		span("receive_timeout", d.Receive, "for a whole request to arrive", func(c *Config) *time.Duration { return &c.Limits.Receive }),
		span("idle_timeout", d.Idle, "that a connection may stay between requests", func(c *Config) *time.Duration { return &c.Limits.Idle }),
		span("request_timeout", d.Work, "for all that one body asks for", func(c *Config) *time.Duration { return &c.Limits.Work }),
		span("send_timeout", d.Send, "for a client to read an answer, beside its size at send_rate", func(c *Config) *time.Duration { return &c.Limits.Send }),
		count("send_rate", d.Rate, "bytes a second that a client must read an answer with", func(c *Config) *int { return &c.Limits.Rate }),
		count("max_views", d.Views, "calls, estimates, simulations and traces at a time", func(c *Config) *int { return &c.Limits.Views }),
		count("views_waiting", d.ViewsWaiting, "how many of them may wait for their turn", func(c *Config) *int { return &c.Limits.ViewsWaiting }),
		span("view_timeout", d.View, "for one of them; keep it under supervision.call_timeout", func(c *Config) *time.Duration { return &c.Limits.View }),
		count("view_mib", d.ViewMemory, "MiB that the run of one of them may hold, but for traces of what is in a block", func(c *Config) *int { return &c.Limits.ViewMemory }),
		count("max_reads", d.Reads, "reads of a class or of the body of a block at a time", func(c *Config) *int { return &c.Limits.Reads }),
		count("max_scans", d.Scans, "reads over many blocks at a time (getEvents, last update of a slot)", func(c *Config) *int { return &c.Limits.Scans }),
		count("scans_waiting", d.ScansWaiting, "how many of them may wait for their turn", func(c *Config) *int { return &c.Limits.ScansWaiting }),
		span("read_timeout", d.Read, "for a question to storage; keep it under supervision.call_timeout", func(c *Config) *time.Duration { return &c.Limits.Read }),
		span("queue_timeout", d.Turn, "that a request waits for its turn before it hears that the node is busy", func(c *Config) *time.Duration { return &c.Limits.Turn }),
		span("restart_wait", d.Grace, "that a request waits for a stage that is being restarted", func(c *Config) *time.Duration { return &c.Limits.Grace }),
		count("call_calldata", d.Calldata, "felts of calldata of a call", func(c *Config) *int { return &c.Limits.Calldata }),
		count("simulated", d.Simulated, "transactions of one estimate or simulation", func(c *Config) *int { return &c.Limits.Simulated }),
		count("events_page", d.EventsPage, "events in a page", func(c *Config) *int { return &c.Limits.EventsPage }),
		count("events_blocks", d.EventsBlocks, "blocks read for one page of events", func(c *Config) *int { return &c.Limits.EventsBlocks }),
		count("filter_keys", d.Keys, "keys of an event filter", func(c *Config) *int { return &c.Limits.Keys }),
		count("filter_addresses", d.Addresses, "addresses of an event filter or a state update", func(c *Config) *int { return &c.Limits.Addresses }),
		limit("proof_keys", d.ProofKeys, 1, sdk.MaxProofKeys, "class hashes, addresses and storage keys of one request for storage proofs", func(c *Config, n int) { c.Limits.ProofKeys = n }, func(c *Config) int { return c.Limits.ProofKeys }),
	}
}

func admissionLimits() []Option {
	d := gateway.DefaultLimits()
	return []Option{
		count("calldata", d.Calldata, "felts of calldata of a transaction", func(c *Config) *int { return &c.Admission.Calldata }),
		count("signature", d.Signature, "felts of its signature", func(c *Config) *int { return &c.Admission.Signature }),
		count("class_felts", d.ClassProgram, "felts of a declared class's Sierra", func(c *Config) *int { return &c.Admission.ClassProgram }),
		count("class_bytes", d.ClassBytes, "bytes of a declared class's JSON", func(c *Config) *int { return &c.Admission.ClassBytes }),
		count("compiles", d.Compiles, "classes compiled at a time", func(c *Config) *int { return &c.Admission.Compiles }),
		count("compiles_waiting", d.CompilesWaiting, "how many may wait to be compiled", func(c *Config) *int { return &c.Admission.CompilesWaiting }),
		count("compiles_each", d.CompilesEach, "of those that wait, for one sender, or for the estimates from one address", func(c *Config) *int { return &c.Admission.CompilesEach }),
		count("transaction_mib", 512, "MiB that the run of one transaction may hold in a block of this node's own", func(c *Config) *int { return &c.TransactionMiB }),
		span("compile_timeout", d.Compile, "for one of them; keep it under twice supervision.call_timeout", func(c *Config) *time.Duration { return &c.Admission.Compile }),
		count("validate_mib", d.ValidateMemory, "MiB that the validation of one transaction may hold", func(c *Config) *int { return &c.Admission.ValidateMemory }),
		span("validate_timeout", d.Validate, "for a batch of transactions to be validated; keep it under supervision.call_timeout", func(c *Config) *time.Duration { return &c.Admission.Validate }),
	}
}

// count is a limit from 1 on.
func count(key string, otherwise int, help string, of func(*Config) *int) Option {
	return limit(key, otherwise, 1, 1<<31-1, help, func(c *Config, n int) { *of(c) = n }, func(c *Config) int { return *of(c) })
}

func limit(key string, otherwise, least, most int, help string, set func(*Config, int), get func(*Config) int) Option {
	o := rare(key, help, "NUMBER", strconv.Itoa(otherwise))
	o.Number = true
	o.Set = func(c *Config, s string) error {
		n, err := strconv.Atoi(s)
		if err != nil || n < least || n > most {
			return fmt.Errorf("%q: choose a whole number from %d to %d", s, least, most)
		}
		set(c, n)
		return nil
	}
	o.Get = func(c *Config) string { return strconv.Itoa(get(c)) }
	return o
}

// span is a limit of time.
func span(key string, otherwise time.Duration, help string, of func(*Config) *time.Duration) Option {
	o := rare(key, help, "DURATION", otherwise.String())
	o.Set = func(c *Config, s string) error {
		d, err := time.ParseDuration(s)
		if err != nil || d < time.Millisecond {
			return fmt.Errorf("%q: choose a duration of at least 1ms, such as 90s or 2m", s)
		}
		*of(c) = d
		return nil
	}
	o.Get = func(c *Config) string { return of(c).String() }
	return o
}

// rare is the row of a setting that few operators touch.
func rare(key, help, value, otherwise string) Option {
	return Option{
		Key: "limits." + key, Flag: "limit-" + strings.ReplaceAll(key, "_", "-"), Default: otherwise, Value: value, Rare: true, Help: help,
	}
}

// sharePool bounds what one account has of the pool.
func sharePool() []Option {
	d := mempool.DefaultOptions()
	account := limit("", d.AccountBytes>>20, 1, 1<<20, "MiB of the pool that one account's transactions may take",
		func(c *Config, n int) { c.PoolAccountMiB = n }, func(c *Config) int { return c.PoolAccountMiB })
	account.Key, account.Flag = "pool.account_mib", "pool-account-mib"
	gap := count("", int(d.MaxNonceGap), "how far a nonce may be ahead of the account's, and so how many of its transactions may wait",
		func(c *Config) *int { return &c.PoolNonceGap })
	gap.Key, gap.Flag = "pool.nonce_gap", "pool-nonce-gap"
	return []Option{account, gap}
}

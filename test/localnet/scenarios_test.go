package localnet

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ordo-sequencer/ordo/client"
)

// scenario is one thing that happens to a network under load.
type scenario struct {
	name string
	play func(*stage)
}

// scenarios are all of them. Which validator they meet, and with what, the seed decides.
func scenarios() []scenario {
	return []scenario{
		{"transactions of one node", spread}, {"kill", crash}, {"partition of one", partition}, {"partition in halves", halves},
		{"false results", falseResults}, {"false proposals", falsePropositions}, {"late", late}, {"twin", twin},
	}
}

// pick is a validator of the seed's choice.
func (s *stage) pick() int { return s.random.IntN(len(s.members)) }

// spread sends all transactions to one validator, until each of the four has proposed a block with some of them.
func spread(s *stage) {
	only, next := s.pick(), s.head()+1
	s.tell("all transactions go to node %d", only)
	s.load.to(s.members[only:only+1], s.honest())
	by := make(map[string]int)
	s.await("each validator has proposed a block with transactions", func() (bool, error) {
		b, err := s.members[only].Block(s.ctx(), "latest")
		for ; err == nil && next <= b.Number; next++ {
			var address string
			var n int
			if address, n, err = proposer(s.ctx(), s.members[only], next); err == nil && n > 0 {
				by[address] += n
			}
		}
		return len(by) == len(s.members), err
	})
	s.load.to(s.honest(), s.honest())
	s.tell("they are in blocks of all: %s", table(by))
}

// crash ends a validator with all its plugins (SIGKILL), and starts it again while the others go on.
func crash(s *stage) {
	k, since := s.pick(), s.head()
	s.do(s.t, "kill", fmt.Sprint(k))
	s.tell("kill %d at block %d", k, since)
	s.apart(k)
	to := s.grows(4)
	s.tell("the others are at block %d, restart %d", to, k)
	s.do(s.t, "restart", fmt.Sprint(k))
	s.back(k, since)
	s.tell("node %d is level at block %d", k, s.head())
}

// partition cuts one validator off.
func partition(s *stage) {
	k, since := s.pick(), s.head()
	s.do(s.t, "partition", strconv.Itoa(k))
	s.tell("partition %d at block %d", k, since)
	s.awaits(s.t, "it is alone", func(now status) bool { return now.Nodes[k].Peers == 0 })
	s.apart(k)
	alone := s.status(s.t).Nodes[k].Height
	to := s.grows(4)
	if now := s.status(s.t).Nodes[k].Height; now > alone+1 {
		s.t.Fatalf("node %d went from block %d to %d alone", k, alone, now)
	}
	s.do(s.t, "heal")
	healed := time.Now()
	s.tell("node %d stands at block %d, the others are at block %d: heal", k, alone, to)
	reaches(s.t, s.members[k], to)
	s.healed(healed, fmt.Sprintf("node %d has block %d", k, to))
	s.back(k, since)
}

// halves cuts the validators in two halves, of which none can decide.
func halves(s *stage) {
	order := s.random.Perm(len(s.members))
	groups := fmt.Sprintf("%d,%d|%d,%d", order[0], order[1], order[2], order[3])
	s.do(s.t, "partition", groups)
	s.awaits(s.t, "each has one peer", func(now status) bool {
		for k := range s.members {
			if now.Nodes[k].Peers != 1 {
				return false
			}
		}
		return true
	})
	before := s.head()
	s.tell("partition %s at block %d", groups, before)
	select {
	case <-time.After(time.Second): // to see that nothing happens
	case <-s.t.Context().Done():
	}
	stood := s.head()
	if stood > before+1 {
		s.t.Fatalf("half of the validators went from block %d to %d", before, stood)
	}
	s.do(s.t, "heal")
	healed := time.Now()
	s.tell("no half went on: heal")
	for _, n := range s.honest() {
		reaches(s.t, n, stood+1)
	}
	s.healed(healed, fmt.Sprintf("all have block %d", stood+1))
}

// healed tells how long it took after a heal until the network went on.
func (s *stage) healed(at time.Time, what string) {
	took := time.Since(at)
	s.tell("%s %d ms after the heal", what, took.Milliseconds())
	s.longest = max(s.longest, took)
}

// resultFaults are what a lying execution plugin changes.
var resultFaults = [...]string{"a wrong fee", "a wrong event", "a success called a revert", "a wrong balance", "a wrong nonce", "a change left out"}

// falseResults gives a validator an execution plugin whose results are well formed and wrong.
func falseResults(s *stage) {
	k, since := s.pick(), s.head()
	kind := resultFaults[s.random.IntN(len(resultFaults))]
	s.apart(k)
	from := s.logEnd(k)
	s.tell("node %d gets an execution plugin with %s in each block", k, kind)
	marker, honest := s.corrupt(k, "execution", "blockifier", fault{Method: "Build", Do: kind})
	s.await("a wrong result", func() (bool, error) { return len(lines(marker)) > 0, nil })
	// The others refuse its blocks, and whatever they decide differs from what it executes.
	s.await("it stops", func() (bool, error) {
		return s.status(s.t).Nodes[k].State != "up" && s.logged(k, from, "this node finds it invalid"), nil
	})
	s.tell("node %d stopped: the validators decided a block that it finds invalid; the others are at block %d", k, s.grows(3))
	honest()
	s.back(k, since)
	s.tell("node %d has the honest plugin again, and is level at block %d", k, s.head())
}

// proposalFaults are what a validator changes in its proposals, and what the others say of it: the table of docs/spec/consensus.md.
var proposalFaults = [...]struct{ name, says string }{
	{"garbage", "cannot be decoded"},
	{"a stripped signature", "signature"},
	{"a time to come", "is from the future"},
	{"another sequencer", "pays its fees to"},
	{"another L2 price", "another price of L2 gas"},
	{"another L1 price", "proposal.price_percent"},
	{"another data price", "proposal.price_percent"},
	{"a time of the past", "is older than its parent"},
	{"cut in the middle", "is rejected"},
	{"another value", "value"},
	{"no context", "has no context"},
	{"another height", "the proposal is for height"},
	{"another version", "is of version"},
	{"another DA mode", "data availability"},
	{"another old hash", "names another hash for block"},
	{"a count beyond", "counts"},
	{"no transactions", "value"},
	{"another signature", "signature"},
	{"another hash", "its hash is"},
	{"a transaction twice", "is in the proposal twice"},
	{"a field of another type", "fields that a transaction of its type does not have"},
	{"an invented message from L1", "a message from L1 that this node has not seen"},
	{"a transfer that its account did not sign", "signature"},
}

// named are those of proposalFaults that every run has: garbage, a signature, a time, a sequencer, a price.
const named = 5

// falsePropositions has a validator propose what breaks the rules, one kind after the other.
func falsePropositions(s *stage) {
	k, since := s.pick(), s.head()
	says := make(map[string]string)
	var built []string
	rest := s.random.Perm(len(proposalFaults) - named)
	for i := range min(s.kinds, len(proposalFaults)) {
		f := proposalFaults[i%len(proposalFaults)]
		if i >= named {
			f = proposalFaults[named+rest[i-named]]
		}
		says[f.name] = f.says
		built = append(built, f.name)
	}
	s.random.Shuffle(len(built), func(i, j int) { built[i], built[j] = built[j], built[i] })
	s.apart(k)
	from := make([]int64, len(s.members))
	for i := range s.members {
		from[i] = s.logEnd(i)
	}
	s.tell("node %d proposes: %s", k, strings.Join(built, ", "))
	marker, honest := s.corrupt(k, "consensus", "comet", fault{Built: built})
	var proposed []string
	refused := make(map[string]int)
	s.await("each kind is proposed and rejected", func() (bool, error) {
		proposed = lines(marker)
		clear(refused)
		var err error
		for _, line := range proposed {
			height, rest, _ := strings.Cut(line, " ")
			_, kind, _ := strings.Cut(rest, " ")
			for i := range s.members {
				if i != k && s.logged(i, from[i], "a proposal for height "+height+" is rejected", says[kind]) {
					refused[kind]++
					break
				}
			}
		}
		for _, kind := range built {
			if refused[kind] == 0 {
				err = errors.Join(err, fmt.Errorf("%q is not rejected with %q", kind, says[kind]))
			}
		}
		return err == nil, err
	})
	honest()
	s.back(k, since)
	top := s.head()
	for _, line := range proposed {
		words := strings.SplitN(line, " ", 3)
		height, err := strconv.ParseUint(words[0], 10, 64)
		if err != nil || height > top {
			continue
		}
		sum, err := body(s.ctx(), s.honest()[0], height)
		if err != nil {
			s.t.Fatal(err)
		}
		if sum == words[1] && words[2] != "another value" { // that one has the honest body
			s.t.Fatalf("block %d is a proposal with %s", height, words[2])
		}
	}
	s.proposed += len(proposed)
	s.tell("%d false proposals, each kind rejected for its reason, none decided; node %d is honest again and level at block %d", len(proposed), k, top)
}

// late keeps a validator away for many blocks, and has it catch up with a busy chain.
func late(s *stage) {
	k, since := s.pick(), s.head()
	s.do(s.t, "kill", fmt.Sprint(k))
	s.apart(k)
	s.tell("kill %d at block %d, for %d blocks", k, since, s.late)
	began := time.Now()
	for s.head() < since+s.late {
		s.grows(min(s.late, 10))
	}
	busy := float64(s.head()-since) / time.Since(began).Seconds()
	s.do(s.t, "restart", fmt.Sprint(k))
	up, at := time.Now(), s.head()
	first := s.status(s.t).Nodes[k].Height
	for {
		b, err := s.members[k].Block(s.ctx(), "latest")
		if err != nil {
			s.t.Fatal(err)
		}
		now := s.head()
		if b.Number+1 >= now {
			took := time.Since(up).Seconds()
			s.tell("node %d started at block %d, %d behind, and was level at block %d after %.1f s: %.1f blocks/s; the chain grew by %.1f blocks/s meanwhile, and by %.1f before",
				k, first, at-min(at, first), now, took, float64(b.Number-min(b.Number, first))/took, float64(now-at)/took, busy)
			break
		}
		select {
		case <-s.ctx().Done():
			s.t.Fatalf("node %d is at block %d, the others at %d: it does not catch up", k, b.Number, now)
		case <-time.After(pause):
		}
	}
	s.back(k, since)
}

// twin starts a second node with the key of a validator, until consensus has told all nodes of a double vote.
func twin(s *stage) {
	k := s.pick()
	var of struct {
		Key     string `json:"key"`
		Reports uint64 `json:"reports"`
	}
	before := make([]uint64, len(s.members))
	for i, n := range s.members {
		if err := n.Call(s.ctx(), "ordo_network", []any{}, &of); err != nil {
			s.t.Fatal(err)
		}
		before[i] = of.Reports
	}
	if err := s.members[k].Call(s.ctx(), "ordo_network", []any{}, &of); err != nil {
		s.t.Fatal(err)
	}
	release := s.load.hold() // it catches up with a chain that rests, so that it is level soon
	defer release()
	number, again := s.twins[k]
	if again {
		s.do(s.t, "restart", fmt.Sprint(number))
	} else {
		number = len(s.status(s.t).Nodes)
		s.do(s.t, "twin", fmt.Sprint(k))
		s.twins[k] = number
	}
	reaches(s.t, client.Node{URL: s.status(s.t).Nodes[number].URL}, s.head())
	release()
	s.tell("node %d is a twin of node %d, and level at block %d", number, k, s.head())
	s.await("every node reports the key", func() (bool, error) {
		for i, n := range s.members {
			reported, err := reports(s, n, of.Key)
			if err != nil || reported <= before[i] {
				return false, err
			}
		}
		return true, nil
	})
	s.do(s.t, "kill", fmt.Sprint(number))
	s.tell("all nodes have evidence of a double vote by %s...; the twin is killed", of.Key[:8])
}

// reports counts what a node was told of validators; 0 while nothing names the key.
func reports(s *stage, n client.Node, key string) (uint64, error) {
	var evidence []struct {
		Kind      string `json:"kind"`
		Validator string `json:"validator"`
	}
	var all struct {
		Reports uint64 `json:"reports"`
	}
	if err := n.Call(s.ctx(), "ordo_evidence", []any{}, &evidence); err != nil {
		return 0, err
	}
	if err := n.Call(s.ctx(), "ordo_network", []any{}, &all); err != nil {
		return 0, err
	}
	for _, e := range evidence {
		if e.Kind == "double-vote" && e.Validator == key {
			return all.Reports, nil
		}
	}
	return 0, nil
}

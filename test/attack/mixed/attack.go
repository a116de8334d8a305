package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ordo-sequencer/ordo/test/attack/attacker"
)

// attackRole is the first argument of the process that attacks. It is one of its own, with the lowest priority, for on another
// machine, where attackers are, they take no processor time from the node, nor from the client that measures.
const attackRole = "attack"

// plan is what the attacking process is told.
type plan struct {
	World   *attacker.World `json:"world"`
	Seed    uint64          `json:"seed"`
	Clients int             `json:"clients"`
	Only    []string        `json:"only"`
	Turn    time.Duration   `json:"turn"`
	Takes   time.Duration   `json:"takes"`
}

// attacking is the process, as the driver has it.
type attacking struct {
	cmd  *exec.Cmd
	out  bytes.Buffer
	done chan error
}

func startAttack(p plan, niceness int) (*attacking, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	told, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	a := &attacking{cmd: exec.Command(self, attackRole), done: make(chan error, 1)}
	a.cmd.Stdin, a.cmd.Stdout, a.cmd.Stderr = bytes.NewReader(told), &a.out, os.Stderr
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		// The priority of this thread, which ends with the function, is that of the child.
		runtime.LockOSThread()
		err := syscall.Setpriority(syscall.PRIO_PROCESS, 0, niceness)
		if err == nil {
			err = a.cmd.Start()
		}
		started <- err
		if err == nil {
			a.done <- a.cmd.Wait()
		}
	}()
	return a, <-started
}

// settleLimit is how long after its time the attack may take to count up.
const settleLimit = time.Minute

// end waits for the counts.
func (a *attacking) end(ctx context.Context, takes time.Duration) (tallies []*attacker.Tally, err error) {
	limit := time.NewTimer(takes + settleLimit)
	defer limit.Stop()
	select {
	case err = <-a.done:
	case <-limit.C:
		_ = a.cmd.Process.Kill()
		<-a.done
		return nil, fmt.Errorf("the attackers do not end")
	case <-ctx.Done():
		_ = a.cmd.Process.Kill()
		<-a.done
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("the attackers ended: %w", err)
	}
	return tallies, json.Unmarshal(a.out.Bytes(), &tallies)
}

// attack is the attacking process.
func attack(in io.Reader, out io.Writer) error {
	var p plan
	if err := json.NewDecoder(in).Decode(&p); err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, p.Takes)
	defer cancel()
	attacks := slices.DeleteFunc(attacker.All(), func(a attacker.Attacker) bool {
		return len(p.Only) > 0 && !slices.ContainsFunc(p.Only, func(word string) bool { return strings.Contains(a.Name(), word) })
	})
	tallies := map[string]*attacker.Tally{}
	for _, a := range attacks {
		tallies[a.Name()] = attacker.NewTally(a.Name())
	}
	turns := deal(attacks, p.Seed)
	var all sync.WaitGroup
	for i := range p.Clients {
		c := attacker.NewClient(ctx, p.World, i, p.Seed)
		all.Go(func() {
			defer c.Close()
			for ctx.Err() == nil {
				a := turns()
				turn, over := context.WithTimeout(ctx, p.Turn)
				t := tallies[a.Name()]
				t.Turn()
				a.Run(turn, c.For(t))
				<-turn.Done() // an attack that has given up has no second turn at once
				over()
			}
		})
	}
	all.Wait()
	list := make([]*attacker.Tally, 0, len(tallies))
	for _, a := range attacks {
		list = append(list, tallies[a.Name()])
	}
	return json.NewEncoder(out).Encode(list)
}

// deal gives out attacks one after the other, each as often as any other, in an order that the seed decides.
func deal(attacks []attacker.Attacker, seed uint64) func() attacker.Attacker {
	var mu sync.Mutex
	var hand []attacker.Attacker
	random := rand.New(rand.NewPCG(seed, 0xdea1))
	return func() attacker.Attacker {
		mu.Lock()
		defer mu.Unlock()
		if len(hand) == 0 {
			hand = slices.Clone(attacks)
			random.Shuffle(len(hand), func(i, j int) { hand[i], hand[j] = hand[j], hand[i] })
		}
		a := hand[0]
		hand = hand[1:]
		return a
	}
}

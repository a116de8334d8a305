// Package grammar reads the call grammars of docs/spec and says whether a recorded sequence of calls keeps to them.
//
// A grammar is `name = expression`, where an expression is made of call names, sequences, `( a | b )`, `*`, `+` and `?`.
// A trace that stopped in the middle (a crash, a test that ended) is judged as a prefix: Check finds the first call that
// could not come where it came.
package grammar

import (
	"fmt"
	"slices"
	"strings"
)

// Grammar is one production, ready to check traces.
type Grammar struct {
	Name  string
	start *state
	end   *state
}

// state is a node of a Thompson automaton: it either consumes one call, or forks without consuming.
type state struct {
	call string
	next []*state
}

// FromPage returns the grammars in the ```grammar blocks of a page, by name.
func FromPage(page string) (map[string]*Grammar, error) {
	found := map[string]*Grammar{}
	inside := false
	for number, line := range strings.Split(page, "\n") {
		switch trimmed := strings.TrimSpace(line); {
		case trimmed == "```grammar":
			inside = true
		case strings.HasPrefix(trimmed, "```"):
			inside = false
		case inside && trimmed != "":
			name, expression, ok := strings.Cut(trimmed, "=")
			if !ok {
				return nil, fmt.Errorf("grammar: line %d: no `name = expression`", number+1)
			}
			g, err := Parse(strings.TrimSpace(name), expression)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", number+1, err)
			}
			found[g.Name] = g
		}
	}
	return found, nil
}

// Parse compiles one expression.
func Parse(name, expression string) (*Grammar, error) {
	p := &parser{tokens: tokens(expression)}
	start, end, err := p.choice()
	if err == nil && p.at < len(p.tokens) {
		err = fmt.Errorf("unexpected %q", p.tokens[p.at])
	}
	if err != nil {
		return nil, fmt.Errorf("grammar: %s: %w", name, err)
	}
	return &Grammar{Name: name, start: start, end: end}, nil
}

// Check returns an error that names the first call that the grammar does not allow at its place.
func (g *Grammar) Check(trace []string) error {
	_, err := g.run(trace)
	return err
}

// CheckWhole also wants the trace to be complete.
func (g *Grammar) CheckWhole(trace []string) error {
	live, err := g.run(trace)
	if err != nil {
		return err
	}
	if !live[g.end] {
		return fmt.Errorf("grammar: %s: trace of %d calls ends too early: expected %s", g.Name, len(trace), expected(live))
	}
	return nil
}

func (g *Grammar) run(trace []string) (map[*state]bool, error) {
	live := map[*state]bool{}
	reach(live, g.start)
	for i, call := range trace {
		next := map[*state]bool{}
		for s := range live {
			if s.call == call {
				for _, n := range s.next {
					reach(next, n)
				}
			}
		}
		if len(next) == 0 {
			return nil, fmt.Errorf("grammar: %s: call %d: %s after [%s]: expected %s",
				g.Name, i, call, strings.Join(trace[max(0, i-4):i], " "), expected(live))
		}
		live = next
	}
	return live, nil
}

// reach adds a state and all that it leads to without a call.
func reach(set map[*state]bool, s *state) {
	if set[s] {
		return
	}
	set[s] = true
	if s.call == "" {
		for _, n := range s.next {
			reach(set, n)
		}
	}
}

func expected(live map[*state]bool) string {
	var names []string
	for s := range live {
		if s.call != "" {
			names = append(names, s.call)
		}
	}
	if len(names) == 0 {
		return "the end"
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " or ")
}

func tokens(expression string) []string {
	for _, mark := range []string{"(", ")", "|", "*", "+", "?"} {
		expression = strings.ReplaceAll(expression, mark, " "+mark+" ")
	}
	return strings.Fields(expression)
}

type parser struct {
	tokens []string
	at     int
}

func (p *parser) peek() string {
	if p.at < len(p.tokens) {
		return p.tokens[p.at]
	}
	return ""
}

func (p *parser) choice() (start, end *state, err error) {
	start, end = &state{}, &state{}
	for {
		s, e, err := p.sequence()
		if err != nil {
			return nil, nil, err
		}
		start.next = append(start.next, s)
		e.next = append(e.next, end)
		if p.peek() != "|" {
			return start, end, nil
		}
		p.at++
	}
}

func (p *parser) sequence() (start, end *state, err error) {
	start = &state{}
	end = start
	for p.peek() != "" && p.peek() != "|" && p.peek() != ")" {
		s, e, err := p.item()
		if err != nil {
			return nil, nil, err
		}
		end.next = append(end.next, s)
		end = e
	}
	if end == start {
		return nil, nil, fmt.Errorf("empty alternative at token %d", p.at)
	}
	return start, end, nil
}

func (p *parser) item() (start, end *state, err error) {
	switch token := p.peek(); token {
	case "(":
		p.at++
		if start, end, err = p.choice(); err != nil {
			return nil, nil, err
		}
		if p.peek() != ")" {
			return nil, nil, fmt.Errorf("missing )")
		}
	case "*", "+", "?":
		return nil, nil, fmt.Errorf("%q repeats nothing", token)
	default:
		end = &state{}
		start = &state{call: token, next: []*state{end}}
	}
	p.at++
	switch p.peek() {
	case "*", "?", "+":
		mark := p.peek()
		p.at++
		first, last := &state{next: []*state{start}}, &state{}
		end.next = append(end.next, last)
		if mark != "?" {
			end.next = append(end.next, start)
		}
		if mark != "+" {
			first.next = append(first.next, last)
		}
		return first, last, nil
	}
	return start, end, nil
}

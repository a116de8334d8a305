package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"gonum.org/v1/plot/plotter"
)

// network shows networks of validators beside solo.
func (p *page) network() error {
	var n networks
	if ok, err := read(p.dir, "network", &n); !ok {
		return err
	}
	p.say("## Networks of validators\n\nWhole nodes on this one machine (`ordo localnet`), which share its processors. Solo decides alone, so it has one node.\n" +
		"The time of a height is that between the moments at which node 0 saw one block and the next decided.\n" +
		"Empty heights follow each other without a pause, because an operator asks for a block at each node. ")
	p.say("Full ones hold %d transfers that waited in all pools before. The goal for a full height is solo's time, times the executions that share the processors, and 40 ms.\n"+
		"`ordo bench network --help` says what exactly is measured.\n\n", n.Block)
	p.say("| consensus | validators | empty height p50 / p99 ms | processor ms, each validator | full height p50 / p99 ms | goal ms | processor ms, each validator | tx/s | memory, each validator |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	empty, full, speed := map[string]series{}, map[string]series{}, map[string]series{}
	var names []string
	programs := map[string][]float64{}
	for i, r := range n.Runs {
		goal := "-"
		if r.Ratios != nil && r.Ratios.Allowed > 0 {
			goal = fmt.Sprintf("%.0f", r.Ratios.Allowed)
		}
		p.say("| %s | %d | **%.1f** / %.1f | %.1f | **%.0f** / %.0f | %s | %.0f | **%.0f** | %.0f MB |\n", r.Consensus, r.Validators, r.Empty.MS.P50, r.Empty.MS.P99, r.Empty.CPU,
			r.Full.MS.P50, r.Full.MS.P99, goal, r.Full.CPU, r.Load.Speed, r.Load.Memory)
		add := func(to map[string]series, value float64) {
			s := to[r.Consensus]
			s.name, s.points = r.Consensus, append(s.points, plotter.XY{X: float64(r.Validators), Y: value})
			to[r.Consensus] = s
		}
		add(empty, r.Empty.MS.P50)
		add(full, r.Full.MS.P50)
		if r.Load.Speed > 0 {
			add(speed, r.Load.Speed)
		}
		names = append(names, fmt.Sprintf("%s, %d", r.Consensus, r.Validators))
		for name, each := range r.Empty.Processes {
			name = strings.TrimPrefix(name, "ordo-")
			for len(programs[name]) < i {
				programs[name] = append(programs[name], 0)
			}
			programs[name] = append(programs[name], each)
		}
	}
	p.say("\n")
	if n.Baseline != "" {
		p.say("Ratios to %s:\n\n| consensus | validators | empty height | full height | tx/s |\n|---|---:|---:|---:|---:|\n", n.Baseline)
		for _, r := range n.Runs {
			if q := r.Ratios; q != nil {
				p.say("| %s | %d | %.2f | %.2f | %.2f |\n", r.Consensus, r.Validators, q.Empty, q.Full, q.Speed)
			}
		}
		p.say("\n")
	}
	p.missing("network", n.Not)
	for _, one := range []struct {
		name, title, y string
		of             map[string]series
	}{
		{"network-empty", "Empty heights, p50", "milliseconds", empty}, {"network-full", fmt.Sprintf("Heights of %d transfers, p50", n.Block), "milliseconds", full},
		{"network-speed", "Sustained load", "transactions a second", speed},
	} {
		var list []series
		for _, name := range slices.Sorted(maps.Keys(one.of)) {
			list = append(list, one.of[name])
		}
		if len(list) == 0 {
			continue
		}
		if err := lines(svg(p.dir, one.name), one.title, "validators", one.y, false, false, list); err != nil {
			return err
		}
		p.plot(one.name, strings.ToLower(one.title)+", by consensus and number of validators")
	}
	var parts []series
	for _, name := range slices.Sorted(maps.Keys(programs)) {
		for len(programs[name]) < len(names) {
			programs[name] = append(programs[name], 0)
		}
		parts = append(parts, series{name: name, values: programs[name]})
	}
	if len(parts) > 0 {
		if err := bars(svg(p.dir, "network-cpu"), "Processor time of an empty height, each validator", "milliseconds", names, parts); err != nil {
			return err
		}
		p.plot("network-cpu", "processor time of an empty height and validator, by program")
	}
	p.where(n.environment)
	return nil
}

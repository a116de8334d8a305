package main

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
)

// Environment is what a figure is worth nothing without.
type Environment struct {
	When       string  `json:"when"`
	Command    string  `json:"command"`
	Processor  string  `json:"processor"`
	Processors int     `json:"processors"`
	MemoryMB   int     `json:"memory_mb"`
	Kernel     string  `json:"kernel"`
	Go         string  `json:"go"`
	Load1      float64 `json:"load_average"` // over the minute before, that of a measurement just before included
	Busy       float64 `json:"busy"`         // share of all processors in use when the run began: what else the machine does
}

// environment is to be asked before the run begins, and watches the machine for half a second.
func environment() Environment {
	e := Environment{
		When: time.Now().UTC().Format(time.RFC3339), Command: "ordo bench " + strings.Join(os.Args[1:], " "),
		Processors: runtime.NumCPU(), Go: runtime.Version(), Processor: "unknown", Kernel: "unknown",
	}
	read := func(file string) string { raw, _ := os.ReadFile(file); return string(raw) }
	if name := field(read("/proc/cpuinfo"), "model name"); name != "" {
		e.Processor = name
	}
	kb, _, _ := strings.Cut(field(read("/proc/meminfo"), "MemTotal"), " ")
	if n, err := strconv.Atoi(kb); err == nil {
		e.MemoryMB = n >> 10
	}
	if release := strings.TrimSpace(read("/proc/sys/kernel/osrelease")); release != "" {
		e.Kernel = release
	}
	first, _, _ := strings.Cut(read("/proc/loadavg"), " ")
	e.Load1, _ = strconv.ParseFloat(first, 64)
	e.Busy = busy()
	return e
}

// field is the value of the first line `name : value`.
func field(text, name string) string {
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// newBar is a progress bar of n steps.
func newBar(n int, quiet bool, what string) *progressbar.ProgressBar {
	return progressbar.NewOptions(n, progressbar.OptionSetWriter(progressOutput(quiet)), progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(), progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(false))
}

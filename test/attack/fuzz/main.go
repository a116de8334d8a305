// Command fuzz runs the fuzz tests of the repository one after the other. It finds them itself, so there is no list to
// keep; those of folders with a module of their own are among them.
//
//	go run ./test/attack/fuzz -time 60s      each for a minute
//	go run ./test/attack/fuzz -total 1m      each for an equal part of a minute; building them is not counted
//	go run ./test/attack/fuzz -list
//
// It builds all test programs first. A test whose turn does not end is stopped and is told as broken; it takes no other's turn. With
// -total the inputs found by earlier runs are not looked at, since trying them again may take a whole turn.
//
// What breaks a test is kept in testdata/fuzz beside it: commit it with the fix, every `go test` tries it from then on.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

func main() {
	each := flag.Duration("time", time.Minute, "for each fuzz test")
	total := flag.Duration("total", 0, "for all together, in equal parts, instead of -time")
	only := flag.String("only", "", "regular expression of folder and name, such as core/rpc.Fuzz")
	list := flag.Bool("list", false, "print them and stop")
	flag.Parse()
	if err := run(*each, *total, *only, *list); err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

// target is one fuzz test.
type target struct{ folder, name string }

func (t target) String() string { return t.folder + "." + t.name }

func run(each, total time.Duration, only string, list bool) error {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	all, err := find(".", wanted)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return fmt.Errorf("no fuzz test found: run it in the root of the repository")
	}
	if list {
		for _, t := range all {
			fmt.Println(t)
		}
		return nil
	}
	if total > 0 {
		each = total / time.Duration(len(all))
	}
	work, err := os.MkdirTemp("", "ordo-fuzz-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	began := time.Now()
	programs, err := build(work, all, total == 0)
	if err != nil {
		return err
	}
	fmt.Printf("fuzz: %d programs were built in %s; each of %d tests runs for %s\n", len(programs), time.Since(began).Round(time.Second), len(all), each)
	began = time.Now()
	var broken, again []string
	for _, t := range all {
		err := t.run(programs[t.folder], each, false)
		if errors.Is(err, errNoTry) { // many examples or a busy machine: the turn was over before the first new input
			again = append(again, t.String())
			err = t.run(programs[t.folder], secondTurn, true)
		}
		if err != nil {
			fmt.Printf("%s: BROKEN: %v\n", t, err)
			broken = append(broken, t.String())
		}
	}
	fmt.Printf("fuzz: %d of %d tests had their turn in %s, %d of them a second one %v\n", len(all), len(all), time.Since(began).Round(time.Second), len(again), again)
	if len(broken) > 0 {
		return fmt.Errorf("broken: %s", strings.Join(broken, " "))
	}
	return nil
}

// program is the test program of one folder, and the folder where the go command keeps what its fuzz tests found.
type program struct{ path, corpus string }

// build makes a test program with coverage of each folder. Inputs that are found are kept only when asked for.
func build(work string, all []target, keep bool) (map[string]program, error) {
	out, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		return nil, err
	}
	cache := strings.TrimSpace(string(out))
	programs := make(map[string]program)
	for _, t := range all {
		if _, done := programs[t.folder]; done {
			continue
		}
		module, name := t.module()
		inModule := func(args ...string) *exec.Cmd {
			cmd := exec.Command("go", append(args, "./"+name)...)
			cmd.Dir = module
			return cmd
		}
		out, err := inModule("list").Output()
		if err != nil {
			return nil, fmt.Errorf("go list ./%s: %w", t.folder, err)
		}
		p := program{filepath.Join(work, fmt.Sprintf("%d.test", len(programs))), filepath.Join(cache, "fuzz", strings.TrimSpace(string(out)))}
		if !keep {
			p.corpus = p.path + ".corpus"
		}
		if out, err := inModule("test", "-c", "-fuzz", ".", "-o", p.path).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s is not built: %w\n%s", t.folder, err, out)
		}
		programs[t.folder] = p
	}
	return programs, nil
}

var declared = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(\w+ \*testing\.F\)`)

// module is the folder of the test's module, and the folder of the test in it.
func (t target) module() (root, name string) {
	for root = filepath.FromSlash(t.folder); root != "."; root = filepath.Dir(root) {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
	}
	name, err := filepath.Rel(root, filepath.FromSlash(t.folder))
	if err != nil {
		return ".", t.folder
	}
	return root, filepath.ToSlash(name)
}

// find reads the tests of all modules.
func find(root string, wanted *regexp.Regexp) (all []target, err error) {
	err = filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			name := d.Name()
			if file != root && (name == "testdata" || name == "target" || name == "node_modules" || strings.HasPrefix(name, ".")) {
				return filepath.SkipDir
			}
			return nil
		case !strings.HasSuffix(file, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for _, m := range declared.FindAllSubmatch(text, -1) {
			t := target{filepath.ToSlash(filepath.Dir(file)), string(m[1])}
			if wanted.MatchString(t.String()) {
				all = append(all, t)
			}
		}
		return nil
	})
	return all, err
}

// secondTurn is the limit of a test that had no try in its turn. It ends when there was one.
const secondTurn = 3 * time.Minute

// grace is for the start of the programs and for a try that is under way when the turn ends.
const grace = 30 * time.Second

// run gives the test its turn; with first it ends after the first report of tries.
func (t target) run(p program, each time.Duration, first bool) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), each+grace)
	defer cancel()
	// Making what is found small takes a minute each without -test.fuzzminimizetime, in which nothing new is tried.
	cmd := exec.CommandContext(ctx, p.path, "-test.run", "^$", "-test.fuzz", "^"+t.name+"$", "-test.fuzztime", each.String(),
		"-test.fuzzminimizetime", "20x", "-test.fuzzcachedir", p.corpus)
	cmd.Dir = t.folder
	cmd.Env = append(os.Environ(), "GOMEMLIMIT=2GiB")
	cmd.WaitDelay = time.Second
	report := &report{}
	if first {
		report.stop = func() { _ = cmd.Process.Signal(os.Interrupt) }
	}
	cmd.Stdout, cmd.Stderr = report, report
	err := cmd.Run()
	out := report.text.Bytes()
	tries := ""
	for _, m := range execs.FindAllSubmatch(out, -1) {
		tries = string(m[1])
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("it did not end within %s of its turn\n%s", grace, out)
	// When the time is over in the middle of a try, the program may call that a failure; one that is names its input.
	case err != nil && (!bytes.Contains(out, []byte("context deadline exceeded")) || bytes.Contains(out, []byte("Failing input"))):
		return fmt.Errorf("%w\n%s", err, out)
	case tries == "":
		return fmt.Errorf("%w\n%s", errNoTry, out)
	}
	fmt.Printf("%s: %s tries in %s\n", t, tries, time.Since(began).Round(100*time.Millisecond))
	return nil
}

// report keeps what a test program prints, and stops it at the first tries.
type report struct {
	text bytes.Buffer
	stop func() // nil, or called once
}

func (r *report) Write(p []byte) (int, error) {
	n, err := r.text.Write(p)
	if r.stop != nil && execs.Match(r.text.Bytes()) {
		r.stop()
		r.stop = nil
	}
	return n, err
}

var (
	execs    = regexp.MustCompile(`execs: ([1-9]\d*)`)
	errNoTry = errors.New("nothing was tried")
)

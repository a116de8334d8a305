// Command fuzz runs the fuzz tests of this module one after the other. It finds them itself, so there is no list to keep.
//
//	go run ./test/attack/fuzz -time 60s              each for a minute
//	go run ./test/attack/fuzz -time 2s -total 1m     as many as a minute has room for, in another order each time
//	go run ./test/attack/fuzz -list
//
// What breaks a test is kept in testdata/fuzz beside it: commit it with the fix, every `go test` tries it from then on.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

func main() {
	each := flag.Duration("time", time.Minute, "for each fuzz test")
	total := flag.Duration("total", 0, "for all together, with building them; 0: no limit")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the order, with -total")
	only := flag.String("only", "", "regular expression of folder and name, such as core/rpc.Fuzz")
	list := flag.Bool("list", false, "print them and stop")
	flag.Parse()
	if err := run(*each, *total, *seed, *only, *list); err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

// target is one fuzz test.
type target struct{ folder, name string }

func (t target) String() string { return t.folder + "." + t.name }

func run(each, total time.Duration, seed uint64, only string, list bool) error {
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
		r := rand.New(rand.NewPCG(seed, 0))
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		fmt.Printf("fuzz: seed %d\n", seed)
	}
	began := time.Now()
	var broken []string
	for i, t := range all {
		if total > 0 && time.Since(began)+each > total {
			fmt.Printf("fuzz: the time is over: %d of %d were run; make fuzz runs all\n", i, len(all))
			break
		}
		if err := t.run(each); err != nil {
			broken = append(broken, t.String())
		}
	}
	if len(broken) > 0 {
		return fmt.Errorf("broken: %s", strings.Join(broken, " "))
	}
	return nil
}

var declared = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(\w+ \*testing\.F\)`)

// find reads the tests of the module; folders with a module of their own are not its.
func find(root string, wanted *regexp.Regexp) (all []target, err error) {
	err = filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			_, own := os.Stat(filepath.Join(file, "go.mod"))
			name := d.Name()
			if file != root && (own == nil || name == "testdata" || name == "target" || name == "node_modules" || strings.HasPrefix(name, ".")) {
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

func (t target) run(each time.Duration) error {
	began := time.Now()
	// Making what is found small takes a minute each without -fuzzminimizetime, in which nothing new is tried.
	cmd := exec.Command("go", "test", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", each.String(), "-fuzzminimizetime", "20x", "./"+t.folder)
	cmd.Env = append(os.Environ(), "GOMEMLIMIT=2GiB")
	out, err := cmd.CombinedOutput()
	tries := "0"
	for _, m := range regexp.MustCompile(`execs: (\d+)`).FindAllSubmatch(out, -1) {
		tries = string(m[1])
	}
	// When the time is over in the middle of a try, the go command may call that a failure; one that is names its input.
	if err != nil && bytes.Contains(out, []byte("context deadline exceeded")) && !bytes.Contains(out, []byte("Failing input")) {
		err = nil
	}
	if err != nil {
		fmt.Printf("%s: BROKEN after %s tries: %v\n%s\n", t, tries, err, out)
		return err
	}
	fmt.Printf("%s: %s tries in %s\n", t, tries, time.Since(began).Round(time.Second))
	return nil
}

// Command page makes the page of benchmarks of what ordo bench all has measured.
//
//	bin/ordo bench all --out docs/benchmarks/raw
//	cd docs/benchmarks/page && go run . ..
//
// It is a module of its own, so that the node does not depend on a plotting library.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: page FOLDER (with raw/*.json in it)")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "page:", err)
		os.Exit(1)
	}
}

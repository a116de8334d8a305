// Command go drives a dev node with starknet.go, a client of version 0.9, through all that it offers over HTTP.
//
//	go URL ERC20.contract_class.json ERC20.compiled_contract_class.json TAKER.contract_class.json TAKER.compiled_contract_class.json ACCOUNT_CLASS
//
// URL is the node's, without a path of a version. It prints one JSON line; any failure ends it.
// It is a module of its own, so that what the client needs stays out of ours.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

func main() {
	if len(os.Args) != 7 {
		fmt.Fprintln(os.Stderr, "usage: go URL ERC20.contract_class.json ERC20.compiled_contract_class.json TAKER.contract_class.json TAKER.compiled_contract_class.json ACCOUNT_CLASS")
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	events, err := run(ctx, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_ = json.NewEncoder(os.Stdout).Encode(map[string]int{"events": events})
}

// run goes through the surface: what sends first, then what reads, then errors.
func run(ctx context.Context, args []string) (events int, err error) {
	defer func() {
		if e, ok := recover().(failure); ok {
			err = e.error
		}
	}()
	f := connect(ctx, args[0])
	f.send(args[1], args[2], args[3], args[4], args[5])
	f.blocks()
	f.state()
	f.transactions()
	f.views()
	f.errors()
	f.devnet(args[0])
	return f.events(), nil
}

// failure ends the run.
type failure struct{ error }

// must is the value, unless there is an error.
func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		panic(failure{fmt.Errorf("%w", err)})
	}
}

// want fails when a condition does not hold.
func want(holds bool, format string, args ...any) {
	if !holds {
		panic(failure{fmt.Errorf(format, args...)})
	}
}

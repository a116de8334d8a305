package main

import (
	"regexp"
	"slices"
	"testing"
)

// TestFindsTheTestsOfAllModules: a fuzz test of a folder with a module of its own is found, and built in that module.
func TestFindsTheTestsOfAllModules(t *testing.T) {
	t.Chdir("../../..")
	all, err := find(".", regexp.MustCompile(""))
	if err != nil {
		t.Fatal(err)
	}
	for want, module := range map[target]string{
		{"plugins/consensus/comet/block", "FuzzVerify"}: "plugins/consensus/comet block",
		{"core/journal", "FuzzRecord"}:                  ". core/journal",
	} {
		if !slices.Contains(all, want) {
			t.Errorf("%s is not found", want)
		}
		if root, name := want.module(); root+" "+name != module {
			t.Errorf("%s is built as %s in %s, want %s", want, name, root, module)
		}
	}
}

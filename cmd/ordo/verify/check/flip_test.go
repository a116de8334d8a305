package check

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// leaf is a value with digits in a JSON document.
type leaf struct {
	path string // without indices
	set  func(any)
	old  any
}

func leaves(v any, path string, set func(any), out *[]leaf) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) { // the same order in every run, for the same digits
			e := v[k]
			leaves(e, strings.TrimPrefix(path+"."+k, "."), func(n any) { v[k] = n }, out)
			if strings.HasPrefix(k, "0x") { // names that are data: addresses
				*out = append(*out, leaf{path + ".key", func(n any) {
					if s := n.(string); s != k {
						v[s] = e
						delete(v, k)
					} else {
						v[k] = e
						for o := range v {
							if o != k && len(o) == len(k) && distance(o, k) == 1 {
								delete(v, o)
							}
						}
					}
				}, k})
			}
		}
	case []any:
		for i, e := range v {
			leaves(e, path+"[]", func(n any) { v[i] = n }, out)
		}
	case string, json.Number:
		if strings.ContainsAny(fmt.Sprint(v), "0123456789") {
			*out = append(*out, leaf{path, set, v})
		}
	}
}

func distance(a, b string) (n int) {
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

// flipped changes one digit; ok is false when there is none to change.
func flipped(r *rand.Rand, v any) (any, bool) {
	text := []byte(fmt.Sprint(v))
	var at []int
	for i, c := range text {
		if isHex := bytes.HasPrefix(text, []byte("0x")); i > 1 && isHex && strings.ContainsRune("0123456789abcdefABCDEF", rune(c)) || !isHex && c >= '0' && c <= '9' {
			at = append(at, i)
		}
	}
	if len(at) == 0 {
		return nil, false
	}
	i := at[r.IntN(len(at))]
	for old := text[i]; text[i] == old || (text[i] == '0' && i == at[0]); {
		text[i] = "0123456789"[r.IntN(10)]
	}
	if _, ok := v.(json.Number); ok {
		return json.Number(text), true
	}
	return string(text), true
}

func flip(t *testing.T, inputs map[string][]byte, perPath int) {
	r := rand.New(rand.NewPCG(*seed, *seed))
	if testing.Short() {
		perPath = 1
	}
	tried, missed := 0, 0
	before := notes(check(inputs))
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		doc := generic(t, inputs[name])
		var all []leaf
		leaves(doc, "", nil, &all)
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		count := make(map[string]int)
		original := inputs[name]
		for _, l := range all {
			if count[l.path] >= perPath {
				continue
			}
			changed, ok := flipped(r, l.old)
			if !ok {
				continue
			}
			count[l.path]++
			tried++
			l.set(changed)
			data, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			l.set(l.old)
			inputs[name] = data
			files := check(inputs)
			// A file that is published with a wrong version has a note of its own, and a flip may put the version right.
			if Summarize(files).ExitCode() == 0 && slices.Equal(notes(files), before) && !named(files, name, l.path) {
				missed++
				t.Errorf("%s: %s: %v for %v is not found", name, l.path, changed, l.old)
			}
		}
		inputs[name] = original
	}
	t.Logf("%d changes, %d missed", tried, missed)
}

// notes are the reservations of a result.
func notes(files []*File) (all []string) {
	for _, f := range files {
		for _, i := range f.Items {
			if i.Verdict == Note {
				all = append(all, f.Name+": "+i.Name+": "+i.Note)
			}
		}
	}
	return all
}

// named reports whether the result names the path as not covered.
func named(files []*File, name, path string) bool {
	for _, f := range files {
		if f.Name != strings.ReplaceAll(name, ":", "/") {
			continue
		}
		for _, g := range f.Uncovered {
			if path == g.Field || strings.HasPrefix(path, g.Field+".") || strings.HasPrefix(path, g.Field+"[") {
				return true
			}
		}
	}
	return false
}

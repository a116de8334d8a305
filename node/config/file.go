package config

import (
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/ordo-sequencer/ordo/sdk/schema"
)

// FromFile applies a TOML file strictly: a key that is not in the table is an error that names its line and the key that
// was probably meant. Only the `config` table of a stage is free, it belongs to the plugin.
func FromFile(c *Config, name string, raw []byte) error {
	var tree map[string]any
	if err := toml.Unmarshal(raw, &tree); err != nil {
		var at *toml.DecodeError
		if errors.As(err, &at) {
			row, column := at.Position()
			return fmt.Errorf("config: %s:%d:%d: %s", name, row, column, strings.TrimPrefix(err.Error(), "toml: "))
		}
		return fmt.Errorf("config: %s: %w", name, err)
	}
	lines := keyLines(raw)
	where := func(key string) string {
		if line := lines[key]; line > 0 {
			return fmt.Sprintf("config: %s:%d", name, line)
		}
		return "config: " + name
	}
	known := make(map[string]Option)
	for _, o := range Options() {
		known[o.Key] = o
	}
	stages := map[string]*Stage{"ordering": &c.Ordering, "execution": &c.Execution, "storage": &c.Storage, "consensus": &c.Consensus}
	for _, leaf := range leaves("", tree, stages) {
		if stage := stages[strings.TrimSuffix(leaf.key, ".config")]; stage != nil && strings.HasSuffix(leaf.key, ".config") {
			settings, ok := leaf.value.(map[string]any)
			if !ok {
				return fmt.Errorf("%s: %s: write a table of the plugin's settings", where(leaf.key), leaf.key)
			}
			stage.Settings = settings
			continue
		}
		o, ok := known[leaf.key]
		if !ok {
			return fmt.Errorf("%s: %s", where(leaf.key), unknownKey(leaf.key, known, stages))
		}
		value, err := scalar(leaf.value, o.Number, o.Bool)
		if err == nil {
			err = o.Set(c, value)
		}
		if err != nil {
			return fmt.Errorf("%s: %s: %w", where(leaf.key), leaf.key, err)
		}
	}
	return nil
}

type leaf struct {
	key   string
	value any
}

// leaves flattens the tree, in order of keys; the free tables of the stages stay whole.
func leaves(prefix string, tree map[string]any, stages map[string]*Stage) []leaf {
	var list []leaf
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		key := prefix + name
		table, isTable := tree[name].(map[string]any)
		free := isTable && name == "config" && stages[strings.TrimSuffix(prefix, ".")] != nil
		if isTable && !free && len(table) > 0 {
			list = append(list, leaves(key+".", table, stages)...)
			continue
		}
		if isTable && !free && knownTable(key) {
			continue
		}
		list = append(list, leaf{key, tree[name]})
	}
	return list
}

func knownTable(key string) bool {
	return slices.ContainsFunc(Options(), func(o Option) bool { return strings.HasPrefix(o.Key, key+".") })
}

func scalar(value any, number, boolean bool) (string, error) {
	switch v := value.(type) {
	case bool:
		if boolean {
			return strconv.FormatBool(v), nil
		}
	case string:
		if number && fitsTOML(v) {
			return "", fmt.Errorf("%q in quotes: write a number", v)
		}
		return v, nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	}
	if number {
		return "", fmt.Errorf("write a number")
	}
	if boolean {
		return "", fmt.Errorf("write true or false")
	}
	return "", fmt.Errorf("write a text in quotes")
}

// keyLines finds the line of each key, which the decoder does not keep.
func keyLines(raw []byte) map[string]int {
	lines := make(map[string]int)
	p := unstable.Parser{}
	p.Reset(raw)
	prefix := ""
	for p.NextExpression() {
		e := p.Expression()
		key, line := dotted(&p, e)
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			prefix = key + "."
			note(lines, key, line)
		case unstable.KeyValue:
			note(lines, prefix+key, line)
			inline(&p, lines, prefix+key, e.Value())
		}
	}
	return lines
}

func inline(p *unstable.Parser, lines map[string]int, prefix string, value *unstable.Node) {
	if value.Kind != unstable.InlineTable {
		return
	}
	for it := value.Children(); it.Next(); {
		if e := it.Node(); e.Kind == unstable.KeyValue {
			key, line := dotted(p, e)
			note(lines, prefix+"."+key, line)
			inline(p, lines, prefix+"."+key, e.Value())
		}
	}
}

func note(lines map[string]int, key string, line int) {
	if lines[key] == 0 {
		lines[key] = line
	}
}

func dotted(p *unstable.Parser, e *unstable.Node) (string, int) {
	var parts []string
	line := 0
	for it := e.Key(); it.Next(); {
		part := it.Node()
		if line == 0 {
			line = p.Shape(part.Raw).Start.Line
		}
		parts = append(parts, string(part.Data))
	}
	return strings.Join(parts, "."), line
}

// meant says what an unknown key probably stands for: a key that is right but for a few letters of its name, of its table or
// of both; the free table of a stage; a name that is right, in another table. "" when nothing is near.
func meant(key string, known map[string]Option, stages map[string]*Stage) string {
	path := strings.Split(key, ".")
	if len(path) > 1 {
		table, near := nearTable(path[0], slices.Collect(maps.Keys(stages)))
		if name, ok := schema.Nearest(path[1], []string{"config"}); near && ok {
			return strings.Join(append([]string{table, name}, path[2:]...), ".")
		}
	}
	dot := strings.LastIndexByte(key, '.')
	table, last := key[:max(dot, 0)], key[dot+1:]
	best, least := "", 1<<30
	for _, candidate := range slices.Sorted(maps.Keys(known)) {
		dot := strings.LastIndexByte(candidate, '.')
		itsTable, itsName := candidate[:dot], candidate[dot+1:]
		d := schema.Distance(last, itsName)
		_, sameTable := nearTable(table, []string{itsTable})
		_, near := schema.Nearest(last, []string{itsName})
		switch {
		case sameTable && near:
			d += schema.Distance(table, itsTable)
		case itsName != "plugin" && (d == 0 || near && d == 1):
			d = 4 + 2*d // right but for its table
		default:
			continue
		}
		if d < least {
			best, least = candidate, d
		}
	}
	return best
}

// nearTable finds a table among others; the right name is the nearest.
func nearTable(name string, tables []string) (string, bool) {
	if slices.Contains(tables, name) {
		return name, true
	}
	slices.Sort(tables)
	return schema.Nearest(name, tables)
}

// unknownKey says what to write instead of a key that there is not.
func unknownKey(key string, known map[string]Option, stages map[string]*Stage) string {
	if knownTable(key) {
		return fmt.Sprintf("%s is a table: write [%s] and its keys below", key, key)
	}
	if near := meant(key, known, stages); near != "" {
		return fmt.Sprintf("unknown key %s: did you mean %s?", key, near)
	}
	var same []string
	if dot := strings.LastIndexByte(key, '.'); dot > 0 {
		for _, candidate := range slices.Sorted(maps.Keys(known)) {
			if strings.HasPrefix(candidate, key[:dot+1]) {
				same = append(same, candidate)
			}
		}
	}
	if len(same) > 0 {
		return fmt.Sprintf("unknown key %s: known are %s", key, strings.Join(same, ", "))
	}
	return fmt.Sprintf("unknown key %s: ordo run --print-config shows all", key)
}

// Sample writes a configuration as a commented file that FromFile reads back.
func Sample(c Config) string {
	return "# ordo run --config FILE. Each key has a flag and environment variables too; a flag beats the environment, the\n" +
		"# environment beats this file.\n" +
		written(c, func(o Option) bool { return !o.Rare || o.Get(&c) != o.Default }, true)
}

// Changed writes what of a configuration is not the default, as a file that FromFile reads back.
func Changed(c Config) string {
	standard := Default()
	stages := c.stages()
	return written(c, func(o Option) bool {
		stage, isPlugin := strings.CutSuffix(o.Key, ".plugin")
		return o.Get(&c) != o.Get(&standard) || isPlugin && len(stages[stage].Settings) > 0
	}, false)
}

func (c Config) stages() map[string]Stage {
	return map[string]Stage{"ordering": c.Ordering, "execution": c.Execution, "storage": c.Storage, "consensus": c.Consensus}
}

// written is the file with the options that are asked for; with hints it says of each stage what its own settings would be.
func written(c Config, include func(Option) bool, hints bool) string {
	var out strings.Builder
	table := ""
	for _, o := range Options() {
		if !include(o) {
			continue
		}
		name, key, _ := strings.Cut(o.Key, ".")
		if name != table {
			endTable(&out, table, c, hints)
			fmt.Fprintf(&out, "\n[%s]\n", name)
			table = name
		}
		value := o.Get(&c)
		if !o.Bool && (!o.Number || !fitsTOML(value)) {
			value = strconv.Quote(value)
		}
		fmt.Fprintf(&out, "# %s (--%s)\n%s = %s\n", o.Help, o.Flag, key, value)
	}
	endTable(&out, table, c, hints)
	return out.String()
}

func endTable(out *strings.Builder, table string, c Config, hints bool) {
	stage, ok := c.stages()[table]
	if !ok {
		return
	}
	if len(stage.Settings) == 0 {
		if hints {
			fmt.Fprintf(out, "# config = { } # the plugin's own settings; `ordo plugin list --config` shows what the plugins of a running node take\n")
		}
		return
	}
	// With the tables around it, so that tables within have their full name. The line of the stage is there already.
	body, err := toml.Marshal(map[string]any{table: map[string]any{"config": stage.Settings}})
	if err == nil {
		out.WriteString(strings.TrimPrefix(string(body), "["+table+"]\n"))
	}
}

// fitsTOML: integers of a TOML file have 64 bits; the prices that do not fit go in quotes.
func fitsTOML(value string) bool {
	n, ok := new(big.Int).SetString(value, 10)
	return ok && n.IsInt64()
}

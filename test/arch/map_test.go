package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The map is docs/architecture.md. It has two tables, found by their first line:
//
//	| folder | one line |                                  each folder with source files: `core/driver`, or `starknet/internal/...`
//	                                                       for a folder and all below it
//	| step | folder | function | (waiting) |               the way of a block: functions as `Type.Method` or `function`, each in
//	                                                       one of the folders of its row
//
// What is a name of the code stands between backticks.
const mapPage = "docs/architecture.md"

func readMap(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), filepath.FromSlash(mapPage)))
	if err != nil {
		t.Fatalf("the map of the folders is missing: %v", err)
	}
	return string(text)
}

// table returns the rows below a header, all of them when the page has several such tables.
func table(page string, header ...string) (rows [][]string) {
	inside := false
	for line := range strings.Lines(page) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			inside = false
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case slices.EqualFunc(cells, header, strings.EqualFold):
			inside = true
		case inside && strings.Trim(line, "|-: ") != "" && len(cells) == len(header):
			rows = append(rows, cells)
		}
	}
	return rows
}

var quoted = regexp.MustCompile("`([^`]+)`")

// names returns what stands between backticks.
func names(cell string) (list []string) {
	for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
		list = append(list, strings.TrimSuffix(m[1], "()"))
	}
	return list
}

// folders returns the line of each folder of the map.
func folders(t *testing.T) map[string]string {
	t.Helper()
	lines := make(map[string]string)
	for _, row := range table(readMap(t), "folder", "one line") {
		for _, name := range names(row[0]) {
			name = strings.TrimSuffix(name, "/")
			if lines[name] != "" {
				t.Errorf("%s has two rows", name)
			}
			lines[name] = row[1]
		}
	}
	if len(lines) == 0 {
		t.Fatalf("%s has no table with the header | folder | one line |", mapPage)
	}
	return lines
}

// TestEveryFolderIsOnTheMap: a folder with source files has a row, and a row has a folder.
func TestEveryFolderIsOnTheMap(t *testing.T) {
	lines, used := folders(t), make(map[string]bool)
	var missing []string
	sources(t, func(file string, _ []byte) {
		dir := path.Dir(file)
		if lines[dir] != "" {
			used[dir] = true
			return
		}
		for at := dir; at != "."; at = path.Dir(at) {
			if lines[at+"/..."] != "" {
				used[at+"/..."] = true
				return
			}
		}
		if !slices.Contains(missing, dir) {
			missing = append(missing, dir)
		}
	})
	for _, dir := range missing {
		t.Errorf("%s has no row in %s", dir, mapPage)
	}
	for name, line := range lines {
		if line == "" {
			t.Errorf("%s: the row of %s says nothing", mapPage, name)
		}
		if _, err := os.Stat(filepath.Join(root(t), filepath.FromSlash(strings.TrimSuffix(name, "/...")))); err != nil {
			t.Errorf("%s: the row of %s: %v", mapPage, name, err)
		} else if !used[name] && strings.HasSuffix(name, "/...") {
			t.Errorf("%s: the row of %s stands for no folder that has no row of its own", mapPage, name)
		}
	}
}

// TestTheWayOfABlockExists: each function that the way of a block names is in its folder.
func TestTheWayOfABlockExists(t *testing.T) {
	rows := table(readMap(t), "step", "folder", "function", "who waits for whom")
	if len(rows) < 10 {
		t.Fatalf("%s: %d steps below the header | step | folder | function | who waits for whom |", mapPage, len(rows))
	}
	declared := make(map[string]map[string]bool)
	sources(t, func(file string, text []byte) {
		dir := path.Dir(file)
		if declared[dir] == nil {
			declared[dir] = make(map[string]bool)
		}
		for _, name := range functions(file, text) {
			declared[dir][name] = true
		}
	})
	for _, row := range rows {
		dirs, wanted := names(row[1]), names(row[2])
		if len(dirs) == 0 || len(wanted) == 0 {
			t.Errorf("%s: step %q names no folder or no function between backticks", mapPage, row[0])
		}
		for _, dir := range dirs {
			if declared[strings.TrimSuffix(dir, "/")] == nil {
				t.Errorf("%s: step %q: there are no source files in %s", mapPage, row[0], dir)
			}
		}
		for _, name := range wanted {
			if !slices.ContainsFunc(dirs, func(dir string) bool { return declared[strings.TrimSuffix(dir, "/")][name] }) {
				t.Errorf("%s: step %q: there is no function %s in %s", mapPage, row[0], name, strings.Join(dirs, " or "))
			}
		}
	}
}

var rustFunction = regexp.MustCompile(`\bfn (\w+)`)

// functions returns what a file declares: functions, and methods as Type.Method. Of Rust it is the functions alone.
func functions(file string, text []byte) (list []string) {
	switch path.Ext(file) {
	case ".rs":
		for _, m := range rustFunction.FindAllSubmatch(text, -1) {
			list = append(list, string(m[1]))
		}
	case ".go":
		if strings.HasSuffix(file, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, text, parser.SkipObjectResolution)
		if err != nil {
			return nil
		}
		for _, d := range parsed.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if f.Recv == nil {
				list = append(list, f.Name.Name)
				continue
			}
			of := f.Recv.List[0].Type
			for again := true; again; {
				switch x := of.(type) {
				case *ast.StarExpr:
					of = x.X
				case *ast.IndexExpr:
					of = x.X
				default:
					again = false
				}
			}
			if name, ok := of.(*ast.Ident); ok {
				list = append(list, name.Name+"."+f.Name.Name)
			}
		}
	}
	return list
}

// TestPackageCommentsSayTheLineOfTheMap: the comment of a package opens with the line of its folder, behind "Package NAME" or, for a
// program, "Command NAME".
func TestPackageCommentsSayTheLineOfTheMap(t *testing.T) {
	lines, comments, packages := folders(t), make(map[string]string), make(map[string]string)
	sources(t, func(file string, text []byte) {
		if path.Ext(file) != ".go" || strings.HasSuffix(file, "_test.go") && comments[path.Dir(file)] != "" {
			return
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, text, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Error(err)
			return
		}
		packages[path.Dir(file)] = parsed.Name.Name
		if parsed.Doc != nil {
			comments[path.Dir(file)] = strings.Join(strings.Fields(parsed.Doc.Text()), " ")
		}
	})
	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		line := strings.TrimSuffix(strings.ReplaceAll(lines[dir], "`", ""), ".")
		if line == "" {
			continue
		}
		want := "Package " + packages[dir] + " " + line
		if packages[dir] == "main" {
			want = "Command " + path.Base(dir) + " " + line
		}
		if !strings.HasPrefix(comments[dir], want) {
			t.Errorf("%s: the comment of the package opens with %.120q, want the line of the map: %q", dir, comments[dir], want)
		}
	}
}

// TestTheMapIsRead: what the tests of the map rely on.
func TestTheMapIsRead(t *testing.T) {
	const page = "# x\n| Folder | one line |\n|---|:--|\n| `a/b` | does this |\n| `c/...`, `d` | do that |\n\n| other | table |\n|---|---|\n| `e` | f |\n"
	rows := table(page, "folder", "one line")
	if len(rows) != 2 || rows[0][1] != "does this" || !slices.Equal(names(rows[1][0]), []string{"c/...", "d"}) {
		t.Errorf("rows %q", rows)
	}
	got := functions("a.go", []byte("package a\nfunc f() {}\nfunc (x *T) M() {}\nfunc (G[K]) N() {}\n"))
	if !slices.Equal(got, []string{"f", "T.M", "G.N"}) {
		t.Errorf("functions %q", got)
	}
	if got := functions("a.rs", []byte("pub(crate) fn one() {}\n    async fn two<T>() {}\n")); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("functions %q", got)
	}
}

package arch

import (
	"bufio"
	"bytes"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// languages are the endings of files that people write.
var languages = []string{".go", ".rs", ".proto", ".py", ".sh", ".mjs"}

// sources calls do with each file that people wrote in one of the languages, by its path below the root.
func sources(t *testing.T, do func(file string, text []byte)) {
	t.Helper()
	dir, files := root(t), 0
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); file != dir && (strings.HasPrefix(name, ".") || slices.Contains([]string{"target", "bin", "testdata", "node_modules"}, name)) {
				return filepath.SkipDir
			}
			return nil
		}
		if !slices.Contains(languages, filepath.Ext(file)) {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if generated.Match(text) {
			return nil
		}
		files++
		name, err := filepath.Rel(dir, file)
		do(filepath.ToSlash(name), text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 300 {
		t.Fatalf("only %d files were read", files)
	}
}

// generated is the mark of a file that a program wrote, as the go command knows it.
var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

// maxLines is the length of a file at which it does more than one thing.
const maxLines = 450

// tooLong are files that were longer when the rule came. They may only become shorter; none may be added.
var tooLong = map[string]int{}

// TestNoFileIsTooLong: a file has at most maxLines lines.
func TestNoFileIsTooLong(t *testing.T) {
	seen := make(map[string]bool)
	sources(t, func(file string, text []byte) {
		lines, limit := bytes.Count(text, []byte("\n")), maxLines
		if old, ok := tooLong[file]; ok {
			seen[file] = true
			if limit = old; lines <= maxLines {
				t.Errorf("%s has %d lines now: take it off the list", file, lines)
			}
		}
		if lines > limit {
			t.Errorf("%s has %d lines, at most %d are allowed: cut it by what its parts do", file, lines, limit)
		}
	})
	for file := range tooLong {
		if !seen[file] {
			t.Errorf("%s is not there: take it off the list", file)
		}
	}
}

// Words for people, which comments must not use for code or for clients. The limits are what is there: they may only fall.
var limits = []struct {
	words *regexp.Regexp
	most  int
}{
	{regexp.MustCompile(`(?i)\b(whoever|somebody|nobody|someone)\b`), 2},
	{regexp.MustCompile(`(?i)\b(who|whom|anybody|everybody)\b`), 2},
}

// slack is how far below its limit a count may be before the limit must follow.
const slack = 5

// TestWordsForPeople: comments say what a thing is with a noun.
func TestWordsForPeople(t *testing.T) {
	counts, where := make([]int, len(limits)), make([][]string, len(limits))
	sources(t, func(file string, text []byte) {
		for _, comment := range comments(file, text) {
			for i, l := range limits {
				for _, word := range l.words.FindAllString(comment, -1) {
					counts[i]++
					where[i] = append(where[i], file+": "+word)
				}
			}
		}
	})
	for i, l := range limits {
		switch {
		case counts[i] > l.most:
			t.Errorf("%s: %d times in comments, at most %d are allowed: name the thing\n%s", l.words, counts[i], l.most, strings.Join(where[i], "\n"))
		case counts[i] < l.most-slack:
			t.Errorf("%s: %d times in comments: lower the limit of %d", l.words, counts[i], l.most)
		default:
			t.Logf("%s: %d times in comments, of %d", l.words, counts[i], l.most)
		}
	}
}

// comments returns the comments of a file.
func comments(file string, text []byte) (list []string) {
	if filepath.Ext(file) == ".go" {
		var s scanner.Scanner
		set := token.NewFileSet()
		s.Init(set.AddFile(file, -1, len(text)), text, nil, scanner.ScanComments)
		for {
			switch _, tok, literal := s.Scan(); tok {
			case token.EOF:
				return list
			case token.COMMENT:
				list = append(list, literal)
			}
		}
	}
	mark := "//"
	if ext := filepath.Ext(file); ext == ".py" || ext == ".sh" {
		mark = "#"
	}
	for in := bufio.NewScanner(bytes.NewReader(text)); in.Scan(); {
		// A mark inside a text, such as that of a URL, has no space before it.
		if _, comment, ok := strings.Cut(" "+in.Text(), " "+mark); ok || strings.HasPrefix(strings.TrimSpace(in.Text()), mark) {
			list = append(list, comment)
		}
	}
	return list
}

// TestCommentsAreFound: what the count relies on.
func TestCommentsAreFound(t *testing.T) {
	for file, c := range map[string]struct {
		text string
		want int
	}{
		"a.go":    {"package a // one\n/* two */ var x = \"// none\"\n// three", 3},
		"a.rs":    {"//! one\nlet x = \"http://none\"; // two\n\t/// three\n", 3},
		"a.proto": {"message A { // one\n  string b = 1;\n}\n", 1},
		"a.sh":    {"#!/bin/sh\n# two\necho \"${#none}\" # three\n", 3},
		"a.py":    {"# one\nx = '#none'\n", 1},
	} {
		if got := comments(file, []byte(c.text)); len(got) != c.want {
			t.Errorf("%s: %q, want %d", file, got, c.want)
		}
	}
}

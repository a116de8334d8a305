// Package authors runs the programs that docs/authors.md has: what an author copies from the page compiles, and passes its test.
package authors

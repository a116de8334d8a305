package schema

import "strings"

// Nearest returns the name that a misspelt one probably stands for: the smallest edit distance, if it is small compared
// with the word. Among equals the first wins. A word of one letter stands for nothing.
func Nearest(word string, names []string) (string, bool) {
	best, bestDistance := "", 1+max(2, len(word)/3)
	for _, candidate := range names {
		if d := Distance(word, candidate); d < min(bestDistance, len(word), len(candidate)) {
			best, bestDistance = candidate, d
		}
	}
	for _, candidate := range names { // cut short, or written out
		if best == "" && min(len(word), len(candidate)) > 2 && (strings.HasPrefix(word, candidate) || strings.HasPrefix(candidate, word)) {
			best = candidate
		}
	}
	return best, best != ""
}

// Distance counts the insertions, deletions, substitutions and swaps of neighbours between two words.
func Distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 { // no misspelling
		return 64
	}
	before, previous, current := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		current[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			current[j] = min(previous[j]+1, current[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				current[j] = min(current[j], before[j-2]+1)
			}
		}
		before, previous, current = previous, current, before
	}
	return previous[len(b)]
}

package node

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
)

// TestWithin: a shutdown that hangs ends at its deadline with the name of what it waited for; one that comes to its end
// because the plugins were killed says both.
func TestWithin(t *testing.T) {
	fault := errors.New("storage/badger: drain: late")
	for name, c := range map[string]struct {
		ends  time.Duration // 0: never
		took  time.Duration
		words []string
	}{
		"in time":        {ends: 3 * time.Second, took: 3 * time.Second, words: []string{"drain: late"}},
		"after the kill": {ends: 21 * time.Second, took: 21 * time.Second, words: []string{"not done within 20s", "supervision.shutdown_timeout", "drain: late"}},
		"never":          {took: 22 * time.Second, words: []string{"not done within 20s", "it waited for: plugins that drain, the journal's disk;"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				over, stop := make(chan error, 1), make(chan struct{})
				var p shutdown
				go p.wait("plugins that drain", func() { <-stop })
				synctest.Wait()
				go p.wait("the journal's disk", func() { <-stop })
				p.wait("something that ends", func() {})
				if c.ends > 0 {
					time.AfterFunc(c.ends, func() { over <- fault })
				}
				begin := time.Now()
				err := within(20*time.Second, over, &p, nil, hclog.NewNullLogger())
				if took := time.Since(begin); took != c.took {
					t.Errorf("took %s, want %s", took, c.took)
				}
				for _, word := range c.words {
					if err == nil || !strings.Contains(err.Error(), word) {
						t.Errorf("no %q in %v", word, err)
					}
				}
				close(stop)
			})
		})
	}
}

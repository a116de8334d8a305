package load

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestTimeline writes times as seconds; samples are "second:latest/count".
func TestTimeline(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	var line timeline
	samples := func(text string) {
		for _, word := range strings.Fields(text) {
			var s sample
			var second int
			if _, err := fmt.Sscanf(word, "%d:%d/%d", &second, &s.latest, &s.count); err != nil {
				t.Fatal(err)
			}
			s.at = at(second)
			line.add(s)
		}
	}
	settled := func(number uint64, n, accepted int, want string) {
		t.Helper()
		var got []string
		for _, when := range line.settle(number, n, at(accepted)) {
			got = append(got, fmt.Sprint(when.Unix()))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("block %d: %q, want %q", number, s, want)
		}
	}
	// Block 1 gets 5; block 2 opens before it is accepted, with 2 and then 3.
	samples("1:0/0 2:0/0 3:0/2 4:0/4 5:0/5 6:0/2 7:1/2 8:1/3")
	settled(1, 5, 7, "3 3 4 4 5")
	settled(2, 3, 9, "6 6 8")
	// No sample caught the end of block 3; an empty block 4; block 5 has more at once than 3 had.
	samples("10:2/1 11:2/0 12:4/7")
	settled(3, 3, 11, "10 11 11")
	settled(4, 0, 12, "")
	settled(5, 7, 13, "12 12 12 12 12 12 12")
	// A node without pre-confirmed blocks: acceptance is all there is.
	settled(6, 2, 20, "20 20")
	// The last two of block 7 are in no sample, but were there when block 8 began.
	samples("30:6/4 32:6/1 40:8/0")
	settled(7, 6, 35, "30 30 30 30 32 32")
	settled(8, 1, 40, "32")
	settled(9, 0, 50, "")
	if len(line.samples) != 0 {
		t.Errorf("%d samples are left", len(line.samples))
	}
}

// Package stage asks the stages questions: calls that change nothing, so that one may be asked again. Every question has a
// deadline, and one that finds the stage away, because the supervisor is starting it anew, waits a moment for it.
package stage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Away: the stage has no process at this moment. Trying again later helps.
type Away struct {
	Stage string
	Cause error
}

func (a *Away) Error() string { return a.Stage + " is restarting, try again" }

// Unwrap gives what the connection said.
func (a *Away) Unwrap() error { return a.Cause }

// Late: the stage did not answer in time.
type Late struct {
	Stage    string
	Deadline time.Duration
}

func (l *Late) Error() string {
	return fmt.Sprintf("%s did not answer within %s, try again", l.Stage, l.Deadline)
}

// pause between two looks for a stage that is away.
const pause = 25 * time.Millisecond

// Asker asks one stage.
type Asker struct {
	Stage    string
	Deadline time.Duration // of each question
	Grace    time.Duration // how long a question waits for a stage that is away
}

// Ask puts a question, and puts it again while the stage is away. The error is that of the call, an Away, a Late, or the
// context's when the caller left.
func (a Asker) Ask(ctx context.Context, question func(context.Context) error) error {
	end := time.Now().Add(a.Grace)
	for {
		limited, cancel := context.WithTimeout(ctx, a.Deadline)
		err := question(limited)
		late := limited.Err() != nil
		cancel()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("%s: %w", a.Stage, ctx.Err())
			}
			return ctx.Err()
		case late || status.Code(err) == codes.DeadlineExceeded:
			return &Late{a.Stage, a.Deadline}
		case status.Code(err) != codes.Unavailable:
			return fmt.Errorf("%s: %w", a.Stage, err)
		case time.Now().After(end):
			return &Away{a.Stage, err}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Package retry asks the stages questions: calls that change nothing, each with a deadline, put again when a stage restarts.
// A question that finds the stage down, because the supervisor is starting it again, waits a moment for it. One that was in flight
// when the stage's process ended is put again only as package crash allows.
package retry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ordo-sequencer/ordo/core/crash"
)

// Down is the error of a question to a stage that has no process at this moment. Trying again later helps.
type Down struct {
	Stage string
	Cause error
}

func (a *Down) Error() string { return a.Stage + " is restarting, try again" }

// Unwrap gives what the connection said.
func (a *Down) Unwrap() error { return a.Cause }

// Late is the error of a question that the stage did not answer in time.
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
	Crashes  *crash.Ledger // nil: no question can end the stage
}

// Ask puts a question that cannot end the stage, and puts it again while the stage is away. The error is that of the call, an
// Away, a Late, or the context's when the caller left.
func (a Asker) Ask(ctx context.Context, question func(context.Context) error) error {
	end := time.Now().Add(a.Grace)
	for {
		late, err := a.once(ctx, question)
		if err == nil {
			return nil
		}
		if again, told := a.judge(ctx, err, late); !again {
			return told
		}
		if time.Now().After(end) {
			return &Down{a.Stage, err}
		}
		if err := wait(ctx); err != nil {
			return err
		}
	}
}

// Put is Ask for a question that a client wrote, and that may end the process of the stage. The error may also be a crash.Refused, a
// crash.Paused or crash.ErrSeveral.
func (a Asker) Put(ctx context.Context, q crash.Question, question func(context.Context) error) error {
	if a.Crashes == nil {
		return a.Ask(ctx, question)
	}
	return a.put(ctx, q, question, true)
}

// Try is Put without a second time. A question that is put again and again while blocks end the process hides for as long from
// the search for their culprit that it is a block: so what nothing depends on is asked once.
func (a Asker) Try(ctx context.Context, q crash.Question, question func(context.Context) error) error {
	if a.Crashes == nil {
		late, err := a.once(ctx, question)
		if err != nil {
			_, err = a.judge(ctx, err, late)
		}
		return err
	}
	return a.put(ctx, q, question, false)
}

func (a Asker) put(ctx context.Context, q crash.Question, question func(context.Context) error, repeat bool) error {
	trial, err := a.Crashes.Trial(q)
	if err != nil {
		return fmt.Errorf("%s: %w", a.Stage, err)
	}
	defer trial.Close()
	end := time.Now().Add(a.Grace)
	for {
		run, err := trial.Enter(ctx, end)
		switch {
		case errors.Is(err, crash.ErrTurn):
			return &Down{a.Stage, err}
		case ctx.Err() != nil:
			return a.left(ctx)
		case err != nil:
			return fmt.Errorf("%s: %w", a.Stage, err)
		}
		late, err := a.once(run.Context(ctx), question)
		switch {
		case err == nil:
			run.Answered()
			return nil
		case late || ctx.Err() != nil || status.Code(err) == codes.DeadlineExceeded:
			run.Abandoned(a.Deadline)
		case status.Code(err) == codes.Unavailable:
			crashed, refused := run.Broken(ctx)
			if refused != nil {
				return fmt.Errorf("%s: %w", a.Stage, refused)
			}
			if crashed {
				end = time.Now().Add(a.Grace)
			}
		default:
			run.Answered()
		}
		if !repeat {
			return err
		}
		if again, told := a.judge(ctx, err, late); !again {
			return told
		}
		if time.Now().After(end) {
			return &Down{a.Stage, err}
		}
		if err := wait(ctx); err != nil {
			return err
		}
	}
}

// once puts a question once; late: its deadline passed.
func (a Asker) once(ctx context.Context, question func(context.Context) error) (late bool, err error) {
	limited, cancel := context.WithTimeout(ctx, a.Deadline)
	defer cancel()
	err = question(limited)
	return limited.Err() != nil, err
}

// judge says what an error means: that the stage is away, so that the question may be put again, or what the caller is told.
func (a Asker) judge(ctx context.Context, err error, late bool) (again bool, told error) {
	switch code := status.Code(err); {
	case ctx.Err() != nil:
		return false, a.left(ctx)
	case late || code == codes.DeadlineExceeded:
		return false, &Late{a.Stage, a.Deadline}
	case code == codes.Unavailable, code == codes.FailedPrecondition: // a process that has no state yet says the latter
		return true, nil
	}
	return false, fmt.Errorf("%s: %w", a.Stage, err)
}

func (a Asker) left(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", a.Stage, ctx.Err())
	}
	return ctx.Err()
}

// wait lets a moment pass before the next look at a stage that is away.
func wait(ctx context.Context) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

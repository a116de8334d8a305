package driver

import (
	"errors"
	"fmt"
	"syscall"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ordo-sequencer/ordo/core/internal/grpcerr"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// This file is the one place that judges faults; the table in doc.go lists them.

// stop ends everything, once. A fault is logged.
func (d *Driver) stop(fault error) {
	d.ending.Do(func() {
		if fault != nil {
			d.log.Error("the node stops", "fault", fault)
		}
		d.fault = fault
		d.cancel()
		close(d.done)
	})
}

// halt ends the node because of a fault of one of its parts.
func (d *Driver) halt(part string, err error) {
	if d.ctx.Err() == nil {
		d.stop(fmt.Errorf("node: %s: %w", part, err))
	}
}

// suspect asks the supervisor to restart the process of a stage. Without a supervisor the node ends.
func (d *Driver) suspect(stage ordov1.Stage, err error) {
	if d.options.Suspect == nil {
		d.halt(sdk.StageName(stage), err)
		return
	}
	d.options.Suspect(stage, fmt.Errorf("%s: %w", sdk.StageName(stage), err))
}

// suspect reports that an instance is of no use any more, once.
func (i *instance) suspect(err error) {
	if i.ctx.Err() == nil && i.suspected.CompareAndSwap(false, true) {
		i.port.suspect(i.stage, err)
	}
}

// callFailed judges the error of a call for a block: an answer that the plugin protocol forbids halts the node, an error that the
// end of a process can cause makes the instance suspect.
func (i *instance) callFailed(err error) {
	switch status.Code(err) {
	case codes.FailedPrecondition, codes.InvalidArgument, codes.DataLoss, codes.Unimplemented, codes.OutOfRange, codes.NotFound, codes.AlreadyExists:
		if i.ctx.Err() == nil {
			i.port.halt(sdk.StageName(i.stage), err)
		}
	default:
		i.suspect(err)
	}
}

// noSpace: the disk of the journal is full. It is tried again.
func noSpace(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// storageFull: storage has no room for a block. It is tried again.
func storageFull(err error) bool {
	return status.Code(err) == codes.ResourceExhausted && !grpcerr.TooLarge(err)
}

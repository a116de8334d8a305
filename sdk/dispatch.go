package sdk

import (
	"time"

	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// Events of consensus and the two actions with many fields, under the names that docs/spec/consensus.md has for them.
type (
	Start       = ordov1.ConsensusEvent_Start
	Ready       = ordov1.ConsensusEvent_Ready
	CreateBlock = ordov1.ConsensusEvent_CreateBlock
	Timer       = ordov1.ConsensusEvent_Timer
	Built       = ordov1.ConsensusEvent_Built
	Verdict     = ordov1.ConsensusEvent_Verdict
	Message     = ordov1.ConsensusEvent_Message
	Decided     = ordov1.ConsensusEvent_Decided
	Failed      = ordov1.ConsensusEvent_Failed
	Signed      = ordov1.ConsensusEvent_Signed

	BuildAction    = ordov1.Action_Build
	ValidateAction = ordov1.Action_Validate

	Actions = []*ordov1.Action
)

// On says what handles each event. An event without a function, and one of a later minor, is answered with no action.
//
//	func (p *mine) Step(e *ordov1.ConsensusEvent) sdk.Actions {
//		return sdk.On{Start: p.start, Built: p.built, Decided: p.decided}.Dispatch(e)
//	}
type On struct {
	Start       func(*Start) Actions
	Ready       func(*Ready) Actions
	CreateBlock func(*CreateBlock) Actions
	Timer       func(*Timer) Actions
	Built       func(*Built) Actions
	Verdict     func(*Verdict) Actions
	Message     func(*Message) Actions
	Decided     func(*Decided) Actions
	Failed      func(*Failed) Actions
	Signed      func(*Signed) Actions
}

// Dispatch gives an event to the function for it.
func (on On) Dispatch(event *ordov1.ConsensusEvent) Actions {
	switch e := event.GetEvent().(type) {
	case *ordov1.ConsensusEvent_Start_:
		return handle(on.Start, e.Start)
	case *ordov1.ConsensusEvent_Ready_:
		return handle(on.Ready, e.Ready)
	case *ordov1.ConsensusEvent_CreateBlock_:
		return handle(on.CreateBlock, e.CreateBlock)
	case *ordov1.ConsensusEvent_Timer_:
		return handle(on.Timer, e.Timer)
	case *ordov1.ConsensusEvent_Built_:
		return handle(on.Built, e.Built)
	case *ordov1.ConsensusEvent_Verdict_:
		return handle(on.Verdict, e.Verdict)
	case *ordov1.ConsensusEvent_Message_:
		return handle(on.Message, e.Message)
	case *ordov1.ConsensusEvent_Decided_:
		return handle(on.Decided, e.Decided)
	case *ordov1.ConsensusEvent_Failed_:
		return handle(on.Failed, e.Failed)
	case *ordov1.ConsensusEvent_Signed_:
		return handle(on.Signed, e.Signed)
	}
	return nil
}

func handle[T any](do func(*T) Actions, content *T) Actions {
	if do == nil {
		return nil
	}
	return do(content)
}

// Build opens an attempt that takes transactions from the pool, or from an earlier attempt.
func Build(b *BuildAction) *ordov1.Action { return Action(b) }

// Seal closes an attempt now.
func Seal(attempt uint64) *ordov1.Action { return Action(&ordov1.Action_Seal{Attempt: attempt}) }

// Abandon drops an attempt.
func Abandon(attempt uint64) *ordov1.Action {
	return Action(&ordov1.Action_Abandon{Attempt: attempt})
}

// Validate executes the block of a peer: the core has its body by the value, or fetches it, from the validator first.
func Validate(attempt uint64, value, from []byte) *ordov1.Action {
	return Action(&ValidateAction{Attempt: attempt, Value: value, From: from})
}

// Decide ends the height with an attempt that was built or found valid. The certificate may be nil.
func Decide(attempt uint64, value, certificate []byte) *ordov1.Action {
	return Action(&ordov1.Action_Decide{Attempt: attempt, Value: value, Certificate: certificate})
}

// SetTimer sets a timer, in whole milliseconds; the same id replaces the one before.
func SetTimer(id uint64, after time.Duration) *ordov1.Action {
	return Action(&ordov1.Action_SetTimer{Id: id, AfterMs: uint32(min(max(after.Milliseconds(), 0), 1<<32-1))})
}

// CancelTimer cancels a timer.
func CancelTimer(id uint64) *ordov1.Action { return Action(&ordov1.Action_CancelTimer{Id: id}) }

// Send sends a message to one validator.
func Send(to, data []byte) *ordov1.Action {
	return Action(&ordov1.Action_Send{To: to, Data: data})
}

// Broadcast sends a message to all other validators.
func Broadcast(data []byte) *ordov1.Action { return Action(&ordov1.Action_Send{Data: data}) }

// Persist keeps a record until its height is decided. The actions behind it wait until it is durable.
func Persist(data []byte) *ordov1.Action { return Action(&ordov1.Action_Persist{Data: data}) }

// PersistLasting keeps a record over heights, in the place of the lasting one before: Start.state.
func PersistLasting(data []byte) *ordov1.Action {
	return Action(&ordov1.Action_Persist{Data: data, Lasting: true})
}

// Sign asks for a signature, which comes as Signed with this id, in the next event.
func Sign(id uint64, kind, round uint32, data []byte) *ordov1.Action {
	return Action(&ordov1.Action_Sign{Id: id, Kind: kind, Round: round, Data: data})
}

// Report tells the operator what a validator did.
func Report(kind string, about, data []byte) *ordov1.Action {
	return Action(&ordov1.Action_Report{Kind: kind, About: about, Data: data})
}

// Halt stops the node with a reason.
func Halt(reason string) *ordov1.Action { return Action(&ordov1.Action_Halt{Reason: reason}) }

package sdk

import ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"

// ActionContent is what an action can be.
type ActionContent interface {
	*ordov1.Action_Build | *ordov1.Action_Seal | *ordov1.Action_Abandon | *ordov1.Action_Validate | *ordov1.Action_Decide |
		*ordov1.Action_SetTimer | *ordov1.Action_CancelTimer | *ordov1.Action_Send | *ordov1.Action_Persist | *ordov1.Action_Sign |
		*ordov1.Action_Report | *ordov1.Action_Halt
}

// Action wraps the content of an action: Action(&ordov1.Action_Seal{Attempt: 1}).
func Action[T ActionContent](content T) *ordov1.Action {
	switch c := any(content).(type) {
	case *ordov1.Action_Build:
		return &ordov1.Action{Action: &ordov1.Action_Build_{Build: c}}
	case *ordov1.Action_Seal:
		return &ordov1.Action{Action: &ordov1.Action_Seal_{Seal: c}}
	case *ordov1.Action_Abandon:
		return &ordov1.Action{Action: &ordov1.Action_Abandon_{Abandon: c}}
	case *ordov1.Action_Validate:
		return &ordov1.Action{Action: &ordov1.Action_Validate_{Validate: c}}
	case *ordov1.Action_Decide:
		return &ordov1.Action{Action: &ordov1.Action_Decide_{Decide: c}}
	case *ordov1.Action_SetTimer:
		return &ordov1.Action{Action: &ordov1.Action_SetTimer_{SetTimer: c}}
	case *ordov1.Action_CancelTimer:
		return &ordov1.Action{Action: &ordov1.Action_CancelTimer_{CancelTimer: c}}
	case *ordov1.Action_Send:
		return &ordov1.Action{Action: &ordov1.Action_Send_{Send: c}}
	case *ordov1.Action_Persist:
		return &ordov1.Action{Action: &ordov1.Action_Persist_{Persist: c}}
	case *ordov1.Action_Sign:
		return &ordov1.Action{Action: &ordov1.Action_Sign_{Sign: c}}
	case *ordov1.Action_Report:
		return &ordov1.Action{Action: &ordov1.Action_Report_{Report: c}}
	case *ordov1.Action_Halt:
		return &ordov1.Action{Action: &ordov1.Action_Halt_{Halt: c}}
	}
	return &ordov1.Action{}
}

// EventContent is what an event of consensus can be.
type EventContent interface {
	*ordov1.ConsensusEvent_Start | *ordov1.ConsensusEvent_Ready | *ordov1.ConsensusEvent_CreateBlock | *ordov1.ConsensusEvent_Timer |
		*ordov1.ConsensusEvent_Built | *ordov1.ConsensusEvent_Verdict | *ordov1.ConsensusEvent_Message | *ordov1.ConsensusEvent_Decided |
		*ordov1.ConsensusEvent_Failed | *ordov1.ConsensusEvent_Signed
}

// Event wraps the content of an event, for tests that play the core: Event(&ordov1.ConsensusEvent_Timer{Id: 1}).
func Event[T EventContent](content T) *ordov1.ConsensusEvent {
	switch c := any(content).(type) {
	case *ordov1.ConsensusEvent_Start:
		return &ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Start_{Start: c}}
	case *ordov1.ConsensusEvent_Ready:
		return &ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Ready_{Ready: c}}
	case *ordov1.ConsensusEvent_CreateBlock:
		return &ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_CreateBlock_{CreateBlock: c}}
	case *ordov1.ConsensusEvent_Timer:
		return &ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Timer_{Timer: c}}
	case *ordov1.ConsensusEvent_Built:
		return &ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Built_{Built: c}}
	case *ordov1.ConsensusEvent_Verdict:
		return &ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Verdict_{Verdict: c}}
	case *ordov1.ConsensusEvent_Message:
		return &ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Message_{Message: c}}
	case *ordov1.ConsensusEvent_Decided:
		return &ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Decided_{Decided: c}}
	case *ordov1.ConsensusEvent_Failed:
		return &ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Failed_{Failed: c}}
	case *ordov1.ConsensusEvent_Signed:
		return &ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Signed_{Signed: c}}
	}
	return &ordov1.ConsensusEvent{}
}

package sdk_test

import (
	"bytes"
	"context"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"

	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// TestDispatchKnowsEveryEvent: each event of the plugin protocol reaches its function, and one without a function is answered with nothing.
func TestDispatchKnowsEveryEvent(t *testing.T) {
	for event := range strings.FieldsSeq("Start Ready CreateBlock Timer Built Verdict Message Decided Failed Signed") {
		called := 0
		on := reflect.ValueOf(&sdk.On{}).Elem()
		field := on.FieldByName(event)
		field.Set(reflect.MakeFunc(field.Type(), func(args []reflect.Value) []reflect.Value {
			called++
			return []reflect.Value{reflect.ValueOf(sdk.Actions{sdk.Seal(7)})}
		}))
		wrapper := (&ordov1.ConsensusEvent{}).ProtoReflect()
		of := wrapper.Descriptor().Oneofs().ByName("event").Fields()
		if of.Len() != on.NumField() {
			t.Fatalf("the plugin protocol has %d events, sdk.On has %d", of.Len(), on.NumField())
		}
		for i := range of.Len() {
			one := wrapper.New()
			one.Set(of.Get(i), one.NewField(of.Get(i)))
			e := one.Interface().(*ordov1.ConsensusEvent)
			mine := reflect.TypeOf(e.GetEvent()).Elem().Field(0).Name == event
			if got := on.Interface().(sdk.On).Dispatch(e); (len(got) == 1) != mine {
				t.Errorf("%s: %v to %v", event, e, got)
			}
		}
		if called != 1 {
			t.Errorf("%s: called %d times", event, called)
		}
	}
	if got := (sdk.On{}).Dispatch(&ordov1.ConsensusEvent{}); got != nil {
		t.Errorf("an event of a later minor is answered with %v", got)
	}
}

// TestEveryActionHasAConstructor: what the functions make is what their names say, and no action is without one.
func TestEveryActionHasAConstructor(t *testing.T) {
	made := map[string]*ordov1.Action{
		"build": sdk.Build(&sdk.BuildAction{Attempt: 1}), "seal": sdk.Seal(1), "abandon": sdk.Abandon(1), "validate": sdk.Validate(1, nil, nil),
		"decide": sdk.Decide(1, nil, nil), "set_timer": sdk.SetTimer(1, time.Second), "cancel_timer": sdk.CancelTimer(1), "send": sdk.Send(nil, nil),
		"persist": sdk.PersistLasting(nil), "sign": sdk.Sign(1, 2, 3, nil), "report": sdk.Report("", nil, nil), "halt": sdk.Halt(""),
	}
	fields := (&ordov1.Action{}).ProtoReflect().Descriptor().Oneofs().ByName("action").Fields()
	for i := range fields.Len() {
		name := fields.Get(i)
		if a := made[string(name.Name())]; a == nil || !a.ProtoReflect().Has(name) {
			t.Errorf("%s: %v", name.Name(), a)
		}
	}
	for after, want := range map[time.Duration]uint32{-time.Second: 0, 1500 * time.Microsecond: 1, 1 << 62: 1<<32 - 1} {
		if got := sdk.SetTimer(1, after).GetSetTimer().GetAfterMs(); got != want {
			t.Errorf("a timer after %v: %d ms, want %d", after, got, want)
		}
	}
}

// talking writes a line for each event, and many for a timer.
type talking struct{ sdk.Log }

func (p *talking) Step(e *ordov1.ConsensusEvent) sdk.Actions {
	p.Info("an event", "seq", e.GetSeq())
	for range e.GetTimer().GetId() {
		p.Debug("more")
	}
	return nil
}

// TestLinesOfAProtocol: what a protocol writes reaches the log of the plugin, with the height and the place of the validator, and is bounded.
func TestLinesOfAProtocol(t *testing.T) {
	var out bytes.Buffer
	service := sdk.ServeProtocol(sdk.Description{Name: "talking"}, nil, func() sdk.Protocol { return &talking{} })
	running := service.Run(hclog.New(&hclog.LoggerOptions{Output: &out, Level: hclog.Debug}))
	listener, err := net.Listen("unix", t.TempDir()+"/socket")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	running.Register(server)
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()
	conn, err := sdk.Dial(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	stream, err := ordov1.NewConsensusClient(conn).Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for seq, e := range []*ordov1.ConsensusEvent{
		sdk.Event(&sdk.Start{Height: 7, Self: []byte("b"), Validators: []*ordov1.Validator{{Key: []byte("a")}, {Key: []byte("b")}}}),
		sdk.Event(&sdk.Decided{Height: 7}), sdk.Event(&sdk.Timer{Id: 1000}),
	} {
		e.Seq = uint64(seq + 1)
		if err := stream.Send(e); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	text := out.String()
	for _, want := range []string{"an event: height=7 validator=1 seq=1", "an event: height=8 validator=1 seq=2", "dropped=969"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the log:\n%.1000s", want, text)
		}
	}
	if lines := strings.Count(text, "\n"); lines != 2+33 {
		t.Errorf("%d lines", lines)
	}
}

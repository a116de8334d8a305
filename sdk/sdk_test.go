package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// part is a storage plugin that does what its configuration says.
type part struct {
	ordov1.UnimplementedStorageServer
	ordov1.UnimplementedStorageReadServer
	drains int
}

func (p *part) Configure(_ context.Context, setup *sdk.Setup) error {
	var c struct {
		Do string `json:"do"`
	}
	if err := setup.Decode(&c); err != nil {
		return err
	}
	switch c.Do {
	case "refuse twice":
		return errors.Join(&sdk.Problem{Path: "a", Summary: "bad", Detail: "fix it"}, errors.New("worse"))
	case "wrap":
		return fmt.Errorf("while opening: %w", &sdk.Problem{Path: "a", Summary: "bad"})
	case "warn":
		setup.Warn(sdk.Problem{Path: "b", Summary: "odd"})
	case "dial":
		_, err := setup.Dial("storage.read")
		return err
	}
	return nil
}

func (p *part) Drain(context.Context) error { p.drains++; return nil }

func (p *part) State(context.Context, *ordov1.StateRequest) (*ordov1.StateResponse, error) {
	return &ordov1.StateResponse{Height: 7}, nil
}

const anySchema = `{"type":"object","properties":{"do":{"type":"string"}}}`

// life is one instance: it serves a part over a socket of its own.
func life(t *testing.T, p *part) (*grpc.ClientConn, string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ordo-")
	if err != nil {
		t.Fatal(err)
	}
	running := sdk.Storage(sdk.Description{Name: "test", ConfigSchema: anySchema}, p).Run(hclog.NewNullLogger())
	server := grpc.NewServer(running.ServerOptions()...)
	running.Register(server)
	listener, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	conn, err := sdk.Dial(filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		server.Stop()
		running.Close()
		os.RemoveAll(dir)
	})
	return conn, dir
}

func TestConfigure(t *testing.T) {
	for config, want := range map[string]string{
		``:                      "",
		`{"do":"nothing"}`:      "",
		`{"do":"refuse twice"}`: "ERROR a: bad (fix it); ERROR : worse ()",
		`{"do":"wrap"}`:         "ERROR a: while opening: a: bad ()",
		`{"do":"warn"}`:         "WARNING b: odd ()",
		`{"do":"dial"}`:         `ERROR : no socket for peer "storage.read" was handed over (the plugin needs a node that runs this stage; check the host's version)`,
		`{"od":"warn"}`:         `ERROR od: unknown key (did you mean "do"?)`,
		`{"do":1}`:              "ERROR do: want a string, got 1 ()",
	} {
		conn, _ := life(t, &part{})
		resp, err := ordov1.NewPluginClient(conn).Configure(context.Background(), &ordov1.ConfigureRequest{Config: []byte(config)})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range resp.GetDiagnostics() {
			got = append(got, fmt.Sprintf("%s %s: %s (%s)", d.GetSeverity(), d.GetPath(), d.GetSummary(), d.GetDetail()))
		}
		if strings.Join(got, "; ") != want {
			t.Errorf("%s:\n got %s\nwant %s", config, strings.Join(got, "; "), want)
		}
	}
}

func TestPhases(t *testing.T) {
	ctx := context.Background()
	p := &part{}
	conn, dir := life(t, p)
	client, storage := ordov1.NewPluginClient(conn), ordov1.NewStorageClient(conn)
	expect := func(what string, err error, code codes.Code) {
		t.Helper()
		if status.Code(err) != code {
			t.Fatalf("%s: %v, want %s", what, err, code)
		}
	}
	_, err := storage.Head(ctx, &ordov1.HeadRequest{})
	expect("a call before Configure", err, codes.FailedPrecondition)

	resp, err := client.Configure(ctx, &ordov1.ConfigureRequest{Config: []byte(`{"no":1}`)})
	if err != nil || len(resp.GetDiagnostics()) != 1 {
		t.Fatal(resp, err)
	}
	// After a configuration is refused the host may try again. A socket that a killed process left behind is replaced, a file is not.
	read, file := filepath.Join(dir, "read"), filepath.Join(dir, "file")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: read, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	if err := os.WriteFile(file, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	resp, err = client.Configure(ctx, &ordov1.ConfigureRequest{Listen: map[string]string{"read": file}})
	if err != nil || len(resp.GetDiagnostics()) != 1 || !strings.Contains(resp.GetDiagnostics()[0].GetSummary(), "not a socket") {
		t.Fatal(resp, err)
	}
	resp, err = client.Configure(ctx, &ordov1.ConfigureRequest{Listen: map[string]string{"read": read}})
	if err != nil || len(resp.GetDiagnostics()) != 0 {
		t.Fatal(resp, err)
	}
	_, err = client.Configure(ctx, &ordov1.ConfigureRequest{})
	expect("Configure again", err, codes.FailedPrecondition)

	_, err = storage.Head(ctx, &ordov1.HeadRequest{})
	expect("a call that the part does not implement", err, codes.Unimplemented)
	reads, err := sdk.Dial(read)
	if err != nil {
		t.Fatal(err)
	}
	defer reads.Close()
	state, err := ordov1.NewStorageReadClient(reads).State(ctx, &ordov1.StateRequest{})
	if err != nil || state.GetHeight() != 7 {
		t.Fatal(state, err)
	}
	_, err = ordov1.NewStorageReadClient(conn).State(ctx, &ordov1.StateRequest{})
	expect("a read on the main socket", err, codes.Unimplemented)

	for range 2 {
		if _, err := client.Drain(ctx, &ordov1.DrainRequest{DeadlineMs: 1000}); err != nil {
			t.Fatal(err)
		}
	}
	if p.drains != 1 {
		t.Fatalf("%d drains", p.drains)
	}
	_, err = ordov1.NewStorageReadClient(reads).State(ctx, &ordov1.StateRequest{})
	expect("a read after Drain", err, codes.FailedPrecondition)
}

func ExampleScoreBy() {
	service := sdk.ScoreBy("tip", func(t sdk.Tx) uint64 { return t.Tip }, sdk.Version("1.0.0"))
	fmt.Println(service.Describe().GetName(), service.Describe().GetVersion(), service.Describe().GetStage())
	// Output: tip 1.0.0 STAGE_ORDERING
}

func BenchmarkScore(b *testing.B) {
	for _, n := range []int{1, 128} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			running := sdk.ScoreBy("tip", func(t sdk.Tx) uint64 { return t.Tip }).Run(hclog.NewNullLogger())
			server := grpc.NewServer(running.ServerOptions()...)
			running.Register(server)
			dir, err := os.MkdirTemp("", "ordo-")
			if err != nil {
				b.Fatal(err)
			}
			defer os.RemoveAll(dir)
			listener, err := net.Listen("unix", filepath.Join(dir, "s"))
			if err != nil {
				b.Fatal(err)
			}
			go func() { _ = server.Serve(listener) }()
			defer server.Stop()
			conn, err := sdk.Dial(filepath.Join(dir, "s"))
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			if _, err := ordov1.NewPluginClient(conn).Configure(b.Context(), &ordov1.ConfigureRequest{}); err != nil {
				b.Fatal(err)
			}
			req := &ordov1.ScoreRequest{}
			for range n {
				req.Transactions = append(req.Transactions, &ordov1.TransactionView{Hash: make([]byte, 32), Sender: make([]byte, 32), Tip: 5})
			}
			client := ordov1.NewOrderingClient(conn)
			for b.Loop() {
				if _, err := client.Score(b.Context(), req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// counting counts.
type counting struct{ settings }

func (c *counting) Counters() map[string]uint64 { return map[string]uint64{"calls": 3} }

// TestCountersAreTold: an operator sees in Describe what a part counts.
func TestCountersAreTold(t *testing.T) {
	if got := sdk.Ordering(sdk.Description{Name: "test"}, &counting{}).Describe().GetCounters(); len(got) != 1 || got["calls"] != 3 {
		t.Errorf("%v", got)
	}
	if got := sdk.Ordering(sdk.Description{Name: "test"}, &settings{}).Describe().GetCounters(); got != nil {
		t.Errorf("%v", got)
	}
}

// settings keeps the configuration that it was given.
type settings struct {
	ordov1.UnimplementedOrderingServer
	config string
}

func (s *settings) Configure(_ context.Context, setup *sdk.Setup) error {
	s.config = string(setup.Config)
	return nil
}

// TestDefaultsApply: a plugin is configured with what the operator wrote and the defaults of its schema for the rest.
func TestDefaultsApply(t *testing.T) {
	s := &settings{}
	running := sdk.Ordering(sdk.Description{Name: "test", ConfigSchema: `{"properties":{"max_run":{"type":"integer","default":2},"vip":{"type":"string"}}}`}, s).
		Run(hclog.NewNullLogger())
	resp, err := running.Configure(context.Background(), &ordov1.ConfigureRequest{Config: []byte(`{"vip":"x"}`)})
	if want := `{"max_run":2,"vip":"x"}`; err != nil || len(resp.GetDiagnostics()) > 0 || s.config != want {
		t.Fatalf("%s, want %s: %v %v", s.config, want, resp, err)
	}
}

// TestSchemaIsReadWhenTheServiceIsMade: the author of a broken schema is told at the first run, and not the operator.
func TestSchemaIsReadWhenTheServiceIsMade(t *testing.T) {
	for schema, want := range map[string]string{
		`{"type":`:                             `sdk: plugin "test": config schema: unexpected end of JSON input`,
		`{"properties":{"a":{"pattern":"x"}}}`: `sdk: plugin "test": config schema: a: the keyword "pattern" is not supported`,
	} {
		func() {
			defer func() {
				if text := fmt.Sprint(recover()); !strings.HasPrefix(text, want) {
					t.Errorf("%s: %s, want %s", schema, text, want)
				}
			}()
			sdk.Ordering(sdk.Description{Name: "test", ConfigSchema: schema}, &settings{})
		}()
	}
}

// oneEvent is a stream of consensus with one event.
type oneEvent struct {
	grpc.ServerStream
	event *ordov1.ConsensusEvent
}

func (o *oneEvent) Recv() (*ordov1.ConsensusEvent, error) {
	if o.event == nil {
		return nil, io.EOF
	}
	event := o.event
	o.event = nil
	return event, nil
}

func (o *oneEvent) Send(*ordov1.Actions) error { return nil }

// captor keeps what is registered, by the name of the service.
type captor map[string]any

func (c captor) RegisterService(d *grpc.ServiceDesc, served any) { c[d.ServiceName] = served }

// starter keeps the configuration of Start.
type starter struct{ config string }

func (s *starter) Step(event *ordov1.ConsensusEvent) []*ordov1.Action {
	s.config = string(event.GetStart().GetConfig())
	return nil
}

// TestStartHasTheDefaults: a hosted protocol reads the same configuration from Start as a part does from Configure.
func TestStartHasTheDefaults(t *testing.T) {
	s := &starter{}
	service := sdk.ServeProtocol(sdk.Description{Name: "test", ConfigSchema: `{"properties":{"n":{"type":"integer","default":2}}}`}, nil, func() sdk.Protocol { return s })
	served := captor{}
	service.Run(hclog.NewNullLogger()).Register(served)
	if err := served["ordo.v1.Consensus"].(ordov1.ConsensusServer).Run(&oneEvent{event: &ordov1.ConsensusEvent{Event: &ordov1.ConsensusEvent_Start_{Start: &ordov1.ConsensusEvent_Start{Height: 1}}}}); err != nil {
		t.Fatal(err)
	}
	if want := `{"n":2}`; s.config != want {
		t.Errorf("%s, want %s", s.config, want)
	}
}

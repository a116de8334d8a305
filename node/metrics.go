package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"

	"github.com/ordo-sequencer/ordo/core/host"
	"github.com/ordo-sequencer/ordo/core/rpc"
	"github.com/ordo-sequencer/ordo/sdk"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// metrics serves what a node counts, in Prometheus' format. Everything is read when it is asked for.
type metrics struct {
	listener net.Listener
	server   *http.Server
}

// scrapers is how many connections for metrics are open at a time; others wait.
const scrapers = 16

// listenMetrics takes the address; "" is no metrics.
func listenMetrics(ctx context.Context, address string) (*metrics, error) {
	if address == "" {
		return nil, nil
	}
	var l net.ListenConfig
	listener, err := l.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--metrics-addr %s: %w: choose another address, or none", address, err)
	}
	// A scraper that stalls, or a crowd of them, costs neither the descriptors that the chain needs nor a place for ever.
	return &metrics{listener: netutil.LimitListener(listener, scrapers), server: &http.Server{ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout: 5 * time.Second, WriteTimeout: 20 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}}, nil
}

func (s *metrics) serve(m *Node) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(newGauges(m), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if m.mesh != nil {
		registry.MustRegister(m.mesh.network.Collector())
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	s.server.Handler = named(mux, m.access(), m.config.MetricsAddr)
	if err := s.server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

// named serves what is asked for under a name that no foreign page can have: else a page could be loaded under its own name,
// which then points here, and read the metrics as its own. The name in the setting is one of the operator's.
func named(next http.Handler, access rpc.Access, listen string) http.Handler {
	if name, _, err := net.SplitHostPort(listen); err == nil && name != "" {
		access.Hosts = append(slices.Clip(access.Hosts), strings.ToLower(name))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !access.HostAllowed(r.Host) {
			http.Error(w, fmt.Sprintf("host %.80q: metrics are not served under this name: name it in rpc.allowed_hosts", r.Host), http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *metrics) close() {
	s.listener.Close()
	s.server.Close()
}

// gauges reads a machine.
type gauges struct {
	m *Node

	up, restarts, generation, calls, errors, messages, p99, counters, height, decided, round, waiting, journal *prometheus.Desc

	sockets, subscriptions, queued, refused, cut *prometheus.Desc
}

func newGauges(m *Node) *gauges {
	stage := []string{"stage", "plugin"}
	method := append(slices.Clip(stage), "method")
	return &gauges{
		m:          m,
		up:         prometheus.NewDesc("ordo_plugin_up", "1 when the stage's plugin is there and answers, else 0", stage, nil),
		restarts:   prometheus.NewDesc("ordo_plugin_restarts_total", "Times that the stage's plugin was started again", stage, nil),
		generation: prometheus.NewDesc("ordo_plugin_generation", "Which start of the stage is at work", stage, nil),
		calls:      prometheus.NewDesc("ordo_plugin_calls_total", "Calls of this instance of the plugin", method, nil),
		errors:     prometheus.NewDesc("ordo_plugin_call_errors_total", "Calls of this instance that ended with an error", method, nil),
		messages:   prometheus.NewDesc("ordo_plugin_messages_received_total", "Messages that this instance of the plugin has sent", method, nil),
		p99:        prometheus.NewDesc("ordo_plugin_response_seconds", "Time from a message to the next answer, in this instance", append(slices.Clip(method), "quantile"), nil),
		counters:   prometheus.NewDesc("ordo_plugin_counter", "What the plugin itself counts, by name; its page says what each means", append(slices.Clip(stage), "name"), nil),
		decided:    prometheus.NewDesc("ordo_chain_decided_height", "Number of the newest decided block", nil, nil),
		round:      prometheus.NewDesc("ordo_consensus_round", "Round of the height that is being decided", nil, nil),
		height:     prometheus.NewDesc("ordo_chain_height", "Number of the newest block with a root", nil, nil),
		waiting:    prometheus.NewDesc("ordo_pool_transactions", "Transactions that wait", nil, nil),
		journal:    prometheus.NewDesc("ordo_journal_bytes", "Size of the journal's files", nil, nil),

		sockets:       prometheus.NewDesc("ordo_rpc_sockets", "WebSockets that are open", nil, nil),
		subscriptions: prometheus.NewDesc("ordo_rpc_subscriptions", "Subscriptions of all WebSockets", nil, nil),
		queued:        prometheus.NewDesc("ordo_rpc_socket_waiting_bytes", "Notifications that wait to be sent", nil, nil),
		refused:       prometheus.NewDesc("ordo_rpc_sockets_refused_total", "WebSockets for which there was no place", nil, nil),
		cut:           prometheus.NewDesc("ordo_rpc_sockets_cut_total", "Subscribers that were cut off", []string{"reason"}, nil),
	}
}

func (g *gauges) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.up, g.restarts, g.generation, g.calls, g.errors, g.messages, g.p99, g.counters, g.height, g.decided, g.round, g.waiting, g.journal,
		g.sockets, g.subscriptions, g.queued, g.refused, g.cut} {
		to <- d
	}
}

func (g *gauges) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	// They begin at 0 with each instance of a plugin, as counters of a process do.
	count := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	round := uint64(g.m.driver.Round())
	for _, s := range g.m.sup.StageStatuses() {
		stage, name := sdk.StageName(s.Stage), s.Plugin.Info().GetName()
		up := 0.0
		if s.State == host.Up {
			up = 1
		}
		gauge(g.up, up, stage, name)
		count(g.restarts, float64(s.Restarts), stage, name)
		gauge(g.generation, float64(s.Plugin.Generation()), stage, name)
		for _, c := range s.Plugin.Stats() {
			count(g.calls, float64(c.Calls), stage, name, c.Method)
			count(g.errors, float64(c.Errors), stage, name, c.Method)
			count(g.messages, float64(c.Received), stage, name, c.Method)
			gauge(g.p99, c.P50.Seconds(), stage, name, c.Method, "0.5")
			gauge(g.p99, c.P99.Seconds(), stage, name, c.Method, "0.99")
		}
		if s.State != host.Up {
			continue
		}
		counted := counters(context.Background(), s.Plugin)
		if told, ok := counted[roundCounter]; ok && s.Stage == ordov1.Stage_STAGE_CONSENSUS {
			round = told
		}
		for _, key := range slices.Sorted(maps.Keys(counted)) {
			gauge(g.counters, float64(counted[key]), stage, name, key)
		}
	}
	gauge(g.round, float64(round))
	if next := g.m.driver.Chain().Next().GetNumber(); next > 0 {
		gauge(g.decided, float64(next-1))
	}
	gauge(g.height, float64(g.m.driver.Chain().Latest().GetContext().GetNumber()))
	gauge(g.waiting, float64(g.m.driver.Pending()))
	if g.m.journal != nil {
		gauge(g.journal, float64(g.m.journal.Stats().Bytes))
	}
	sockets := g.m.server.SocketStats()
	gauge(g.sockets, float64(sockets.Open))
	gauge(g.subscriptions, float64(sockets.Subscriptions))
	gauge(g.queued, float64(sockets.Waiting))
	count(g.refused, float64(sockets.Refused))
	for why, n := range sockets.Cut {
		count(g.cut, float64(n), string(why))
	}
}

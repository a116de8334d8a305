package network

import (
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// metric is one row of what a node's metrics say of the network.
type metric struct {
	name, help string
	labels     []string
	kind       prometheus.ValueType
	read       func(s *Stats, peers []PeerInfo, put func(value float64, labels ...string))
}

// total is a metric without labels.
func total(name, help string, kind prometheus.ValueType, read func(*Stats) float64) metric {
	return metric{name, help, nil, kind, func(s *Stats, _ []PeerInfo, put func(float64, ...string)) { put(read(s)) }}
}

// flows is a metric with a value for each class of frames.
func flows(name, help string, kind prometheus.ValueType, read func(FlowStats) float64) metric {
	return metric{name, help, []string{"class"}, kind, func(s *Stats, _ []PeerInfo, put func(float64, ...string)) {
		for _, f := range s.Traffic.Flows {
			put(read(f), f.Class)
		}
	}}
}

func metrics() []metric {
	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue
	return []metric{
		{"ordo_network_peers", "Peers in each state", []string{"state"}, gauge, func(s *Stats, _ []PeerInfo, put func(float64, ...string)) {
			for _, state := range slices.Sorted(maps.Keys(s.States)) {
				put(float64(s.States[state]), state)
			}
		}},
		{"ordo_network_peer_height", "Head of a linked peer, as it says", []string{"peer"}, gauge, func(_ *Stats, peers []PeerInfo, put func(float64, ...string)) {
			for _, p := range peers {
				if len(p.Links) > 0 && p.Links[0].Height != nil {
					put(float64(*p.Links[0].Height), p.ID.Short())
				}
			}
		}},
		flows("ordo_network_frames_received_total", "Frames of peers", counter, func(f FlowStats) float64 { return float64(f.FramesIn) }),
		flows("ordo_network_bytes_received_total", "Bytes of frames of peers", counter, func(f FlowStats) float64 { return float64(f.BytesIn) }),
		flows("ordo_network_frames_sent_total", "Frames that were sent to peers", counter, func(f FlowStats) float64 { return float64(f.FramesOut) }),
		flows("ordo_network_bytes_sent_total", "Bytes of frames that were sent to peers", counter, func(f FlowStats) float64 { return float64(f.BytesOut) }),
		flows("ordo_network_frames_dropped_total", "Frames that were not sent because the queue of the peer was full", counter, func(f FlowStats) float64 { return float64(f.Dropped) }),
		flows("ordo_network_queue_bytes", "Bytes that wait to be sent to peers", gauge, func(f FlowStats) float64 { return float64(f.Queued) }),
		{"ordo_network_useless_frames_total", "Frames of peers that had no effect, by reason", []string{"reason"}, counter, func(s *Stats, _ []PeerInfo, put func(float64, ...string)) {
			for _, reason := range slices.Sorted(maps.Keys(s.Traffic.Useless)) {
				put(float64(s.Traffic.Useless[reason]), reason)
			}
		}},
		total("ordo_network_early_messages_total", "Consensus messages too far above the head of this node", counter, func(s *Stats) float64 { return float64(s.Traffic.Early) }),
		total("ordo_network_inbound_dropped_total", "Transactions of peers that were dropped because too many waited for admission", counter, func(s *Stats) float64 { return float64(s.Traffic.InboundDropped) }),
		total("ordo_network_invalid_transactions_total", "Transactions of peers that are invalid", counter, func(s *Stats) float64 { return float64(s.Traffic.Invalid) }),
		total("ordo_network_body_bytes", "Bytes of proposals that are held", gauge, func(s *Stats) float64 { return float64(s.Bodies) }),
		total("ordo_network_bodies_evicted_total", "Proposals that were dropped because there was no room", counter, func(s *Stats) float64 { return float64(s.BodiesEvicted) }),
		total("ordo_network_dials_failed_total", "Attempts to dial that came to no link", counter, func(s *Stats) float64 { return float64(s.DialsFailed) }),
		total("ordo_network_handshakes_refused_total", "Handshakes that were refused", counter, func(s *Stats) float64 { return float64(s.Handshakes) }),
		total("ordo_network_strangers_total", "Connections that were closed before they showed a key", counter, func(s *Stats) float64 { return float64(s.Strangers) }),
		total("ordo_network_links_ended_total", "Links that have ended", counter, func(s *Stats) float64 { return float64(s.LinksLost) }),
		total("ordo_network_bans_total", "Bans of peers that misbehaved", counter, func(s *Stats) float64 { return float64(s.Bans) }),
		total("ordo_network_fetch_timeouts_total", "Requests that were given up", counter, func(s *Stats) float64 { return float64(s.FetchTimeouts) }),
		total("ordo_network_wrong_blocks_total", "Blocks of peers that did not verify in catch-up", counter, func(s *Stats) float64 { return float64(s.WrongBlocks) }),
		total("ordo_network_catch_up_height", "Height that catch-up waits for, 0 when it is not running", gauge, func(s *Stats) float64 { return float64(s.CatchUpHeight) }),
	}
}

// collector reads the counters of a network when they are asked for.
type collector struct {
	n    *Network
	rows []metric
	desc []*prometheus.Desc
}

// Collector has the metrics of the network, in Prometheus' form.
func (n *Network) Collector() prometheus.Collector {
	c := &collector{n: n, rows: metrics()}
	for _, m := range c.rows {
		c.desc = append(c.desc, prometheus.NewDesc(m.name, m.help, m.labels, nil))
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range c.desc {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	s, peers := c.n.Stats(), c.n.Peers()
	for i, m := range c.rows {
		m.read(&s, peers, func(value float64, labels ...string) {
			to <- prometheus.MustNewConstMetric(c.desc[i], m.kind, value, labels...)
		})
	}
}

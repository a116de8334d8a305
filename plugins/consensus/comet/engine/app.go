package engine

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/p2p"

	"github.com/ordo-sequencer/ordo/plugins/consensus/comet/block"
	"github.com/ordo-sequencer/ordo/plugins/consensus/comet/bridge"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"
)

// app is the application that CometBFT calls. An error of PrepareProposal or ProcessProposal ends its consensus. So they return one only
// when the core's stream has ended, and CometBFT ends too: an answer would become a proposal or a vote, and one that is signed and not
// written down keeps this validator from any other in its round.
type app struct {
	abci.BaseApplication
	settings *Settings
	session  *session
	stores   *stores
	counters *counters

	keys      map[string][]byte // of the validators, by CometBFT's address
	peers     map[p2p.ID]bool
	replayed  int64        // Info: up to here the core has everything
	finalized int64        // the newest height of FinalizeBlock; of the consensus connection
	committed atomic.Int64 // the newest height of Commit
	heard     heard
	inSync    func() bool     // whether block sync, which takes no error, is at work
	refused   map[string]bool // nodes that the log has named; of the query connection
}

// maxRefused bounds how many nodes the log names: a stranger makes as many as it likes.
const maxRefused = 100

func (a *app) Info(context.Context, *abci.RequestInfo) (*abci.ResponseInfo, error) {
	return &abci.ResponseInfo{Data: "ordo", LastBlockHeight: a.replayed, LastBlockAppHash: appHash}, nil
}

func (a *app) InitChain(context.Context, *abci.RequestInitChain) (*abci.ResponseInitChain, error) {
	return &abci.ResponseInitChain{AppHash: appHash}, nil
}

// Query answers CometBFT's question whether a connection of a node is taken.
func (a *app) Query(_ context.Context, q *abci.RequestQuery) (*abci.ResponseQuery, error) {
	if id, ok := strings.CutPrefix(q.Path, "/p2p/filter/id/"); ok && !a.settings.AcceptUnknown && !a.peers[p2p.ID(id)] {
		if len(a.refused) < maxRefused && !a.refused[id] {
			a.refused[id] = true
			a.settings.Log.Warn("a node that is not among the peers is refused (peers, accept_unknown_peers)", "id", id)
		}
		return &abci.ResponseQuery{Code: 1, Log: "not among the peers"}, nil
	}
	return &abci.ResponseQuery{}, nil
}

// CheckTx lets bells into the mempool, each for its height.
func (a *app) CheckTx(_ context.Context, r *abci.RequestCheckTx) (*abci.ResponseCheckTx, error) {
	if rings(r.Tx, a.committed.Load()) {
		a.heard.add(r.Tx)
		return &abci.ResponseCheckTx{}, nil
	}
	return &abci.ResponseCheckTx{Code: 1}, nil
}

func (a *app) PrepareProposal(_ context.Context, r *abci.RequestPrepareProposal) (*abci.ResponsePrepareProposal, error) {
	answer, err := a.session.ask(a.settings.prepareLimit(), func(call uint64) bridge.Input {
		return bridge.Prepare{Call: call, Round: a.counters.roundOf(r.Height), MaxBytes: int(r.MaxTxBytes), Wanted: slices.ContainsFunc(r.Txs, wishes)}
	})
	if err != nil {
		return nil, err
	}
	if answer.Payload == nil {
		return &abci.ResponsePrepareProposal{}, nil
	}
	return &abci.ResponsePrepareProposal{Txs: answer.Payload.Transactions()}, nil
}

func (a *app) ProcessProposal(_ context.Context, r *abci.RequestProcessProposal) (*abci.ResponseProcessProposal, error) {
	payload, err := block.Read(r.Txs)
	if err != nil {
		a.settings.Log.Warn("a proposal is rejected", "proposer", hex.EncodeToString(a.key(r.ProposerAddress)), "reason", err)
		a.counters.rejected.Add(1)
		return &abci.ResponseProcessProposal{Status: abci.ResponseProcessProposal_REJECT}, nil
	}
	answer, err := a.session.ask(a.settings.TimeoutValidate, func(call uint64) bridge.Input {
		return bridge.Process{Call: call, Round: a.counters.roundOf(r.Height), Payload: payload, From: a.key(r.ProposerAddress)}
	})
	if err != nil {
		return nil, err
	}
	if !answer.Accept {
		a.counters.rejected.Add(1)
		return &abci.ResponseProcessProposal{Status: abci.ResponseProcessProposal_REJECT}, nil
	}
	return &abci.ResponseProcessProposal{Status: abci.ResponseProcessProposal_ACCEPT}, nil
}

func (a *app) FinalizeBlock(_ context.Context, r *abci.RequestFinalizeBlock) (*abci.ResponseFinalizeBlock, error) {
	if err := a.finalize(r); err != nil {
		if a.inSync() {
			// Block sync would end the process with a panic. The engine ends it, in order.
			select {}
		}
		return nil, err
	}
	a.finalized = r.Height
	a.counters.height.Store(uint64(r.Height))
	if len(r.Txs) == 0 {
		a.counters.empty.Add(1)
	}
	response := &abci.ResponseFinalizeBlock{AppHash: appHash, TxResults: make([]*abci.ExecTxResult, len(r.Txs))}
	for i := range response.TxResults {
		response.TxResults[i] = &abci.ExecTxResult{}
	}
	return response, nil
}

func (a *app) finalize(r *abci.RequestFinalizeBlock) error {
	payload, err := block.Read(r.Txs)
	var certificate []byte
	var round uint32
	if err == nil && payload != nil {
		certificate, round, err = a.stores.certificate(r.Height, payload.Body)
	}
	if err != nil {
		a.session.halt(fmt.Sprintf("comet: the validators decided a block at CometBFT's height %d that cannot be handed over: %v", r.Height, err))
		<-a.session.ended
		return errEnded
	}
	var reports []*ordov1.Action_Report
	for i := range r.Misbehavior {
		reports = append(reports, a.report(&r.Misbehavior[i]))
	}
	_, err = a.session.ask(0, func(call uint64) bridge.Input {
		return bridge.Finalize{Call: call, Round: round, Payload: payload, From: a.key(r.ProposerAddress), Certificate: certificate, Reports: reports}
	})
	return err
}

// report is what the operator is told of a validator's misbehaviour.
func (a *app) report(m *abci.Misbehavior) *ordov1.Action_Report {
	a.counters.reports.Add(1)
	kind := "double-vote"
	if m.Type == abci.MisbehaviorType_LIGHT_CLIENT_ATTACK {
		kind = "light-client-attack"
	}
	raw, err := m.Marshal()
	if err != nil {
		raw = []byte(err.Error())
	}
	return &ordov1.Action_Report{Kind: kind, About: a.key(m.Validator.Address), Data: raw}
}

func (a *app) Commit(context.Context, *abci.RequestCommit) (*abci.ResponseCommit, error) {
	a.committed.Store(a.finalized)
	a.session.step(bridge.Committed{}, 0)
	return &abci.ResponseCommit{}, nil // keeps all blocks: a node that was away fetches them
}

// key is the public key of a validator.
func (a *app) key(address []byte) []byte { return a.keys[string(address)] }

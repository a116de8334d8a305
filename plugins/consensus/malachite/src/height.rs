//! One height: Malachite's state, its effects, and what is asked of the core for it.

use std::collections::BTreeMap;

use malachite::gen::{CoResult, Gen};
use malachite::{
    ConsensusMsg, Effect, Error, Input, LivenessMsg, MisbehaviorEvidence, Resumable as _, Resume, SignedConsensusMsg,
    State,
};
use malachite_types::{CommitCertificate, Round, SignedProposal, SignedVote, Timeout, TimeoutKind, Validity};
use ordo_sdk::bytes::Bytes;
use ordo_sdk::consensus::{Decided, Event, Persist, Report, Send, Sign};
use ordo_sdk::tracing::{debug, warn};
use prost::Message as _;

use crate::blocks::Blocks;
use crate::context::{milliseconds, Address, Id, Ordo};
use crate::messages::{Content, Entry, Intent, Item, Message, Record};
use crate::node::Node;
use crate::signatures::Signatures;
use crate::timers::Kind;
use crate::wire;

/// Why Malachite's work ends before its end.
#[derive(Debug)]
pub enum Stop {
    /// The height was decided by others while a signature was awaited, and what was begun has no effect.
    Decided(Decided),
    /// To go on would break the chain.
    Halted(String),
}

/// All of a height but Malachite's own state.
pub struct Height<'a> {
    pub node: &'a mut Node,
    pub number: u64,
    own: Address,
    signatures: Signatures,
    pub blocks: Blocks,
    /// Inputs of Malachite's log that are not persisted yet.
    log: Vec<Entry>,
    /// What was asked to be signed before a restart, while the log is replayed; then None.
    pub replaying: Option<BTreeMap<(u32, u32), Bytes>>,
    outbox: Message,
    /// Malachite wants a block for this round.
    pub wanted: Option<Round>,
    pub decision: Option<CommitCertificate<Ordo>>,
    /// The core was told of the decision.
    pub concluded: bool,
}

impl<'a> Height<'a> {
    pub fn new(node: &'a mut Node, own: Address, number: u64) -> Self {
        let signatures = Signatures::new(&node.chain_id, &node.scheme, node.set.clone(), number);
        Self {
            number,
            own,
            signatures,
            blocks: Blocks::default(),
            log: Vec::new(),
            replaying: None,
            outbox: Message { height: number, ..Default::default() },
            wanted: None,
            decision: None,
            concluded: false,
            node,
        }
    }

    /// Has Malachite process an input, to the end.
    pub async fn process(&mut self, state: &mut State<Ordo>, input: Input<Ordo>) -> Result<(), Stop> {
        let mut work = Gen::new(|co| malachite::handle(co, state, &(), input));
        let mut result = work.resume_with(Resume::Start);
        loop {
            match result {
                CoResult::Yielded(effect) => result = work.resume_with(self.effect(effect).await?),
                CoResult::Complete(Ok(())) => return Ok(()),
                CoResult::Complete(Err(error @ (Error::ReplayDivergence(..) | Error::WalCorrupted(_)))) => {
                    return Err(Stop::Halted(error.to_string()))
                }
                CoResult::Complete(Err(error)) => {
                    warn!(height = self.number, cause = %error, "malachite: an input is dropped");
                    return Ok(());
                }
            }
        }
    }

    async fn effect(&mut self, effect: Effect<Ordo>) -> Result<Resume<Ordo>, Stop> {
        Ok(match effect {
            Effect::CancelAllTimeouts(resume) => {
                self.node.timers.cancel_all(&self.node.host, |kind| kind != Kind::Retry);
                resume.resume_with(())
            }
            Effect::CancelTimeout(timeout, resume) => {
                self.node.timers.cancel(&self.node.host, Kind::Core(timeout));
                resume.resume_with(())
            }
            Effect::ScheduleTimeout(timeout, resume) => {
                self.schedule(timeout);
                resume.resume_with(())
            }
            Effect::StartRound(_, round, proposer, _, resume) => {
                debug!(height = self.number, round = round.as_i64(), proposer = proposer.0, "a round begins");
                resume.resume_with(())
            }
            Effect::PublishConsensusMsg(message, resume) => {
                self.publish(message);
                resume.resume_with(())
            }
            Effect::PublishLivenessMsg(message, resume) => {
                self.send(match message {
                    LivenessMsg::Vote(vote) => Content::Vote(wire::vote(&vote)),
                    LivenessMsg::PolkaCertificate(polka) => Content::Polka(wire::polka(&polka)),
                    LivenessMsg::SkipRoundCertificate(round) => {
                        Content::RoundCertificate(wire::round_certificate(&round))
                    }
                });
                resume.resume_with(())
            }
            Effect::RepublishVote(vote, resume) => {
                if !vote.signature.is_empty() {
                    self.outbox.again = true;
                    self.send(Content::Vote(wire::vote(&vote)));
                }
                resume.resume_with(())
            }
            Effect::RepublishRoundCertificate(round, resume) => {
                self.outbox.again = true;
                self.send(Content::RoundCertificate(wire::round_certificate(&round)));
                resume.resume_with(())
            }
            Effect::GetValue(_, round, _, resume) => {
                self.wanted = Some(round);
                resume.resume_with(())
            }
            // Peers fetch the body by its value, from any core that has it.
            Effect::RestreamProposal(.., resume) => resume.resume_with(()),
            Effect::Decide(certificate, _, resume) => {
                self.decision = Some(certificate);
                resume.resume_with(())
            }
            Effect::Finalize(_, _, evidence, resume) => {
                self.report(&evidence);
                resume.resume_with(())
            }
            Effect::SignVote(vote, resume) => {
                let signature = self.sign(wire::vote_intent(&vote)).await?;
                let vote: SignedVote<Ordo> = SignedVote::new(vote, signature);
                if !vote.signature.is_empty() {
                    self.send(Content::Vote(wire::vote(&vote)));
                }
                resume.resume_with(vote)
            }
            Effect::SignProposal(proposal, resume) => {
                let signature = self.sign(wire::proposal_intent(&proposal)).await?;
                let proposal: SignedProposal<Ordo> = SignedProposal::new(proposal, signature);
                if !proposal.signature.is_empty() {
                    self.send(Content::Proposal(wire::proposal(&proposal)));
                }
                resume.resume_with(proposal)
            }
            Effect::VerifySignature(message, _, resume) => {
                let replayed = self.replaying.is_some() && !message.signature.is_empty(); // it was checked before it was logged
                let right = replayed
                    || match message.message {
                        ConsensusMsg::Vote(vote) => self.signatures.vote(&vote, &message.signature),
                        ConsensusMsg::Proposal(proposal) => {
                            self.signatures.proposal(&SignedProposal::new(proposal, message.signature))
                        }
                    };
                resume.resume_with(right)
            }
            Effect::VerifyCommitCertificate(certificate, _, _, resume) => {
                resume.resume_with(self.signatures.commit(&certificate))
            }
            Effect::VerifyPolkaCertificate(certificate, _, _, resume) => {
                resume.resume_with(self.signatures.polka(&certificate))
            }
            Effect::VerifyRoundCertificate(certificate, _, _, resume) => {
                resume.resume_with(self.signatures.round(&certificate))
            }
            Effect::WalAppend(_, input, resume) => {
                self.note(&input);
                resume.resume_with(())
            }
            // Blocks of others are fetched by the core, and votes carry no extension: these do not come.
            Effect::VerifyExtendedCommitCertificate(certificate, _, _, _, resume) => {
                resume.resume_with(self.signatures.commit(&certificate.trim_vote_extensions()))
            }
            Effect::CertVerifiedSyncValue(.., resume) => resume.resume_with(()),
            Effect::CertRejectedSyncValue(.., resume) => resume.resume_with(()),
            Effect::ExtendVote(.., resume) => resume.resume_with(None),
            Effect::VerifyVoteExtension(.., resume) => {
                resume.resume_with(Err(malachite::VoteExtensionError::InvalidVoteExtension))
            }
        })
    }

    fn schedule(&mut self, timeout: Timeout) {
        let after_ms = match timeout.kind {
            TimeoutKind::Rebroadcast => self.node.config.resend_ms, // in late rounds too: only the others can end them
            _ => milliseconds(self.node.timeouts.duration_for(timeout)),
        };
        self.node.timers.set(&self.node.host, Kind::Core(timeout), after_ms);
    }

    /// Has the core sign. What led to it is durable before: after a restart the same is said again, and nothing else. The signature is empty when
    /// the core has signed something else.
    async fn sign(&mut self, intent: Intent) -> Result<Bytes, Stop> {
        let slot = (intent.kind, intent.round);
        let recorded = self.replaying.as_ref().and_then(|before| before.get(&slot)).cloned();
        if recorded.as_ref().is_some_and(|data| *data != intent.data) {
            return Err(Stop::Halted(format!(
                "height {}: what was recorded before the restart leads to another signature of kind {} in round {} than before: the log of \
                 consensus in the data folder is not the one that this program wrote",
                self.number, intent.kind, intent.round
            )));
        }
        self.flush(); // what was signed before does not wait for the disk
        if recorded.is_none() {
            let record = Record { entries: std::mem::take(&mut self.log), intent: Some(intent.clone()) };
            self.node.host.act(Persist { data: record.encode_to_vec().into(), lasting: false });
        }
        self.node.signing += 1;
        let id = self.node.signing;
        self.node.host.act(Sign { id, kind: intent.kind, round: intent.round, data: intent.data.clone() });
        let signature = loop {
            let input = self.node.host.next().await;
            match input.event {
                Event::Signed(signed) if signed.id == id => break signed.signature,
                Event::Signed(_) => {} // of a height before
                Event::Decided(decided) => return Err(Stop::Decided(decided)),
                _ => self.node.backlog.push_back(input), // it was on its way before the core knew of this Sign
            }
        };
        if signature.is_empty() {
            warn!(
                height = self.number,
                round = intent.round,
                kind = intent.kind,
                "the core refuses a signature: this node says nothing here"
            );
        } else {
            self.signatures.made(self.own, &intent, &signature);
        }
        Ok(signature)
    }

    /// Sets the timer after which what failed is tried again.
    pub fn retry(&mut self) {
        self.node.timers.set(&self.node.host, Kind::Retry, self.node.config.resend_ms);
    }

    /// Takes an input that Malachite logs.
    fn note(&mut self, input: &Input<Ordo>) {
        match input {
            Input::Proposal(proposal) => {
                self.blocks.proposed(proposal.id, proposal.round);
                if self.replaying.is_some() && proposal.proposer == self.own {
                    self.send(Content::Proposal(wire::proposal(proposal))); // others may have missed it
                }
            }
            Input::ProposedValue(value, _) if self.replaying.is_some() => {
                self.blocks.remember(value.value, value.validity == Validity::Valid);
            }
            _ => {}
        }
        if self.replaying.is_none() {
            self.log.extend(wire::entry(input));
        }
    }

    /// Sends what Malachite publishes. This node's own messages were sent when they were signed.
    fn publish(&mut self, message: SignedConsensusMsg<Ordo>) {
        match message {
            SignedConsensusMsg::Vote(vote) if vote.signer != self.own => self.send(Content::Vote(wire::vote(&vote))),
            SignedConsensusMsg::Proposal(proposal) if proposal.proposer != self.own => {
                self.send(Content::Proposal(wire::proposal(&proposal)));
            }
            _ => {}
        }
    }

    fn send(&mut self, content: Content) {
        self.outbox.items.push(Item { content: Some(content) });
    }

    /// Tells the others that this node has begun the height.
    pub fn wake(&mut self) {
        self.outbox.wake = true;
        self.outbox.demand = self.node.demanded;
    }

    /// Sends what has gathered, as one message.
    pub fn flush(&mut self) {
        if self.outbox.items.is_empty() && !self.outbox.wake {
            return;
        }
        let message = std::mem::replace(&mut self.outbox, Message { height: self.number, ..Default::default() });
        self.node.host.act(Send { to: Bytes::new(), data: message.encode_to_vec().into() });
    }

    /// Reports what validators did, as evidence.
    pub fn report(&mut self, evidence: &MisbehaviorEvidence<Ordo>) {
        let report = |kind: &str, about: Address, items: Vec<Content>| {
            let Some(validator) = self.node.set.get(about) else { return };
            let items = items.into_iter().map(|content| Item { content: Some(content) }).collect();
            let data = Message { height: self.number, items, ..Default::default() }.encode_to_vec().into();
            self.node.host.act(Report { kind: kind.into(), about: validator.key.clone(), data });
        };
        for (address, pairs) in evidence.votes.iter() {
            if let Some((one, other)) = pairs.first() {
                report("double-vote", *address, vec![Content::Vote(wire::vote(one)), Content::Vote(wire::vote(other))]);
            }
        }
        for (address, pairs) in evidence.proposals.iter() {
            if let Some((one, other)) = pairs.first() {
                let both = vec![Content::Proposal(wire::proposal(one)), Content::Proposal(wire::proposal(other))];
                report("double-proposal", *address, both);
            }
        }
    }

    /// The id of a block that this node has built.
    pub fn own_id(&self, value: &[u8]) -> Option<Id> {
        Id::new(value, self.own)
    }

    pub fn proposes(&self, state: &State<Ordo>) -> bool {
        self.wanted == Some(state.round()) && state.driver.step_is_propose()
    }
}

//! Messages, records and certificates as bytes: small protobuf messages, and what they are in Malachite's terms.
//!
//! What cannot be read is an error or nothing, never a panic: messages and certificates are from other nodes.

use malachite::Input;
use malachite_types::{
    CommitCertificate, CommitSignature, NilOrVal, PolkaCertificate, PolkaSignature, Round, RoundCertificate,
    RoundCertificateType, RoundSignature, SignedProposal, SignedVote, Timeout, TimeoutKind, Validity, ValueOrigin,
    VoteType,
};
use ordo_sdk::bytes::Bytes;
use prost::Message as _;

use crate::context::{Address, Height, Id, Ordo, Proposal, Vote};

/// Kinds of Sign.
pub const PROPOSAL: u32 = 1;
pub const PREVOTE: u32 = 2;
pub const PRECOMMIT: u32 = 3;

/// A message of a validator about one height.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Message {
    #[prost(uint64, tag = "1")]
    pub height: u64,
    #[prost(message, repeated, tag = "2")]
    pub items: Vec<Item>,
    /// The sender has begun the height because there is something to put in a block.
    #[prost(bool, tag = "3")]
    pub wake: bool,
    /// Its operator wants a block, empty if need be.
    #[prost(bool, tag = "4")]
    pub demand: bool,
    /// Votes are sent again: the sender waits for those of others.
    #[prost(bool, tag = "5")]
    pub again: bool,
    /// It answers such a message; no message answers it.
    #[prost(bool, tag = "6")]
    pub help: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Item {
    #[prost(oneof = "Content", tags = "1, 2, 3, 4")]
    pub content: Option<Content>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Content {
    #[prost(message, tag = "1")]
    Vote(VoteWire),
    #[prost(message, tag = "2")]
    Proposal(ProposalWire),
    #[prost(message, tag = "3")]
    Polka(PolkaWire),
    #[prost(message, tag = "4")]
    RoundCertificate(RoundCertificateWire),
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct VoteWire {
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    #[prost(uint32, tag = "2")]
    pub round: u32,
    /// Empty: for no block.
    #[prost(bytes = "bytes", tag = "3")]
    pub id: Bytes,
    #[prost(uint32, tag = "4")]
    pub signer: u32,
    #[prost(bytes = "bytes", tag = "5")]
    pub signature: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ProposalWire {
    #[prost(uint32, tag = "1")]
    pub round: u32,
    #[prost(uint32, optional, tag = "2")]
    pub pol_round: Option<u32>,
    #[prost(bytes = "bytes", tag = "3")]
    pub id: Bytes,
    #[prost(uint32, tag = "4")]
    pub signer: u32,
    #[prost(bytes = "bytes", tag = "5")]
    pub signature: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct PolkaWire {
    #[prost(uint32, tag = "1")]
    pub round: u32,
    #[prost(bytes = "bytes", tag = "2")]
    pub id: Bytes,
    #[prost(message, repeated, tag = "3")]
    pub signatures: Vec<SignatureWire>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct RoundCertificateWire {
    #[prost(uint32, tag = "1")]
    pub round: u32,
    /// More than 2/3 precommits of the round, which is over; else more than 1/3 votes of it.
    #[prost(bool, tag = "2")]
    pub precommits: bool,
    #[prost(message, repeated, tag = "3")]
    pub votes: Vec<VoteWire>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct SignatureWire {
    #[prost(uint32, tag = "1")]
    pub signer: u32,
    #[prost(bytes = "bytes", tag = "2")]
    pub signature: Bytes,
}

/// The certificate of a decision: precommits of one round.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CertificateWire {
    #[prost(uint32, tag = "1")]
    pub round: u32,
    #[prost(bytes = "bytes", tag = "2")]
    pub id: Bytes,
    #[prost(message, repeated, tag = "3")]
    pub signatures: Vec<SignatureWire>,
}

/// What is persisted before a signature is asked for: the inputs since the record before, and what is to be signed.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Record {
    #[prost(message, repeated, tag = "1")]
    pub entries: Vec<Entry>,
    #[prost(message, optional, tag = "2")]
    pub intent: Option<Intent>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Entry {
    #[prost(oneof = "Logged", tags = "1, 2, 3, 4, 5")]
    pub content: Option<Logged>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Logged {
    #[prost(message, tag = "1")]
    Vote(VoteWire),
    #[prost(message, tag = "2")]
    Proposal(ProposalWire),
    #[prost(message, tag = "3")]
    Polka(PolkaWire),
    #[prost(message, tag = "4")]
    Timeout(TimeoutWire),
    #[prost(message, tag = "5")]
    Value(ValueWire),
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct TimeoutWire {
    /// 1 propose, 2 prevote, 3 precommit.
    #[prost(uint32, tag = "1")]
    pub step: u32,
    #[prost(uint32, tag = "2")]
    pub round: u32,
}

/// A verdict of the core about a block.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ValueWire {
    #[prost(uint32, tag = "1")]
    pub round: u32,
    #[prost(bytes = "bytes", tag = "2")]
    pub id: Bytes,
    #[prost(bool, tag = "3")]
    pub valid: bool,
}

/// What a Sign asks for.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Intent {
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    #[prost(uint32, tag = "2")]
    pub round: u32,
    #[prost(bytes = "bytes", tag = "3")]
    pub data: Bytes,
}

fn number(round: Round) -> u32 {
    round.as_u32().unwrap_or_default()
}

fn bytes(id: &Id) -> Bytes {
    Bytes::copy_from_slice(&id.0)
}

fn address(signer: u32) -> Option<Address> {
    u16::try_from(signer).ok().map(Address)
}

/// A round of a message. The largest number is none: Malachite counts one further.
fn round(number: u32) -> Option<Round> {
    (number < u32::MAX).then_some(Round::new(number))
}

fn kind(of: VoteType) -> u32 {
    match of {
        VoteType::Prevote => PREVOTE,
        VoteType::Precommit => PRECOMMIT,
    }
}

pub fn vote_intent(vote: &Vote) -> Intent {
    let data = match &vote.id {
        NilOrVal::Nil => Bytes::new(),
        NilOrVal::Val(id) => bytes(id),
    };
    Intent { kind: kind(vote.kind), round: number(vote.round), data }
}

/// A proposal says the round in which the block had 2/3 of the prevotes (4 bytes; all ones: in none), and its id.
pub fn proposal_intent(proposal: &Proposal) -> Intent {
    let mut data = proposal.pol_round.as_u32().unwrap_or(u32::MAX).to_be_bytes().to_vec();
    data.extend_from_slice(&proposal.id.0);
    Intent { kind: PROPOSAL, round: number(proposal.round), data: data.into() }
}

pub fn vote(vote: &SignedVote<Ordo>) -> VoteWire {
    let Intent { kind, round, data } = vote_intent(&vote.message);
    VoteWire { kind, round, id: data, signer: vote.signer.0.into(), signature: vote.signature.clone() }
}

pub fn read_vote(height: u64, wire: VoteWire) -> Option<SignedVote<Ordo>> {
    let kind = match wire.kind {
        PREVOTE => VoteType::Prevote,
        PRECOMMIT => VoteType::Precommit,
        _ => return None,
    };
    let id = if wire.id.is_empty() { NilOrVal::Nil } else { NilOrVal::Val(Id::read(&wire.id)?) };
    let vote = Vote { kind, height: Height(height), round: round(wire.round)?, id, signer: address(wire.signer)? };
    Some(SignedVote::new(vote, wire.signature))
}

pub fn proposal(proposal: &SignedProposal<Ordo>) -> ProposalWire {
    ProposalWire {
        round: number(proposal.round),
        pol_round: proposal.pol_round.as_u32(),
        id: bytes(&proposal.id),
        signer: proposal.proposer.0.into(),
        signature: proposal.signature.clone(),
    }
}

pub fn read_proposal(height: u64, wire: ProposalWire) -> Option<SignedProposal<Ordo>> {
    let proposal = Proposal {
        height: Height(height),
        round: round(wire.round)?,
        id: Id::read(&wire.id)?,
        pol_round: wire.pol_round.map_or(Some(Round::Nil), round)?,
        proposer: address(wire.signer)?,
    };
    Some(SignedProposal::new(proposal, wire.signature))
}

fn signature(of: Address, signature: &Bytes) -> SignatureWire {
    SignatureWire { signer: of.0.into(), signature: signature.clone() }
}

pub fn polka(polka: &PolkaCertificate<Ordo>) -> PolkaWire {
    let signatures = polka.polka_signatures.iter().map(|one| signature(one.address, &one.signature)).collect();
    PolkaWire { round: number(polka.round), id: bytes(&polka.value_id), signatures }
}

pub fn read_polka(height: u64, wire: PolkaWire) -> Option<PolkaCertificate<Ordo>> {
    let signatures =
        wire.signatures.into_iter().map(|one| Some(PolkaSignature::new(address(one.signer)?, one.signature)));
    Some(PolkaCertificate {
        height: Height(height),
        round: round(wire.round)?,
        value_id: Id::read(&wire.id)?,
        polka_signatures: signatures.collect::<Option<_>>()?,
    })
}

pub fn round_certificate(certificate: &RoundCertificate<Ordo>) -> RoundCertificateWire {
    let votes = certificate.votes(&Ordo).map(|signed| vote(&signed)).collect();
    let precommits = certificate.cert_type == RoundCertificateType::Precommit;
    RoundCertificateWire { round: number(certificate.round), precommits, votes }
}

pub fn read_round_certificate(height: u64, wire: RoundCertificateWire) -> Option<RoundCertificate<Ordo>> {
    let round_signatures = wire.votes.into_iter().map(|one| {
        let vote = read_vote(height, one).filter(|vote| vote.round.as_u32() == Some(wire.round))?;
        Some(RoundSignature::new(vote.kind, vote.id, vote.signer, vote.signature.clone()))
    });
    Some(RoundCertificate {
        height: Height(height),
        round: round(wire.round)?,
        cert_type: if wire.precommits { RoundCertificateType::Precommit } else { RoundCertificateType::Skip },
        round_signatures: round_signatures.collect::<Option<_>>()?,
    })
}

pub fn certificate(certificate: &CommitCertificate<Ordo>) -> Vec<u8> {
    let signatures = certificate.commit_signatures.iter().map(|one| signature(one.address, &one.signature)).collect();
    CertificateWire { round: number(certificate.round), id: bytes(&certificate.value_id), signatures }.encode_to_vec()
}

pub fn read_certificate(height: u64, text: &[u8]) -> Option<CommitCertificate<Ordo>> {
    let wire = CertificateWire::decode(text).ok()?;
    let signatures =
        wire.signatures.into_iter().map(|one| Some(CommitSignature::new(address(one.signer)?, one.signature)));
    Some(CommitCertificate {
        height: Height(height),
        round: round(wire.round)?,
        value_id: Id::read(&wire.id)?,
        commit_signatures: signatures.collect::<Option<_>>()?,
    })
}

/// An input of Malachite's log as an entry. None: it is not of those that it logs.
pub fn entry(input: &Input<Ordo>) -> Option<Entry> {
    let content = match input {
        Input::Vote(one) => Logged::Vote(vote(one)),
        Input::Proposal(one) => Logged::Proposal(proposal(one)),
        Input::PolkaCertificate(one) => Logged::Polka(polka(one)),
        Input::TimeoutElapsed(timeout) => {
            let step = match timeout.kind {
                TimeoutKind::Propose => 1,
                TimeoutKind::Prevote => 2,
                TimeoutKind::Precommit => 3,
                TimeoutKind::Rebroadcast | TimeoutKind::FinalizeHeight(_) => return None,
            };
            Logged::Timeout(TimeoutWire { step, round: number(timeout.round) })
        }
        Input::ProposedValue(value, _) => Logged::Value(ValueWire {
            round: number(value.round),
            id: bytes(&value.value),
            valid: value.validity.is_valid(),
        }),
        _ => return None,
    };
    Some(Entry { content: Some(content) })
}

/// An entry as the input that it was.
pub fn read_entry(height: u64, entry: Entry) -> Option<Input<Ordo>> {
    Some(match entry.content? {
        Logged::Vote(wire) => Input::Vote(read_vote(height, wire)?),
        Logged::Proposal(wire) => Input::Proposal(read_proposal(height, wire)?),
        Logged::Polka(wire) => Input::PolkaCertificate(read_polka(height, wire)?),
        Logged::Timeout(wire) => Input::TimeoutElapsed(match wire.step {
            1 => Timeout::propose(round(wire.round)?),
            2 => Timeout::prevote(round(wire.round)?),
            3 => Timeout::precommit(round(wire.round)?),
            _ => return None,
        }),
        Logged::Value(wire) => {
            let id = Id::read(&wire.id)?;
            Input::ProposedValue(proposed(height, round(wire.round)?, id, wire.valid), ValueOrigin::Consensus)
        }
    })
}

/// What the core found of a block, as Malachite takes it.
pub fn proposed(height: u64, round: Round, id: Id, valid: bool) -> malachite::ProposedValue<Ordo> {
    malachite::ProposedValue {
        height: Height(height),
        round,
        valid_round: Round::Nil,
        proposer: id.builder(),
        value: id,
        validity: Validity::from_bool(valid),
    }
}

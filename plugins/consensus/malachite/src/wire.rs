//! What messages, records and certificates are in Malachite's terms.
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
use crate::messages::{
    CertificateWire, Entry, Intent, Logged, PolkaWire, ProposalWire, RoundCertificateWire, SignatureWire, TimeoutWire,
    ValueWire, VoteWire,
};

/// Kinds of Sign.
pub const PROPOSAL: u32 = 1;
pub const PREVOTE: u32 = 2;
pub const PRECOMMIT: u32 = 3;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::Record;

    const ID: [u8; 34] = [7; 34];

    fn signed(kind: VoteType, id: NilOrVal<Id>) -> SignedVote<Ordo> {
        let vote = Vote { kind, height: Height(5), round: Round::new(2), id, signer: Address(1) };
        SignedVote::new(vote, Bytes::from_static(b"signature"))
    }

    fn inputs() -> Vec<Input<Ordo>> {
        let id = Id(ID);
        let votes = vec![signed(VoteType::Prevote, NilOrVal::Val(id)), signed(VoteType::Prevote, NilOrVal::Nil)];
        let proposals = [Round::Nil, Round::new(1)].map(|pol_round| {
            let proposal = Proposal { height: Height(5), round: Round::new(2), id, pol_round, proposer: Address(1) };
            Input::Proposal(SignedProposal::new(proposal, Bytes::from_static(b"signature")))
        });
        let polka = PolkaCertificate::new(Height(5), Round::new(2), id, votes.clone());
        let mut all = vec![
            Input::Vote(signed(VoteType::Precommit, NilOrVal::Nil)),
            Input::PolkaCertificate(polka),
            Input::TimeoutElapsed(Timeout::propose(Round::new(2))),
            Input::TimeoutElapsed(Timeout::prevote(Round::new(2))),
            Input::TimeoutElapsed(Timeout::precommit(Round::new(2))),
            Input::ProposedValue(proposed(5, Round::new(2), id, false), ValueOrigin::Consensus),
        ];
        all.extend(votes.into_iter().map(Input::Vote));
        all.extend(proposals);
        all
    }

    #[test]
    fn what_is_logged_comes_back_as_it_was() {
        for input in inputs() {
            let text = Record { entries: vec![entry(&input).unwrap()], intent: None }.encode_to_vec();
            let record = Record::decode(&text[..]).unwrap();
            assert_eq!(read_entry(5, record.entries[0].clone()), Some(input));
        }
        assert_eq!(entry(&Input::TimeoutElapsed(Timeout::rebroadcast(Round::new(0)))), None);
    }

    #[test]
    fn round_certificates_and_certificates_come_back_as_they_were() {
        let votes =
            vec![signed(VoteType::Precommit, NilOrVal::Val(Id(ID))), signed(VoteType::Precommit, NilOrVal::Nil)];
        let (at, of) = (Height(5), Round::new(2));
        for kind in [RoundCertificateType::Precommit, RoundCertificateType::Skip] {
            let round = RoundCertificate::new_from_votes(at, of, kind, votes.clone());
            assert_eq!(read_round_certificate(5, round_certificate(&round)), Some(round));
        }
        let commit = CommitCertificate::new(at, of, Id(ID), votes);
        assert_eq!(read_certificate(5, &certificate(&commit)), Some(commit));
    }

    #[test]
    fn what_cannot_be_is_not_read() {
        let good = vote(&signed(VoteType::Prevote, NilOrVal::Val(Id(ID))));
        assert!(read_vote(5, good.clone()).is_some());
        for change in [
            |vote: &mut VoteWire| vote.kind = PROPOSAL,
            |vote: &mut VoteWire| vote.round = u32::MAX,
            |vote: &mut VoteWire| vote.id = Bytes::from_static(b"short"),
            |vote: &mut VoteWire| vote.signer = 1 << 16,
        ] {
            let mut bad = good.clone();
            change(&mut bad);
            assert_eq!(read_vote(5, bad), None);
        }
        let of_another_round = RoundCertificateWire { round: 1, precommits: false, votes: vec![good] };
        assert_eq!(read_round_certificate(5, of_another_round), None);
        assert_eq!(read_entry(5, Entry { content: Some(Logged::Timeout(TimeoutWire { step: 4, round: 0 })) }), None);
    }
}

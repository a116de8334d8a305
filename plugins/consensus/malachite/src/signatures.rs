//! Signatures of a set of validators: of votes and proposals, and of certificates, which are many votes.

use std::collections::BTreeMap;

use malachite_types::{
    CertificateError, CommitCertificate, NilOrVal, PolkaCertificate, RoundCertificate, RoundCertificateType,
    SignedProposal, SignedVote, ThresholdParam, VoteType,
};
use ordo_sdk::bytes::Bytes;
use ordo_sdk::consensus::{signed_bytes, verify_signature, Scheme};

use crate::context::{Address, Ordo, Set, Vote};
use crate::messages::Intent;
use crate::wire::{proposal_intent, vote_intent};

type Result = std::result::Result<(), CertificateError<Ordo>>;

/// Checks the signatures of one height. A signature that was found right is not checked again when it comes back in a certificate.
pub struct Signatures {
    chain_id: String,
    scheme: Option<Scheme>,
    set: Set,
    height: u64,
    /// By kind, round and signer: the newest data and signature that were right. It grows with the rounds that Malachite looks at.
    right: BTreeMap<(u32, u32, Address), (Bytes, Bytes)>,
}

impl Signatures {
    pub fn new(chain_id: &str, scheme: &str, set: Set, height: u64) -> Self {
        Self { chain_id: chain_id.into(), scheme: Scheme::of(scheme), set, height, right: BTreeMap::new() }
    }

    /// Takes a signature that the core has made, which needs no check.
    pub fn made(&mut self, signer: Address, intent: &Intent, signature: &Bytes) {
        self.right.insert((intent.kind, intent.round, signer), (intent.data.clone(), signature.clone()));
    }

    fn check(&mut self, signer: Address, intent: &Intent, signature: &Bytes) -> bool {
        let (Some(scheme), Some(validator)) = (self.scheme, self.set.get(signer)) else { return false };
        let slot = (intent.kind, intent.round, signer);
        if self.right.get(&slot).is_some_and(|(data, known)| *data == intent.data && known == signature) {
            return true;
        }
        let message = signed_bytes(&self.chain_id, self.height, intent.kind, intent.round, &intent.data);
        let right = verify_signature(scheme, &validator.key, &message, signature);
        if right {
            self.right.insert(slot, (intent.data.clone(), signature.clone()));
        }
        right
    }

    pub fn vote(&mut self, vote: &Vote, signature: &Bytes) -> bool {
        vote.height.0 == self.height && self.check(vote.signer, &vote_intent(vote), signature)
    }

    pub fn proposal(&mut self, proposal: &SignedProposal<Ordo>) -> bool {
        proposal.height.0 == self.height
            && self.check(proposal.proposer, &proposal_intent(proposal), &proposal.signature)
    }

    /// Adds up the power of votes that are of different validators and signed well.
    fn power<E>(&mut self, votes: impl Iterator<Item = SignedVote<Ordo>>, wrong: E, least: ThresholdParam) -> Result
    where
        E: Fn(&SignedVote<Ordo>) -> CertificateError<Ordo>,
    {
        let mut counted = vec![false; self.set.len()];
        let mut signed = 0;
        for vote in votes {
            let Some(validator) = self.set.get(vote.signer) else {
                return Err(CertificateError::UnknownValidator(vote.signer));
            };
            let power = validator.power;
            if std::mem::replace(&mut counted[usize::from(vote.signer.0)], true) {
                return Err(CertificateError::DuplicateVote(vote.signer));
            }
            if !self.vote(&vote.message, &vote.signature) {
                return Err(wrong(&vote));
            }
            signed += power; // of different validators: no more than the total
        }
        let total = self.set.power();
        if least.is_met(signed, total) {
            return Ok(());
        }
        Err(CertificateError::NotEnoughVotingPower { signed, total, expected: least.min_expected(total) })
    }

    /// More than 2/3 precommits for the block.
    pub fn commit(&mut self, certificate: &CommitCertificate<Ordo>) -> Result {
        let votes = commit_votes(certificate);
        let wrong = |vote: &SignedVote<Ordo>| {
            let signature = malachite_types::CommitSignature::new(vote.signer, vote.signature.clone());
            CertificateError::InvalidCommitSignature(signature)
        };
        self.power(votes.into_iter(), wrong, ThresholdParam::TWO_F_PLUS_ONE)
    }

    /// More than 2/3 prevotes for the block.
    pub fn polka(&mut self, certificate: &PolkaCertificate<Ordo>) -> Result {
        let wrong = |vote: &SignedVote<Ordo>| {
            let signature = malachite_types::PolkaSignature::new(vote.signer, vote.signature.clone());
            CertificateError::InvalidPolkaSignature(signature)
        };
        self.power(certificate.votes(&Ordo), wrong, ThresholdParam::TWO_F_PLUS_ONE)
    }

    /// More than 2/3 precommits of a round, or more than 1/3 votes of it.
    pub fn round(&mut self, certificate: &RoundCertificate<Ordo>) -> Result {
        let mut least = ThresholdParam::F_PLUS_ONE;
        if certificate.cert_type == RoundCertificateType::Precommit {
            least = ThresholdParam::TWO_F_PLUS_ONE;
            if let Some(vote) = certificate.round_signatures.iter().find(|one| one.vote_type == VoteType::Prevote) {
                return Err(CertificateError::InvalidVoteType(vote.address));
            }
        }
        let wrong = |vote: &SignedVote<Ordo>| {
            let (kind, id) = (vote.kind, vote.id);
            let signature = malachite_types::RoundSignature::new(kind, id, vote.signer, vote.signature.clone());
            CertificateError::InvalidRoundSignature(signature)
        };
        self.power(certificate.votes(&Ordo), wrong, least)
    }
}

/// The precommits that a certificate is made of.
pub fn commit_votes(certificate: &CommitCertificate<Ordo>) -> Vec<SignedVote<Ordo>> {
    let (height, round, id) = (certificate.height, certificate.round, NilOrVal::Val(certificate.value_id));
    let votes = certificate.commit_signatures.iter().map(|one| {
        let vote = Vote { kind: VoteType::Precommit, height, round, id, signer: one.address };
        SignedVote::new(vote, one.signature.clone())
    });
    votes.collect()
}

//! Messages, records and certificates as bytes: small protobuf messages.

use ordo_sdk::bytes::Bytes;

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

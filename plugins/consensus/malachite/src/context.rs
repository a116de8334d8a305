//! What Malachite is instantiated with: heights, validators, values, proposals and votes of ordo.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use malachite_types as core;
use malachite_types::{NilOrVal, Round, SignedExtension, VoteType};
use ordo_sdk::bytes::Bytes;
use ordo_sdk::consensus::Validator as Member;

/// The bytes of an [`Id`].
pub const ID: usize = 34;

/// What is voted for: the value of a block, 32 bytes, and which validator built it, 2 bytes. The core asks the second in Validate, because a
/// block pays its builder; a block that is proposed again in a later round keeps its id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(pub [u8; ID]);

impl Id {
    pub fn new(value: &[u8], builder: Address) -> Option<Self> {
        let mut id = [0; ID];
        id[..32].copy_from_slice(<&[u8; 32]>::try_from(value).ok()?);
        id[32..].copy_from_slice(&builder.0.to_be_bytes());
        Some(Self(id))
    }

    pub fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The value of the block, which the core knows.
    pub fn value(&self) -> Bytes {
        Bytes::copy_from_slice(&self.0[..32])
    }

    pub fn builder(&self) -> Address {
        Address(u16::from_be_bytes([self.0[32], self.0[33]]))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..8].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl core::Value for Id {
    type Id = Id;

    fn id(&self) -> Id {
        *self
    }
}

/// The place of a validator in the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address(pub u16);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl core::Address for Address {}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Height(pub u64);

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl core::Height for Height {
    const ZERO: Self = Self(0);
    const INITIAL: Self = Self(1);

    fn increment_by(&self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }

    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.checked_sub(n).map(Self)
    }

    fn as_u64(&self) -> u64 {
        self.0
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator {
    pub address: Address,
    pub key: Bytes,
    pub power: u64,
}

impl core::Validator<Ordo> for Validator {
    fn address(&self) -> &Address {
        &self.address
    }

    fn public_key(&self) -> &Bytes {
        &self.key
    }

    fn voting_power(&self) -> u64 {
        self.power
    }
}

/// The validators of a height, in the order of the core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set(Arc<(Vec<Validator>, u64)>);

impl Set {
    /// Says why there cannot be such a set: Malachite's arithmetic of thirds would overflow.
    pub fn new(members: &[Member]) -> Result<Self, String> {
        if members.is_empty() || members.len() > usize::from(u16::MAX) {
            return Err(format!("{} validators: 1 to {} are possible", members.len(), u16::MAX));
        }
        let total = members.iter().try_fold(0_u64, |sum, member| sum.checked_add(member.power));
        let Some(total) = total.filter(|total| (1..=u64::MAX / 3).contains(total)) else {
            return Err(format!("the powers of the validators must sum to 1 to {}", u64::MAX / 3));
        };
        let validators = members.iter().zip(0..);
        let validators = validators.map(|(member, place)| Validator {
            address: Address(place),
            key: member.key.clone(),
            power: member.power,
        });
        Ok(Self(Arc::new((validators.collect(), total))))
    }

    pub fn place(&self, key: &[u8]) -> Option<Address> {
        self.0 .0.iter().find(|validator| validator.key == key).map(|validator| validator.address)
    }

    pub fn get(&self, address: Address) -> Option<&Validator> {
        self.0 .0.get(usize::from(address.0))
    }

    pub fn len(&self) -> usize {
        self.0 .0.len()
    }

    pub fn power(&self) -> u64 {
        self.0 .1
    }
}

impl core::ValidatorSet<Ordo> for Set {
    fn count(&self) -> usize {
        self.len()
    }

    fn total_voting_power(&self) -> u64 {
        self.power()
    }

    fn get_by_address(&self, address: &Address) -> Option<&Validator> {
        self.get(*address)
    }

    fn get_by_index(&self, index: usize) -> Option<&Validator> {
        self.0 .0.get(index)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    pub height: Height,
    pub round: Round,
    pub id: Id,
    pub pol_round: Round,
    pub proposer: Address,
}

impl core::Proposal<Ordo> for Proposal {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &Id {
        &self.id
    }

    fn take_value(self) -> Id {
        self.id
    }

    fn pol_round(&self) -> Round {
        self.pol_round
    }

    fn validator_address(&self) -> &Address {
        &self.proposer
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    pub kind: VoteType,
    pub height: Height,
    pub round: Round,
    pub id: NilOrVal<Id>,
    pub signer: Address,
}

impl core::Vote<Ordo> for Vote {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &NilOrVal<Id> {
        &self.id
    }

    fn take_value(self) -> NilOrVal<Id> {
        self.id
    }

    fn vote_type(&self) -> VoteType {
        self.kind
    }

    fn validator_address(&self) -> &Address {
        &self.signer
    }

    fn extension(&self) -> Option<&SignedExtension<Ordo>> {
        None // extensions are disabled
    }

    fn take_extension(&mut self) -> Option<SignedExtension<Ordo>> {
        None
    }

    fn extend(self, _: SignedExtension<Ordo>) -> Self {
        self
    }
}

/// Bodies travel from core to core: there are no parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoPart {}

impl core::ProposalPart<Ordo> for NoPart {
    fn is_first(&self) -> bool {
        match *self {}
    }

    fn is_last(&self) -> bool {
        match *self {}
    }
}

/// Keys and signatures are bytes: the scheme of Start says what they mean, and the core has the private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opaque;

impl core::SigningScheme for Opaque {
    type DecodingError = std::convert::Infallible;
    type Signature = Bytes;
    type PublicKey = Bytes;
    type PrivateKey = ();

    fn decode_signature(bytes: &[u8]) -> Result<Bytes, Self::DecodingError> {
        Ok(Bytes::copy_from_slice(bytes))
    }

    fn encode_signature(signature: &Bytes) -> Vec<u8> {
        signature.to_vec()
    }

    fn decode_public_key(bytes: &[u8]) -> Result<Bytes, Self::DecodingError> {
        Ok(Bytes::copy_from_slice(bytes))
    }

    fn encode_public_key(key: &Bytes) -> Vec<u8> {
        key.to_vec()
    }
}

/// The instance of Malachite.
#[derive(Clone, Debug)]
pub struct Ordo;

impl core::Context for Ordo {
    type Address = Address;
    type Height = Height;
    type ProposalPart = NoPart;
    type Proposal = Proposal;
    type Validator = Validator;
    type ValidatorSet = Set;
    type Timeouts = core::LinearTimeouts;
    type Value = Id;
    type Vote = Vote;
    type Extension = ();
    type SigningScheme = Opaque;

    /// One after the other, whatever their power. It depends on nothing that one node alone has seen.
    fn select_proposer<'a>(&self, set: &'a Set, height: Height, round: Round) -> &'a Validator {
        let turn = height.0.wrapping_add(u64::from(round.as_u32().unwrap_or(0)));
        &set.0 .0[(turn % set.len() as u64) as usize]
    }

    fn new_proposal(&self, height: Height, round: Round, id: Id, pol_round: Round, proposer: Address) -> Proposal {
        Proposal { height, round, id, pol_round, proposer }
    }

    fn new_prevote(&self, height: Height, round: Round, id: NilOrVal<Id>, signer: Address) -> Vote {
        Vote { kind: VoteType::Prevote, height, round, id, signer }
    }

    fn new_precommit(&self, height: Height, round: Round, id: NilOrVal<Id>, signer: Address) -> Vote {
        Vote { kind: VoteType::Precommit, height, round, id, signer }
    }
}

/// Milliseconds of a timer, at least 1.
pub fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX).max(1)
}

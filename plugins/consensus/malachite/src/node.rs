//! What a node knows over heights: its place among the validators, its timers, messages that came early, and help for those behind.

use std::collections::{BTreeMap, VecDeque};

use malachite_types::{CommitCertificate, LinearTimeouts};
use ordo_sdk::bytes::Bytes;
use ordo_sdk::consensus::{Input, Message as FromPeer, Send, Start, Validator as Member};
use ordo_sdk::tracing::debug;
use prost::Message as _;

use crate::config::Config;
use crate::context::{Address, Ordo, Set};
use crate::host::Host;
use crate::messages::{Content, Item, Message};
use crate::signatures::commit_votes;
use crate::timers::Timers;
use crate::wire;

/// The longest message that is kept for the next height: a round certificate of a thousand validators.
const LONGEST_EARLY: usize = 128 << 10;

pub struct Node {
    pub host: Host,
    pub config: Config,
    pub timeouts: LinearTimeouts,
    pub chain_id: String,
    pub scheme: String,
    pub key: Bytes,
    pub set: Set,
    /// None: this node is no validator.
    pub own: Option<Address>,
    pub timers: Timers,
    /// Numbers of attempts and of signatures, never used again.
    pub attempt: u64,
    pub signing: u64,
    /// There are transactions; the operator wants a block.
    pub pending: bool,
    pub demanded: bool,
    /// Events that came while a signature was awaited.
    pub backlog: VecDeque<Input>,
    early: BTreeMap<Address, VecDeque<Bytes>>,
    /// The height before, as a message for a validator that is still there.
    before: Option<Bytes>,
    helped: BTreeMap<Address, u64>,
}

impl Node {
    pub fn new(host: Host, config: Config, start: &Start) -> Result<Self, String> {
        let set = Set::new(&start.validators)?;
        if start.chain_id.len() > usize::from(u8::MAX) {
            return Err("the chain id has more than 255 bytes".into());
        }
        Ok(Self {
            timeouts: config.timeouts(),
            own: set.place(&start.self_),
            chain_id: start.chain_id.clone(),
            scheme: start.scheme.clone(),
            key: start.self_.clone(),
            pending: start.pending > 0,
            demanded: false,
            timers: Timers::default(),
            attempt: 0,
            signing: 0,
            backlog: VecDeque::new(),
            early: BTreeMap::new(),
            before: None,
            helped: BTreeMap::new(),
            host,
            config,
            set,
        })
    }

    /// The next event.
    pub async fn next(&mut self) -> Input {
        match self.backlog.pop_front() {
            Some(input) => input,
            None => self.host.next().await,
        }
    }

    /// Takes the validators of the next height, when they are others.
    pub fn change(&mut self, members: &[Member]) -> Result<(), String> {
        if !members.is_empty() {
            self.set = Set::new(members)?;
            self.own = self.set.place(&self.key);
            self.early.clear();
            self.helped.clear();
        }
        Ok(())
    }

    /// Keeps a message for the next height. The core has authenticated the sender; each has room of its own.
    pub fn keep(&mut self, message: FromPeer) {
        let Some(sender) = self.set.place(&message.from) else { return };
        if message.data.len() > LONGEST_EARLY {
            return;
        }
        let kept = self.early.entry(sender).or_default();
        if kept.len() >= self.config.max_early_messages {
            debug!(
                sender = sender.0,
                limit = self.config.max_early_messages,
                "max_early_messages: a message for the next height is dropped"
            );
            kept.pop_front();
        }
        kept.push_back(Bytes::copy_from_slice(&message.data)); // its own bytes: a slice would keep the whole frame
    }

    pub fn has_kept(&self) -> bool {
        !self.early.is_empty()
    }

    /// A number for the next attempt.
    pub fn next_attempt(&mut self) -> u64 {
        self.attempt += 1;
        self.attempt
    }

    /// The messages that were kept for this height.
    pub fn kept(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.early).into_values().flatten().collect()
    }

    /// Keeps what decided a height, for validators that are still there. None: it was learned, and the core helps them.
    pub fn decided(&mut self, certificate: Option<&CommitCertificate<Ordo>>) {
        self.before = certificate.map(|certificate| {
            let items = commit_votes(certificate)
                .iter()
                .map(|vote| Item { content: Some(Content::Vote(wire::vote(vote))) })
                .collect();
            Message { height: certificate.height.0, items, help: true, ..Default::default() }.encode_to_vec().into()
        });
    }

    /// Sends what decided the height before to a validator that asks there again, once in a while.
    pub fn help(&mut self, to: &Bytes, now_ms: u64) {
        let (Some(before), Some(place)) = (&self.before, self.set.place(to)) else { return };
        let pause = u64::from(self.config.resend_ms);
        if self.helped.get(&place).is_some_and(|last| (*last..last.saturating_add(pause)).contains(&now_ms)) {
            return;
        }
        self.helped.insert(place, now_ms);
        self.host.act(Send { to: to.clone(), data: before.clone() });
    }
}

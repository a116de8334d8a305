//! The protocol from Start on: heights, one after the other, and the events of each.

use malachite::{LocallyProposedValue, MisbehaviorEvidence, Params, State, ThresholdParams, ValuePayload};
use malachite_types::{Round, ValueOrigin, VoteExtensionPolicy};
use ordo_sdk::bytes::Bytes;
use ordo_sdk::consensus::{Abandon, Build, Decide, Decided, Event, Halt, Message as FromPeer, Seal, Start, Validate};
use ordo_sdk::tracing::{debug, error, info, warn};
use prost::Message as _;

use crate::alone;
use crate::blocks::{Judged, Want};
use crate::config::Config;
use crate::context::{self, Address, Id, Ordo};
use crate::height::{Height, Stop};
use crate::host::Host;
use crate::messages::{Content, Message, Record};
use crate::node::Node;
use crate::timers::Kind;
use crate::wire;

type Input = malachite::Input<Ordo>;

/// Runs the protocol of one Run stream. It ends only when it stops the node.
pub async fn run(host: Host) {
    let Event::Start(start) = host.next().await.event else { return };
    let Err(reason) = heights(host.clone(), start).await else { return };
    error!(cause = %reason, "consensus: halt");
    host.act(Halt { reason });
}

async fn heights(host: Host, mut start: Start) -> Result<(), String> {
    let config = Config::read(&start.config)?;
    if start.validators.is_empty() {
        alone::run(host, config, start.pending > 0).await;
        return Ok(());
    }
    let mut node = Node::new(host, config, &start)?;
    let mut number = start.height;
    let mut records = std::mem::take(&mut start.records);
    loop {
        let decided = match node.own {
            Some(own) => decide(&mut node, own, number, std::mem::take(&mut records)).await?,
            None => follow(&mut node).await, // no validator: the core takes blocks on their certificates
        };
        number = decided.height + 1;
        (node.pending, node.demanded) = (decided.pending > 0, false);
        node.timers.cancel_all(&node.host, |_| true);
        node.change(&decided.validators)?;
    }
}

/// Waits until others have decided the height.
async fn follow(node: &mut Node) -> Decided {
    loop {
        if let Event::Decided(decided) = node.next().await.event {
            return decided;
        }
    }
}

/// The height that a message is about.
fn about(message: &FromPeer) -> Option<u64> {
    Message::decode(message.data.clone()).ok().map(|message| message.height)
}

/// Takes part in a height until it is decided.
async fn decide(node: &mut Node, own: Address, number: u64, records: Vec<Bytes>) -> Result<Decided, String> {
    let first = match idle(node, number, !records.is_empty()).await {
        Idle::Begin(first) => first,
        Idle::Decided(decided) => return Ok(decided),
    };
    let params = Params {
        address: own,
        threshold_params: ThresholdParams::default(),
        value_payload: ValuePayload::ProposalAndParts,
        enabled: true,
    };
    // Nothing is queued in Malachite: messages that come early are kept by sender, in Node.
    let mut state = State::new(Ordo, context::Height(number), node.set.clone(), params, 1, 1);
    let mut height = Height::new(node, own, number);
    let mut stopped = begin(&mut height, &mut state, records, first).await;
    let decided = loop {
        let input = match stopped {
            Err(Stop::Halted(reason)) => return Err(reason),
            Err(Stop::Decided(decided)) => {
                height.node.decided(None);
                break decided;
            }
            Ok(()) => {
                next_actions(&mut height, &state);
                height.node.next().await
            }
        };
        match input.event {
            Event::Decided(decided) => {
                let certificate =
                    height.decision.take().filter(|certificate| certificate.value_id.value() == decided.value);
                height.node.decided(certificate.as_ref());
                break decided;
            }
            event => stopped = take(&mut height, &mut state, event, input.now_ms).await,
        }
    };
    // What Malachite has found and not reported, because others have decided the height.
    let evidence = MisbehaviorEvidence {
        proposals: state.driver.take_proposal_evidence(),
        votes: state.driver.take_vote_evidence(),
    };
    height.report(&evidence);
    for input in std::mem::take(&mut height.node.backlog) {
        match input.event {
            Event::Message(message) if about(&message) == Some(number + 1) => height.node.keep(message),
            _ => {} // about the height that is over
        }
    }
    Ok(decided)
}

/// How the time before a height ends.
enum Idle {
    /// There is a reason to begin; with a message of a validator that has begun, if that is the reason.
    Begin(Option<(FromPeer, u64)>),
    Decided(Decided),
}

/// Waits for a reason to begin a height, so that no block is made when there is nothing to put in it.
async fn idle(node: &mut Node, number: u64, restarted: bool) -> Idle {
    if restarted || node.config.empty_blocks || node.pending || node.demanded || node.has_kept() {
        return Idle::Begin(None);
    }
    loop {
        let input = node.next().await;
        match input.event {
            Event::Ready(_) => node.pending = true,
            Event::CreateBlock(_) => node.demanded = true,
            Event::Decided(decided) => {
                node.decided(None);
                return Idle::Decided(decided);
            }
            Event::Message(message) => match about(&message) {
                Some(height) if height == number => return Idle::Begin(Some((message, input.now_ms))),
                Some(height) => aside(node, number, height, message, input.now_ms),
                None => debug!(height = number, "a message that cannot be read is dropped"),
            },
            _ => {}
        }
        if node.pending || node.demanded {
            return Idle::Begin(None);
        }
    }
}

/// Takes a message that is not about this height.
fn aside(node: &mut Node, number: u64, height: u64, message: FromPeer, now_ms: u64) {
    if height == number.wrapping_add(1) {
        node.keep(message);
    } else if height.wrapping_add(1) == number {
        let asks = Message::decode(message.data.clone()).is_ok_and(|message| message.again && !message.help);
        if asks {
            node.help(&message.from, now_ms);
        }
    }
}

/// Begins a height: replays what was logged before a restart, then takes the messages that came early.
async fn begin(
    height: &mut Height<'_>,
    state: &mut State<Ordo>,
    records: Vec<Bytes>,
    first: Option<(FromPeer, u64)>,
) -> Result<(), Stop> {
    let number = height.number;
    if (height.node.pending || height.node.demanded) && first.is_none() && !height.node.has_kept() {
        height.wake();
    }
    let mut entries = Vec::new();
    for record in records {
        let unknown =
            |_| Stop::Halted(format!("height {number}: a record of consensus that this program did not write"));
        let record = Record::decode(record).map_err(unknown)?;
        entries.extend(record.entries.into_iter().filter_map(|entry| wire::read_entry(number, entry)));
        let before = height.replaying.get_or_insert_default();
        before.extend(record.intent.map(|intent| ((intent.kind, intent.round), intent.data)));
    }
    let restarted = height.replaying.is_some();
    if restarted {
        info!(height = number, inputs = entries.len(), "consensus goes on where it was before the restart");
        state.index_wal_entries(&[]); // votes of this node are derived again and signed again: the core has the signatures
    }
    let set = height.node.set.clone();
    let start = Input::StartHeight(context::Height(number), set, restarted, None, VoteExtensionPolicy::Disabled);
    height.process(state, start).await?;
    for entry in entries {
        height.process(state, entry).await?;
    }
    if let (true, Some(round)) = (height.proposes(state), state.round().as_u32()) {
        let before = height.replaying.as_ref().and_then(|before| before.get(&(wire::PROPOSAL, round)));
        if let Some(id) = before.and_then(|data| Id::read(data.get(4..)?)) {
            propose(height, state, state.round(), id).await?;
        }
    }
    height.replaying = None;
    state.reset_entries_index();
    for data in height.node.kept() {
        heard(height, state, data).await?;
    }
    if let Some((message, _)) = first {
        heard(height, state, message.data).await?;
    }
    Ok(())
}

async fn propose(height: &mut Height<'_>, state: &mut State<Ordo>, round: Round, id: Id) -> Result<(), Stop> {
    height.wanted = None;
    let value = LocallyProposedValue::new(context::Height(height.number), round, id);
    height.process(state, Input::Propose(value)).await
}

/// Takes an event of the height.
async fn take(height: &mut Height<'_>, state: &mut State<Ordo>, event: Event, now_ms: u64) -> Result<(), Stop> {
    match event {
        Event::Timer(timer) => match height.node.timers.fired(timer.id) {
            Some(Kind::Core(timeout)) => height.process(state, Input::TimeoutElapsed(timeout)).await?,
            Some(Kind::Retry) => height.blocks.retry(),
            None => {}
        },
        Event::Ready(_) => {
            height.node.pending = true;
            height.blocks.news();
        }
        Event::CreateBlock(_) => {
            height.node.demanded = true;
            height.blocks.news();
            height.wake();
        }
        Event::Built(built) => {
            let Some(id) = height.own_id(&built.value) else { return Ok(()) };
            let round = height.blocks.built(built.attempt, id);
            if let Some(round) = round.filter(|round| height.wanted == Some(*round)) {
                propose(height, state, round, id).await?;
            }
        }
        Event::Failed(failed) if height.blocks.failed(failed.attempt) => {
            info!(
                height = height.number,
                cause = failed.reason,
                "an attempt failed: it is tried again after resend_ms"
            );
            height.retry();
        }
        Event::Verdict(verdict) => {
            let decided = height.decision.as_ref().map(|certificate| certificate.value_id);
            match height.blocks.judged(verdict.attempt, verdict.valid, verdict.missing, decided) {
                Judged::Unknown => {}
                Judged::Missing => height.retry(),
                Judged::Known { id, valid, .. } if decided == Some(id) => {
                    if !valid {
                        error!(height = height.number, id = %id, cause = verdict.reason, "the validators have decided what is not valid here");
                        height.retry();
                    }
                }
                Judged::Known { id, round, valid } => {
                    if !valid {
                        warn!(height = height.number, round = round.as_i64(), id = %id, cause = verdict.reason, "a proposal is not valid here");
                    }
                    let value = wire::proposed(height.number, round, id, valid);
                    height.process(state, Input::ProposedValue(value, ValueOrigin::Consensus)).await?;
                }
            }
        }
        Event::Message(message) => match about(&message) {
            Some(of) if of == height.number => heard(height, state, message.data).await?,
            Some(of) => aside(height.node, height.number, of, message, now_ms),
            None => debug!(height = height.number, "a message that cannot be read is dropped"),
        },
        // Signed of a height before, and what a later minor brings.
        _ => {}
    }
    Ok(())
}

/// Takes a message about this height. Each item is checked by Malachite, its signature included.
async fn heard(height: &mut Height<'_>, state: &mut State<Ordo>, data: Bytes) -> Result<(), Stop> {
    let Ok(message) = Message::decode(data) else { return Ok(()) };
    let members = height.node.set.len();
    if message.items.len() > 4 * members + 16 {
        debug!(
            height = height.number,
            items = message.items.len(),
            "a message with more votes than there can be is dropped"
        );
        return Ok(());
    }
    if message.demand {
        height.node.demanded = true;
    }
    for item in message.items {
        if height.decision.is_some() {
            break;
        }
        let number = height.number;
        let known = |signer: Address| usize::from(signer.0) < members;
        let input = match item.content {
            Some(Content::Vote(wire)) => {
                wire::read_vote(number, wire).filter(|vote| known(vote.signer)).map(Input::Vote)
            }
            Some(Content::Proposal(wire)) => {
                wire::read_proposal(number, wire).filter(|proposal| known(proposal.proposer)).map(Input::Proposal)
            }
            Some(Content::Polka(wire)) if wire.signatures.len() <= members => {
                wire::read_polka(number, wire).map(Input::PolkaCertificate)
            }
            Some(Content::RoundCertificate(wire)) if wire.votes.len() <= members => {
                wire::read_round_certificate(number, wire).map(Input::RoundCertificate)
            }
            _ => None,
        };
        match input {
            Some(input) => height.process(state, input).await?,
            None => debug!(height = number, "an item of a message that cannot be is dropped"),
        }
    }
    Ok(())
}

/// Asks the core for what the height needs now, and sends what has gathered.
fn next_actions(height: &mut Height<'_>, state: &State<Ordo>) {
    height.flush();
    if let Some(certificate) = height.decision.clone() {
        conclude(height, certificate);
        return;
    }
    let round = state.round();
    if let Some(attempt) = height.blocks.outdated(round) {
        height.node.host.act(Abandon { attempt });
    }
    if height.proposes(state) && height.blocks.can_build() {
        let attempt = height.node.next_attempt();
        height.blocks.build(attempt, round);
        let (deadline_ms, idle_ms) = (height.node.config.build_ms, height.node.config.idle_ms);
        let round = round.as_u32().unwrap_or_default();
        height.node.host.act(Build {
            attempt,
            round,
            deadline_ms,
            idle_ms,
            allow_empty: true,
            publish: true,
            ..Default::default()
        });
    }
    if height.node.demanded {
        if let Some(attempt) = height.blocks.seal() {
            height.node.host.act(Seal { attempt });
        }
    }
    let next = height.blocks.next(round, height.node.attempt + 1);
    validate(height, next, false);
}

/// Decides, when the core has the block, or has it validated first.
fn conclude(height: &mut Height<'_>, certificate: malachite_types::CommitCertificate<Ordo>) {
    let id = certificate.value_id;
    if let Some(attempt) = height.blocks.attempt(&id) {
        if !std::mem::replace(&mut height.concluded, true) {
            debug!(height = height.number, round = certificate.round.as_i64(), id = %id, "decided");
            let certificate = wire::certificate(&certificate).into();
            height.node.host.act(Decide { attempt, value: id.value(), certificate });
        }
        return;
    }
    let next = height.blocks.decided(id, certificate.round, height.node.attempt + 1);
    validate(height, next, true);
}

fn validate(height: &mut Height<'_>, want: Want, decided: bool) {
    let Want::Validate { id, round, .. } = want else { return };
    let attempt = height.node.next_attempt();
    let from = height.node.set.get(id.builder()).map(|validator| validator.key.clone()).unwrap_or_default();
    let round = round.as_u32().unwrap_or_default();
    height.node.host.act(Validate { attempt, round, value: id.value(), from, decided, ..Default::default() });
}

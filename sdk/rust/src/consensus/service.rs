//! The services of a plugin with a protocol: `Plugin` and `Consensus`.

use std::any::Any;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::task::{ready, Context, Poll};

use tokio_stream::Stream;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use super::config::{Problem, Schema};
use super::protocol::{Input, Protocol, Verifier, CAP_CERTIFICATES};
use crate::serve::serve_as;
use crate::v1::consensus_event::Event;
use crate::v1::consensus_server::{Consensus, ConsensusServer};
use crate::v1::diagnostic::Severity;
use crate::v1::plugin_server::{Plugin, PluginServer};
use crate::v1::{
    Actions, ConfigureRequest, ConfigureResponse, ConsensusEvent, DescribeRequest, DescribeResponse, Diagnostic,
    DrainRequest, DrainResponse, Stage, VerifyRequest, VerifyResponse,
};
use crate::{logging, MAX_MESSAGE};

/// What a plugin says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Description {
    pub name: &'static str,
    pub version: &'static str,
    /// Names of docs/spec/consensus.md. A [`Verifier`] adds [`CAP_CERTIFICATES`].
    pub capabilities: &'static [&'static str],
    /// JSON Schema of the configuration, of the part that [`Schema`] knows; empty: it takes none.
    pub config_schema: &'static str,
}

/// Serves a protocol until the host ends it. `begin` makes a state machine for each Run stream.
pub fn serve_protocol<P, B>(description: Description, verifier: Option<Box<dyn Verifier>>, begin: B) -> ExitCode
where
    P: Protocol,
    B: Fn() -> P + Send + Sync + 'static,
{
    let service = match Service::new(description, verifier, begin) {
        Ok(service) => service,
        Err(error) => {
            eprintln!("{}: {error}", description.name);
            return ExitCode::FAILURE;
        }
    };
    serve_as::<B, _>(|_host| service.routes())
}

type Begin = dyn Fn() -> Box<dyn Protocol> + Send + Sync;

/// The services, which share what never changes.
#[derive(Clone)]
struct Service(Arc<Shared>);

struct Shared {
    description: Description,
    schema: Schema,
    verifier: Option<Box<dyn Verifier>>,
    begin: Box<Begin>,
}

impl Service {
    fn new<P, B>(description: Description, verifier: Option<Box<dyn Verifier>>, begin: B) -> Result<Self, String>
    where
        P: Protocol,
        B: Fn() -> P + Send + Sync + 'static,
    {
        let schema = Schema::parse(description.config_schema)?;
        let begin: Box<Begin> = Box::new(move || Box::new(begin()));
        Ok(Self(Arc::new(Shared { description, schema, verifier, begin })))
    }

    fn routes(&self) -> Routes {
        Routes::new(PluginServer::new(self.clone()).max_decoding_message_size(MAX_MESSAGE))
            .add_service(ConsensusServer::new(self.clone()).max_decoding_message_size(MAX_MESSAGE))
    }
}

fn diagnostic(problem: Problem) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error.into(),
        summary: problem.summary,
        detail: problem.detail,
        path: problem.path,
    }
}

#[tonic::async_trait]
impl Plugin for Service {
    async fn describe(&self, _: Request<DescribeRequest>) -> Result<Response<DescribeResponse>, Status> {
        let Description { name, version, capabilities, config_schema } = self.0.description;
        let mut capabilities: Vec<String> = capabilities.iter().map(ToString::to_string).collect();
        if self.0.verifier.is_some() && !capabilities.iter().any(|name| name == CAP_CERTIFICATES) {
            capabilities.push(CAP_CERTIFICATES.into());
        }
        Ok(Response::new(DescribeResponse {
            name: name.into(),
            version: version.into(),
            stage: Stage::Consensus.into(),
            capabilities,
            config_schema: config_schema.into(),
            ..Default::default()
        }))
    }

    async fn configure(&self, request: Request<ConfigureRequest>) -> Result<Response<ConfigureResponse>, Status> {
        let problems = self.0.schema.complete(&request.get_ref().config).err().unwrap_or_default();
        Ok(Response::new(ConfigureResponse { diagnostics: problems.into_iter().map(diagnostic).collect() }))
    }

    async fn drain(&self, _: Request<DrainRequest>) -> Result<Response<DrainResponse>, Status> {
        Ok(Response::new(DrainResponse {})) // a protocol holds nothing that is to be flushed
    }
}

#[tonic::async_trait]
impl Consensus for Service {
    type RunStream = Run<Streaming<ConsensusEvent>>;

    async fn run(&self, request: Request<Streaming<ConsensusEvent>>) -> Result<Response<Self::RunStream>, Status> {
        Ok(Response::new(Run::new(request.into_inner(), (self.0.begin)(), self.0.schema.clone())))
    }

    async fn verify(&self, request: Request<VerifyRequest>) -> Result<Response<VerifyResponse>, Status> {
        let Some(verifier) = &self.0.verifier else {
            return Err(Status::unimplemented("verify: this protocol makes no certificates"));
        };
        let request = request.get_ref();
        Ok(Response::new(match guarded("verify", || verifier.verify(request))? {
            Ok(()) => VerifyResponse { valid: true, ..Default::default() },
            Err(reason) => VerifyResponse { valid: false, reason },
        }))
    }
}

/// Runs a task of the protocol. A panic ends the call and not the process, which may serve other streams; its log line has the place.
fn guarded<T>(what: &str, task: impl FnOnce() -> T) -> Result<T, Status> {
    catch_unwind(AssertUnwindSafe(task)).map_err(|panic: Box<dyn Any + Send>| {
        Status::internal(format!("{what}: panic: {}", logging::panic_text(&*panic)))
    })
}

/// A Run stream: the answers to the events of another. There is no task between them.
pub struct Run<S> {
    events: S,
    protocol: Box<dyn Protocol>,
    schema: Schema,
    state: State,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    New,
    Started,
    Over,
}

impl<S> Run<S> {
    fn new(events: S, protocol: Box<dyn Protocol>, schema: Schema) -> Self {
        Self { events, protocol, schema, state: State::New }
    }

    fn answer(&mut self, event: ConsensusEvent) -> Result<Actions, Status> {
        let ConsensusEvent { seq, now_ms, event } = event;
        let mut event = event;
        if matches!(event, Some(Event::Start(_))) == (self.state == State::Started) {
            return Err(Status::failed_precondition("run: Start is the first event of a stream, and only the first"));
        }
        self.state = State::Started;
        if let Some(Event::Start(start)) = &mut event {
            if let Ok(whole) = self.schema.complete(&start.config) {
                start.config = whole.into(); // with the defaults; Configure has refused what does not fit
            }
        }
        let Some(event) = event else { return Ok(Actions { seq, actions: vec![] }) }; // of a later minor
        let actions = guarded("step", || self.protocol.step(Input { now_ms, event }))?;
        Ok(Actions { seq, actions })
    }
}

impl<S: Stream<Item = Result<ConsensusEvent, Status>> + Unpin> Stream for Run<S> {
    type Item = Result<Actions, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.state == State::Over {
            return Poll::Ready(None);
        }
        let answer = match ready!(Pin::new(&mut self.events).poll_next(context)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => Err(error),
            Some(Ok(event)) => self.answer(event),
        };
        if answer.is_err() {
            self.state = State::Over;
        }
        Poll::Ready(Some(answer))
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt;
    use tonic::Code;

    use super::*;
    use crate::v1::action::Seal;
    use crate::v1::consensus_event::{Start, Timer};
    use crate::v1::Action;

    /// Seals the attempt that a timer names, and panics at 0.
    struct Echo(Vec<u8>);

    impl Protocol for Echo {
        fn step(&mut self, input: Input) -> Vec<Action> {
            match input.event {
                Event::Start(start) => self.0 = start.config.to_vec(),
                Event::Timer(timer) => {
                    assert!(timer.id > 0, "a fault of the protocol");
                    return vec![Seal { attempt: timer.id }.into()];
                }
                _ => {}
            }
            vec![]
        }
    }

    fn run(events: Vec<Option<Event>>) -> Vec<Result<Actions, Code>> {
        let schema = Schema::parse(r#"{"type":"object","properties":{"a":{"type":"integer","default":1}}}"#).unwrap();
        let events = events.into_iter().zip(1..).map(|(event, seq)| Ok(ConsensusEvent { seq, now_ms: 0, event }));
        let run = Run::new(tokio_stream::iter(events.collect::<Vec<_>>()), Box::new(Echo(vec![])), schema);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run.map(|answer| answer.map_err(|error| error.code())).collect())
    }

    fn timer(id: u64) -> Option<Event> {
        Some(Event::Timer(Timer { id }))
    }

    fn start() -> Option<Event> {
        Some(Event::Start(Start::default()))
    }

    #[test]
    fn each_event_is_answered_once_in_order_and_an_unknown_one_with_nothing() {
        let answers = run(vec![start(), timer(7), None, timer(8)]);
        let want =
            [(1, vec![]), (2, vec![Seal { attempt: 7 }.into()]), (3, vec![]), (4, vec![Seal { attempt: 8 }.into()])];
        assert_eq!(answers, want.map(|(seq, actions)| Ok(Actions { seq, actions })));
    }

    #[test]
    fn a_stream_that_does_not_begin_with_start_or_has_it_twice_ends() {
        assert_eq!(run(vec![timer(7), start()]), [Err(Code::FailedPrecondition)]);
        let answers = run(vec![start(), start(), timer(1)]);
        assert_eq!((answers.len(), &answers[1]), (2, &Err(Code::FailedPrecondition)));
    }

    #[test]
    fn a_panic_of_a_protocol_ends_its_stream_with_an_error() {
        let answers = run(vec![start(), timer(0), timer(7)]);
        assert_eq!((answers.len(), &answers[1]), (2, &Err(Code::Internal)));
    }
}

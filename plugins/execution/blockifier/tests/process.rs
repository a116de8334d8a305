//! The binary as the host meets it.

mod common;

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::*;
use ordo_execution_blockifier::felts::wire;
use ordo_sdk::v1::build_request::{Abort, Add, Close, Open, Step};
use ordo_sdk::v1::execution_client::ExecutionClient;
use ordo_sdk::v1::plugin_client::PluginClient;
use ordo_sdk::v1::{self, build_response, BuildRequest};
use ordo_sdk::{connect, COOKIE_KEY, COOKIE_VALUE, MAX_MESSAGE};
use starknet_types_core::felt::Felt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Streaming};

const BINARY: &str = env!("CARGO_BIN_EXE_ordo-execution-blockifier");

struct Process {
    child: Child,
    /// What it logged so far.
    log: Arc<Mutex<String>>,
    folder: PathBuf,
    channel: Channel,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("ordo-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn command(folder: &PathBuf) -> Command {
    let mut command = Command::new(BINARY);
    command
        .env_clear()
        .env(COOKIE_KEY, COOKIE_VALUE)
        .env("PLUGIN_PROTOCOL_VERSIONS", "7,1")
        .env("PLUGIN_UNIX_SOCKET_DIR", folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

impl Process {
    fn start(name: &str) -> Self {
        let folder = folder(name);
        let mut child = command(&folder).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let fields: Vec<&str> = line.trim_end().split('|').collect();
        assert_eq!((fields[0], fields[1], fields[2], fields[4]), ("1", "1", "unix", "grpc"), "{line}");
        assert!(fields[3].starts_with(folder.to_str().unwrap()));
        let channel = connect(fields[3]);
        let (log, stderr) = (Arc::new(Mutex::new(String::new())), child.stderr.take().unwrap());
        let kept = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                kept.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        Self { child, log, folder, channel }
    }

    fn execution(&self) -> ExecutionClient<Channel> {
        ExecutionClient::new(self.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE)
    }

    async fn configure(&self, config: &str) -> Vec<v1::Diagnostic> {
        self.configure_with(config, &[]).await
    }

    async fn configure_with(&self, config: &str, peers: &[(&str, String)]) -> Vec<v1::Diagnostic> {
        let request = v1::ConfigureRequest {
            config: config.to_string().into(),
            peers: peers.iter().map(|(role, socket)| (role.to_string(), socket.clone())).collect(),
            chain: Some(chain()),
            generation: 1,
            ..Default::default()
        };
        PluginClient::new(self.channel.clone()).configure(request).await.unwrap().into_inner().diagnostics
    }

    fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}

struct Build {
    steps: mpsc::Sender<BuildRequest>,
    answers: Streaming<v1::BuildResponse>,
}

impl Build {
    async fn open(process: &Process, build_id: u64, number: u64) -> Result<Self, tonic::Status> {
        let (steps, inward) = mpsc::channel(16);
        let open = Step::Open(Open { build_id, context: Some(context(number)), ..Default::default() });
        steps.send(BuildRequest { step: Some(open) }).await.unwrap();
        let answers = process.execution().build(ReceiverStream::new(inward)).await?.into_inner();
        let mut build = Self { steps, answers };
        match build.next().await? {
            build_response::Step::Opened(_) => Ok(build),
            other => panic!("{other:?}"),
        }
    }

    async fn send(&self, step: Step) {
        self.steps.send(BuildRequest { step: Some(step) }).await.unwrap();
    }

    async fn next(&mut self) -> Result<build_response::Step, tonic::Status> {
        Ok(self.answers.message().await?.expect("the stream goes on").step.unwrap())
    }

    async fn results(&mut self, wanted: usize) -> Vec<v1::TransactionResult> {
        let mut list = Vec::new();
        while list.len() < wanted {
            match self.next().await.unwrap() {
                build_response::Step::Results(results) => list.extend(results.results),
                other => panic!("{other:?}"),
            }
        }
        list
    }

    async fn close(&mut self, n: u64) -> build_response::Closed {
        self.send(Step::Close(Close { n })).await;
        match self.next().await.unwrap() {
            build_response::Step::Closed(closed) => closed,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn started_by_hand_it_says_who_starts_it() {
    let output = Command::new(BINARY).env_clear().output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("is the ordo execution plugin \"blockifier\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_through_the_process() {
    let world = World::new(3);
    let process = Process::start("block");
    let described =
        PluginClient::new(process.channel.clone()).describe(v1::DescribeRequest {}).await.unwrap().into_inner();
    assert_eq!((described.name.as_str(), described.stage()), ("blockifier", v1::Stage::Execution));
    let early = process.execution().apply(world.genesis.clone()).await.unwrap_err();
    assert_eq!(early.code(), Code::FailedPrecondition);

    let error = process.configure("{\"worker\": 1}").await;
    assert_eq!(error[0].severity(), v1::diagnostic::Severity::Error);
    assert_eq!(error[0].detail, "did you mean workers?");
    let notes = process.configure("{\"workers\": 2}").await;
    assert!(notes.iter().all(|note| note.severity() != v1::diagnostic::Severity::Error), "{notes:?}");

    let tip = process.execution().apply(world.genesis.clone()).await.unwrap().into_inner();
    assert_eq!((tip.has_tip, tip.tip), (true, 0));
    assert_eq!(Build::open(&process, 1, 5).await.err().unwrap().code(), Code::FailedPrecondition);

    let mut sender = account(0);
    let list: Vec<_> = (0..40).map(|n| sender.transfer(Felt::from(700 + n), 1)).collect();
    let mut build = Build::open(&process, 2, 1).await.unwrap();
    for add in chunks(&list, 10) {
        build.send(Step::Add(add)).await;
    }
    let results = build.results(40).await;
    let closed = build.close(25).await;
    let executor = ordo_execution_blockifier::config::Executor::Sequential;
    let here = tokio::task::block_in_place(|| world.build(executor, chunks(&list[..25], 25), None));
    assert_eq!(results[..25], here.results[..]);
    assert_eq!(closed, here.closed.unwrap().message);

    let apply = |build_id| v1::ApplyRequest { height: 1, build_id, ..Default::default() };
    assert_eq!(process.execution().apply(apply(77)).await.unwrap_err().code(), Code::FailedPrecondition);
    for _ in 0..2 {
        assert_eq!(process.execution().apply(apply(2)).await.unwrap().into_inner().tip, 1);
    }
    // What was beyond the 25 goes into the next block.
    let mut build = Build::open(&process, 3, 2).await.unwrap();
    build.send(Step::Add(Add { transactions: list[25..].to_vec(), classes: vec![] })).await;
    let results = build.results(15).await;
    assert!(results.iter().all(|result| result.status() == v1::transaction_result::Status::Succeeded));
    build.close(15).await;

    let controller = PluginClient::new(process.channel.clone());
    controller.clone().drain(v1::DrainRequest { deadline_ms: 1000 }).await.unwrap();
    let log = process.log.lock().unwrap();
    assert!(log.contains("\"@message\":\"configured\""), "{log}");
    assert!(
        log.lines().all(|line| line.contains("\"@module\":\"ordo_")),
        "a library logs with each transaction: {log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_build_has_no_effect_and_the_next_begins_at_once() {
    let world = World::new(3);
    let process = Process::start("abort");
    process.configure("{\"workers\": 2, \"executor\": \"concurrent\"}").await;
    process.execution().apply(world.genesis.clone()).await.unwrap();
    let mut sender = account(0);
    let list: Vec<_> = (0..100).map(|n| sender.transfer(Felt::from(700 + n), 1)).collect();
    for id in 1..=6 {
        let mut build = Build::open(&process, id, 1).await.unwrap();
        build.send(Step::Add(Add { transactions: list.clone(), classes: vec![] })).await;
        build.results(1).await;
        match id % 3 {
            0 => build.send(Step::Abort(Abort {})).await,
            1 => drop(build), // the end of the stream is an abort
            _ => {
                build.send(Step::Close(Close { n: 1000 })).await; // an error is one, too
                while let Ok(step) = build.next().await {
                    assert!(matches!(step, build_response::Step::Results(_)), "{step:?}");
                }
            }
        }
    }
    let mut build = Build::open(&process, 7, 1).await.unwrap();
    build.send(Step::Add(Add { transactions: list[..3].to_vec(), classes: vec![] })).await;
    let results = build.results(3).await;
    assert!(results.iter().all(|result| result.status() == v1::transaction_result::Status::Succeeded));
    // A second build beside an open one waits, and fails in the end.
    let begun = Instant::now();
    let second = Build::open(&process, 8, 1).await.err().unwrap();
    assert_eq!(second.code(), Code::FailedPrecondition);
    assert!(begun.elapsed() > Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_block_that_waits_costs_no_time_of_a_processor() {
    let world = World::new(3);
    let process = Process::start("idle");
    process.configure("{\"workers\": 2, \"executor\": \"concurrent\"}").await;
    process.execution().apply(world.genesis.clone()).await.unwrap();
    let mut sender = account(0);
    let list: Vec<_> = (0..30).map(|n| sender.transfer(Felt::from(700 + n), 1)).collect();
    let mut build = Build::open(&process, 1, 1).await.unwrap();
    build.send(Step::Add(Add { transactions: list, classes: vec![] })).await;
    build.results(30).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = process.ticks();
    tokio::time::sleep(Duration::from_secs(2)).await;
    // A tick is 10 ms; two spinning workers would use far more than this.
    let used = process.ticks() - before;
    assert!(used <= 2, "{used} ticks in two idle seconds");
}

#[tokio::test(flavor = "multi_thread")]
async fn views_beside_an_open_block_see_what_was_sent() {
    let world = World::new(3);
    let process = Process::start("open");
    process.configure("{}").await;
    process.execution().apply(world.genesis.clone()).await.unwrap();
    let balance = |at: v1::state_at::At| {
        let mut client = process.execution();
        let request = v1::ViewRequest {
            at: Some(v1::StateAt { at: Some(at) }),
            context: Some(context(1)),
            timeout_ms: 10_000,
            memory_mib: 0,
            view: Some(v1::view_request::View::Call(v1::CallView {
                contract: wire(&strk()),
                selector: wire(&selector("balanceOf")),
                calldata: wire(&Felt::from(700)),
            })),
        };
        async move {
            match client.view(request).await.unwrap().into_inner().result.unwrap() {
                v1::view_response::Result::Call(result) => Felt::from_bytes_be_slice(&result[..32]),
                other => panic!("{other:?}"),
            }
        }
    };
    use v1::state_at::At;
    let mut build = Build::open(&process, 1, 1).await.unwrap();
    build.send(Step::Add(Add { transactions: vec![account(0).transfer(Felt::from(700), 9)], classes: vec![] })).await;
    build.results(1).await;
    assert_eq!(balance(At::Tip(true)).await, Felt::ZERO);
    assert_eq!(balance(At::OpenBlock(true)).await, Felt::from(9));
    drop(build);
    for _ in 0..100 {
        if balance(At::OpenBlock(true)).await == Felt::ZERO {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the aborted block is still seen");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_storage_it_still_answers_and_cancelled_work_ends() {
    let mut sender = account(0);
    let process = Process::start("away");
    let socket = process.folder.join("storage.sock").to_str().unwrap().to_string();
    let config = "{\"view_workers\": 1, \"native\": \"off\"}";
    let notes = process.configure_with(config, &[("storage.read", socket)]).await;
    assert!(notes.is_empty(), "{notes:?}");
    let adopt = v1::ApplyRequest { height: 0, adopt: true, ..Default::default() };
    process.execution().apply(adopt).await.unwrap();

    let begun = Instant::now();
    for id in 1..=3 {
        // The build waits in its first read, for up to 20 seconds.
        let build = Build::open(&process, id, 1).await.unwrap();
        build.send(Step::Add(Add { transactions: vec![sender.transfer(Felt::ONE, 1)], classes: vec![] })).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        match id {
            1 => drop(build),
            _ => build.send(Step::Abort(Abort {})).await,
        }
    }
    let request = v1::ViewRequest {
        context: Some(context(1)),
        timeout_ms: 200,
        view: Some(v1::view_request::View::Call(v1::CallView {
            contract: wire(&strk()),
            selector: wire(&selector("balanceOf")),
            calldata: wire(&Felt::from(700)),
        })),
        ..Default::default()
    };
    for _ in 0..3 {
        let answer = process.execution().view(request.clone()).await.unwrap().into_inner().result.unwrap();
        let v1::view_response::Result::Error(error) = answer else { panic!("{answer:?}") };
        assert_eq!(error.code(), v1::view_error::Code::Timeout);
    }
    let mut plugin = PluginClient::new(process.channel.clone());
    loop {
        let described = plugin.describe(v1::DescribeRequest {}).await.unwrap().into_inner();
        assert!(!described.capabilities.contains(&"native".to_string()));
        // Twenty seconds would be one wait for storage that was not cancelled.
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
        if described.counters["views.abandoned"] == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await; // an abandoned view ends in a moment
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_have_their_limits() {
    let world = World::new(1);
    let process = Process::start("limits");
    process.configure("{\"call_calldata\": 3, \"call_gas\": 1000, \"native\": \"off\"}").await;
    process.execution().apply(world.genesis.clone()).await.unwrap();
    let call = |arguments: usize| {
        let mut client = process.execution();
        let request = v1::ViewRequest {
            context: Some(context(1)),
            view: Some(v1::view_request::View::Call(v1::CallView {
                contract: wire(&strk()),
                selector: wire(&selector("balanceOf")),
                calldata: ordo_execution_blockifier::felts::wire_list(&vec![Felt::ONE; arguments]),
            })),
            ..Default::default()
        };
        async move {
            match client.view(request).await.unwrap().into_inner().result.unwrap() {
                v1::view_response::Result::Error(error) => error.error.unwrap().message,
                other => panic!("{other:?}"),
            }
        }
    };
    assert_eq!(call(4).await, "calldata: 4 felts, this node runs calls with at most 3");
    assert!(call(1).await.contains("Out of gas"), "{}", call(1).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_on_a_state_that_is_gone_is_not_applied() {
    let world = World::new(2);
    let process = Process::start("gone");
    process.configure("{\"native\": \"off\"}").await;
    process.execution().apply(world.genesis.clone()).await.unwrap();
    let mut build = Build::open(&process, 1, 1).await.unwrap();
    build.send(Step::Add(Add { transactions: vec![account(0).transfer(Felt::from(7), 1)], classes: vec![] })).await;
    build.results(1).await;
    // Storage went back, and came here again, while the block was open.
    for height in [4, 0] {
        let adopt = v1::ApplyRequest { height, adopt: true, ..Default::default() };
        assert_eq!(process.execution().apply(adopt).await.unwrap().into_inner().tip, height);
    }
    build.close(1).await;
    let apply = v1::ApplyRequest { height: 1, build_id: 1, ..Default::default() };
    let error = process.execution().apply(apply).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(error.message().contains("a state that is gone"), "{error}");
}

#[test]
fn it_ends_with_its_parent_and_ignores_the_terminal() {
    let folder = folder("parent");
    let mut child = command(&folder).env("ORDO_PLUGIN_WATCH_STDIN", "1").spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let signal = |name: &str| {
        assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
    };
    signal("-INT");
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none(), "SIGINT ended it");
    drop(child.stdin.take());
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(5), "it outlives its parent");
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(log.contains("\"@message\":\"the core is gone, ending\""), "{log}");
    let _ = std::fs::remove_dir_all(folder);
}

//! The tip over a storage that is asked for what memory misses.

mod common;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use blockifier::state::cached_state::StateMaps;
use blockifier::state::state_api::StateReader;
use bytes::Bytes;
use common::*;
use ordo_execution_blockifier::cancel::CancellationToken;
use ordo_execution_blockifier::config::Executor;
use ordo_execution_blockifier::diff;
use ordo_execution_blockifier::felts::{rows, wire_list, Word};
use ordo_execution_blockifier::native::Engine;
use ordo_execution_blockifier::state::{Historical, Keys, Limits, StorageClient, Tip};
use ordo_sdk::v1;
use ordo_sdk::v1::storage_read_server::{StorageRead, StorageReadServer};
use ordo_sdk::v1::transaction_result::Status as Outcome;
use starknet_api::core::ContractAddress;
use starknet_api::state::StorageKey;
use starknet_types_core::felt::Felt;
use tokio_stream::Stream;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

/// Keeps every version of everything.
#[derive(Default)]
struct Store {
    head: AtomicU64,
    blocks: Mutex<Vec<StateMaps>>,
    classes: Mutex<HashMap<Bytes, (u64, v1::Class)>>,
    requests: AtomicUsize,
    down: AtomicBool,
    torn: AtomicBool,
}

impl Store {
    fn commit(&self, maps: StateMaps) {
        let mut blocks = self.blocks.lock().unwrap();
        blocks.push(maps);
        self.head.store(blocks.len() as u64 - 1, Ordering::SeqCst);
    }

    fn find<T>(&self, height: u64, pick: impl Fn(&StateMaps) -> Option<T>) -> Option<T> {
        self.blocks.lock().unwrap()[..=height as usize].iter().rev().find_map(pick)
    }
}

struct Served(Arc<Store>);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl StorageRead for Served {
    async fn state(&self, request: Request<v1::StateRequest>) -> Result<Response<v1::StateResponse>, Status> {
        let (store, request) = (&self.0, request.into_inner());
        store.requests.fetch_add(1, Ordering::SeqCst);
        if store.down.load(Ordering::SeqCst) {
            return Err(Status::unavailable("restarting"));
        }
        let head = store.head.load(Ordering::SeqCst);
        let height = if request.at_height { request.height } else { head };
        if height > head {
            return Ok(Response::new(v1::StateResponse { not_found: true, ..Default::default() }));
        }
        let contract = |felt: Felt| ContractAddress::try_from(felt).unwrap();
        let mut storage: Vec<Felt> = rows::<2>("storage", &request.storage)
            .map(|row| {
                let [address, key] = row.unwrap();
                let key = (contract(address), StorageKey::try_from(key).unwrap());
                store.find(height, |maps| maps.storage.get(&key).copied()).unwrap_or_default()
            })
            .collect();
        if store.torn.load(Ordering::SeqCst) {
            storage.pop();
        }
        let nonces: Vec<Felt> = rows::<1>("nonces", &request.nonces)
            .map(|row| contract(row.unwrap()[0]))
            .map(|address| store.find(height, |maps| maps.nonces.get(&address).map(|n| n.0)).unwrap_or_default())
            .collect();
        let class_hashes: Vec<Felt> = rows::<1>("class_hashes", &request.class_hashes)
            .map(|row| contract(row.unwrap()[0]))
            .map(|address| store.find(height, |maps| maps.class_hashes.get(&address).map(|c| c.0)).unwrap_or_default())
            .collect();
        let compiled: Vec<Felt> = rows::<1>("compiled", &request.compiled_class_hashes)
            .map(|row| starknet_api::core::ClassHash(row.unwrap()[0]))
            .map(|class| {
                store.find(height, |maps| maps.compiled_class_hashes.get(&class).map(|c| c.0)).unwrap_or_default()
            })
            .collect();
        Ok(Response::new(v1::StateResponse {
            height,
            not_found: false,
            storage: wire_list(&storage),
            nonces: wire_list(&nonces),
            class_hashes: wire_list(&class_hashes),
            compiled_class_hashes: wire_list(&compiled),
        }))
    }

    async fn proofs(&self, _: Request<v1::ProofsRequest>) -> Result<Response<v1::ProofsResponse>, Status> {
        Err(Status::unimplemented("execution asks for no proofs"))
    }

    type ClassesStream = Answers<v1::Class>;

    async fn classes(&self, request: Request<v1::ClassesRequest>) -> Result<Response<Self::ClassesStream>, Status> {
        let (store, request) = (&self.0, request.into_inner());
        store.requests.fetch_add(1, Ordering::SeqCst);
        let found = store.classes.lock().unwrap();
        let found = found.get(&request.hashes).filter(|(declared, _)| *declared <= request.height);
        let list: Vec<_> = found.map(|(_, class)| Ok(class.clone())).into_iter().collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(list))))
    }

    type BlocksStream = Answers<v1::Block>;

    async fn blocks(&self, _: Request<v1::BlocksRequest>) -> Result<Response<Self::BlocksStream>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn find_transaction(
        &self,
        _: Request<v1::FindTransactionRequest>,
    ) -> Result<Response<v1::FindTransactionResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }
}

/// A world whose genesis is in storage only.
struct Stored {
    world: World,
    store: Arc<Store>,
    runtime: tokio::runtime::Runtime,
    socket: std::path::PathBuf,
    listening: Option<ordo_sdk::Listening>,
}

impl Stored {
    /// The process of the storage ends; its socket goes with it.
    fn go_away(&mut self) {
        self.listening = None;
    }

    fn come_back(&mut self) {
        let _inside = self.runtime.enter();
        let routes = Routes::new(StorageReadServer::new(Served(self.store.clone())));
        self.listening = Some(ordo_sdk::listen(&self.socket, routes).unwrap());
    }
}

fn stored(name: &str, cells: usize) -> Stored {
    patient(name, cells, Duration::from_secs(20))
}

fn patient(name: &str, cells: usize, patience: Duration) -> Stored {
    let mut world = World::new(4);
    let store = Arc::new(Store::default());
    store.commit(diff::from_wire(world.genesis.state_diff.as_ref().unwrap()).unwrap());
    for class in &world.genesis.classes {
        store.classes.lock().unwrap().insert(class.hash.clone(), (0, class.clone()));
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let socket = std::env::temp_dir().join(format!("ordo-{name}-{}.sock", std::process::id()));
    let client = StorageClient::new(socket.to_str().unwrap(), runtime.handle().clone(), patience);
    world.tip = Tip::new(Limits { cells, classes: 2 }, Arc::new(Engine::off()), Some(Arc::new(client)));
    world.tip.adopt(0);
    let mut stored = Stored { world, store, runtime, socket, listening: None };
    stored.come_back();
    stored
}

#[test]
fn a_cold_tip_builds_the_same_block() {
    let warm = World::new(4);
    let mut accounts: Vec<Account> = (0..4).map(account).collect();
    let list: Vec<_> = (0..24).map(|n| accounts[n % 4].transfer(Felt::from(800 + n as u64), 2)).collect();
    let expected = warm.build(Executor::Sequential, chunks(&list, 24), None);
    for executor in [Executor::Sequential, Executor::Concurrent] {
        let cold = stored("cold", 100_000);
        let built = cold.world.build(executor, chunks(&list, 24), None);
        assert_eq!(built.results, expected.results);
        assert_eq!(built.closed.unwrap().message, expected.closed.as_ref().unwrap().message);
    }
}

#[test]
fn what_was_read_is_not_read_again_and_accounts_come_in_one_request() {
    let cold = stored("warm", 100_000);
    let mut accounts: Vec<Account> = (0..4).map(account).collect();
    let mut block = || {
        let list: Vec<_> = accounts.iter_mut().map(|account| account.transfer(Felt::from(0x800), 2)).collect();
        let before = cold.store.requests.load(Ordering::SeqCst);
        let built = cold.world.build(Executor::Sequential, chunks(&list, 4), None);
        assert!(built.results.iter().all(|result| result.status() == Outcome::Succeeded), "{:?}", built.results);
        let closed = built.closed.unwrap();
        cold.world.tip.apply(closed.height, &closed.changes, closed.classes).unwrap();
        cold.store.commit(closed.changes);
        cold.store.requests.load(Ordering::SeqCst) - before
    };
    let first = block();
    assert!(first < 40, "{first} requests");
    assert_eq!(block(), 0, "all of it was in memory");
}

#[test]
fn storage_ahead_of_the_tip_is_asked_for_the_tip() {
    let cold = stored("ahead", 100_000);
    let key = (strk(), StorageKey::from(0x5107_u64));
    let with = |value: u64| StateMaps { storage: HashMap::from([(key, Felt::from(value))]), ..Default::default() };
    cold.store.commit(with(1)); // block 1, which the tip has not heard of
    let snapshot = cold.world.snapshot();
    assert_eq!(snapshot.get_storage_at(key.0, key.1).unwrap(), Felt::ZERO);
    cold.world.tip.apply(1, &with(1), vec![]).unwrap();
    assert_eq!(cold.world.snapshot().get_storage_at(key.0, key.1).unwrap(), Felt::ONE);
    assert_eq!(snapshot.get_storage_at(key.0, key.1).unwrap(), Felt::ZERO, "a snapshot does not move");
}

#[test]
fn memory_is_bounded_and_nothing_unstored_is_forgotten() {
    let cold = stored("bounded", 640);
    let slot = |n: u64| (strk(), StorageKey::from(1_000_000 + n));
    // Block 1 is applied and not stored yet.
    let mut maps = StateMaps::default();
    for n in 0..50 {
        maps.storage.insert(slot(n), Felt::from(n + 1));
    }
    cold.world.tip.apply(1, &maps, vec![]).unwrap();
    for n in 1000..9000 {
        cold.world.snapshot().prefetch(Keys { storage: vec![slot(n)], ..Keys::default() });
    }
    assert!(cold.world.tip.cells() < 2000, "{} cells", cold.world.tip.cells());
    for n in 0..50 {
        assert_eq!(cold.world.snapshot().get_storage_at(slot(n).0, slot(n).1).unwrap(), Felt::from(n + 1));
    }
    cold.store.commit(maps);
    for n in 9000..30_000 {
        cold.world.snapshot().prefetch(Keys { storage: vec![slot(n)], ..Keys::default() });
    }
    // Forgotten or not: the values are the same.
    for n in 0..50 {
        assert_eq!(cold.world.snapshot().get_storage_at(slot(n).0, slot(n).1).unwrap(), Felt::from(n + 1));
    }
}

#[test]
fn a_storage_that_restarts_is_waited_for() {
    let cold = stored("restart", 100_000);
    cold.store.down.store(true, Ordering::SeqCst);
    let store = cold.store.clone();
    let back = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        store.down.store(false, Ordering::SeqCst);
    });
    let snapshot = cold.world.snapshot();
    assert_ne!(snapshot.get_class_hash_at(strk()).unwrap(), Default::default());
    assert_eq!(snapshot.fault(), None);
    back.join().unwrap();
}

#[test]
fn a_block_goes_on_when_storage_is_back_under_the_same_path() {
    for executor in [Executor::Sequential, Executor::Concurrent] {
        let mut cold = stored("back", 100_000);
        let mut accounts: Vec<Account> = (0..4).map(account).collect();
        let list: Vec<_> = (0..12).map(|n| accounts[n % 4].transfer(Felt::from(800 + n as u64), 2)).collect();
        // It was connected once.
        cold.world.snapshot().get_nonce_at(account(0).address).unwrap();
        cold.go_away();
        let built = std::thread::scope(|scope| {
            let world = &cold.world;
            let building = scope.spawn(move || world.build(executor, chunks(&list, 12), None));
            std::thread::sleep(Duration::from_millis(700));
            assert!(!building.is_finished(), "without a storage there is no block");
            let _inside = cold.runtime.enter();
            let routes = Routes::new(StorageReadServer::new(Served(cold.store.clone())));
            cold.listening = Some(ordo_sdk::listen(&cold.socket, routes).unwrap());
            building.join().unwrap()
        });
        assert!(built.results.iter().all(|result| result.status() == Outcome::Succeeded), "{:?}", built.results);
        assert_eq!(built.closed.unwrap().message.n, 12);
    }
}

#[test]
fn a_storage_that_stays_away_ends_the_build_as_unavailable() {
    for executor in [Executor::Sequential, Executor::Concurrent] {
        let mut cold = patient("away", 100_000, Duration::from_millis(400));
        cold.go_away();
        let mut build = cold.world.open(1, executor);
        let begun = std::time::Instant::now();
        let list = vec![account(0).transfer(Felt::from(5), 1)];
        let broken = big_stack(move || {
            build.add(v1::build_request::Add { transactions: list, classes: vec![] });
            loop {
                match build.advance() {
                    Ok(()) if build.is_idle() => panic!("results from nowhere"),
                    Ok(()) => std::thread::sleep(Duration::from_millis(1)),
                    Err(broken) => return broken,
                }
            }
        });
        let status = ordo_execution_blockifier::build_stream::status(&broken);
        assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
        assert!(status.message().contains("storage: reading"), "{status}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        cold.come_back();
        let built = cold.world.build(executor, chunks(&[account(1).transfer(Felt::from(5), 1)], 1), None);
        assert_eq!(built.results[0].status(), Outcome::Succeeded, "{}", built.results[0].reason);
    }
}

#[test]
fn a_wait_for_storage_ends_when_the_build_is_cancelled() {
    let mut cold = stored("gone", 100_000);
    cold.go_away();
    let cancel = CancellationToken::default();
    let snapshot = cold.world.snapshot().fresh(cancel.clone());
    let begun = std::time::Instant::now();
    let asker = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        cancel.cancel();
    });
    assert!(snapshot.get_class_hash_at(strk()).is_err());
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(snapshot.fault().unwrap().contains("cancelled"), "{:?}", snapshot.fault());
    asker.join().unwrap();
}

#[test]
fn a_tip_is_adopted_at_any_height() {
    let cold = stored("adopt", 100_000);
    let key = (strk(), StorageKey::from(0x5107_u64));
    let with = |value: u64| StateMaps { storage: HashMap::from([(key, Felt::from(value))]), ..Default::default() };
    for value in 1..=5 {
        cold.store.commit(with(value)); // decided elsewhere: the tip stays at 0
    }
    let read = || cold.world.snapshot().get_storage_at(key.0, key.1).unwrap();
    assert_eq!(read(), Felt::ZERO);
    cold.world.tip.adopt(5);
    assert_eq!((cold.world.tip.height(), read()), (Some(5), Felt::from(5)));
    cold.world.tip.adopt(2); // and back, as after a Revert
    assert_eq!((cold.world.tip.height(), read()), (Some(2), Felt::from(2)));
    cold.world.tip.adopt(5);
    let old = cold.world.snapshot();
    let built = cold.world.build(Executor::Auto, chunks(&[account(1).transfer(Felt::from(5), 1)], 1), None);
    assert_eq!(built.results[0].status(), Outcome::Succeeded, "{}", built.results[0].reason);
    let closed = built.closed.unwrap();
    assert!(cold.world.tip.is_base_of(&closed.base));
    cold.world.tip.adopt(5);
    assert!(!cold.world.tip.is_base_of(&closed.base), "a block on a memory that is gone cannot be applied");
    assert_eq!(old.get_storage_at(key.0, key.1).unwrap(), Felt::from(5), "a snapshot outlives its memory");
}

#[test]
fn a_wrong_answer_of_storage_ends_the_build() {
    for executor in [Executor::Sequential, Executor::Concurrent] {
        let cold = stored("torn", 100_000);
        cold.store.torn.store(true, Ordering::SeqCst);
        let mut build = cold.world.open(1, executor);
        let mut sender = account(0);
        let list = (0..6).map(|n| sender.transfer(Felt::from(n as u64 + 5), 1)).collect();
        build.add(v1::build_request::Add { transactions: list, classes: vec![] });
        let broken = big_stack(|| loop {
            match build.advance() {
                Ok(()) if build.is_idle() => panic!("results from nonsense"),
                Ok(()) => std::thread::sleep(Duration::from_millis(1)),
                Err(broken) => return broken,
            }
        });
        let text = format!("{broken:?}");
        assert!(text.contains("Storage") && text.contains("values for"), "{text}");
        // Storage answers right again, and the next build succeeds.
        cold.store.torn.store(false, Ordering::SeqCst);
        let built = cold.world.build(executor, chunks(&[account(1).transfer(Felt::from(5), 1)], 1), None);
        assert_eq!(built.results[0].status(), Outcome::Succeeded, "{}", built.results[0].reason);
    }
}

#[test]
fn the_past_is_read_at_its_height() {
    let cold = stored("past", 100_000);
    let key = (strk(), StorageKey::from(0x5107_u64));
    for value in 1..=3_u64 {
        let maps = StateMaps { storage: HashMap::from([(key, Felt::from(value))]), ..Default::default() };
        cold.world.tip.apply(value, &maps, vec![]).unwrap();
        cold.store.commit(maps);
    }
    let client = cold.world.tip.client().unwrap();
    for height in 0..=3 {
        use ordo_execution_blockifier::state::Source;
        let historical =
            Source::Historical(Historical::new(client.clone(), height, CancellationToken::default()).unwrap());
        assert_eq!(historical.get_storage_at(key.0, key.1).unwrap(), Felt::from(height));
        let token = historical.get_class_hash_at(strk()).unwrap();
        assert_eq!(token.word()[..], cold.world.genesis.classes[1].hash[..]);
        assert!(historical.get_compiled_class(token).is_ok());
    }
    assert!(Historical::new(client.clone(), 4, CancellationToken::default()).is_err());
}

//! Programs that need more stack or memory than there is: machine code answers as the virtual machine does, and the process goes on.
#![cfg(feature = "native")]

mod common;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::*;
use ordo_execution_blockifier::cancel::CancellationToken;
use ordo_execution_blockifier::config::Executor;
use ordo_execution_blockifier::felts::{felts, wire, wire_list};
use ordo_execution_blockifier::native::{Engine, Settings, Wait};
use ordo_execution_blockifier::run::Limits;
use ordo_execution_blockifier::transactions::ClassInfos;
use ordo_execution_blockifier::view::{answer, At, Bounds};
use ordo_execution_blockifier::{arithmetic, classes, command, validate};
use ordo_sdk::v1;
use ordo_sdk::v1::transaction_result::Status;
use ordo_sdk::v1::view_error::Code;
use ordo_sdk::v1::view_request::View;
use ordo_sdk::v1::view_response::Result as Answer;
use starknet_api::core::ContractAddress;
use starknet_types_core::felt::Felt;

const CONTRACT: u64 = 0xa77ac4;

/// What contracts/cairo/attack.cairo compiles to, which the set-up of the tests makes.
fn class() -> Option<v1::Class> {
    let Some(folder) = std::env::var_os("ORDO_E2E_CAIRO") else {
        assert!(std::env::var_os("CI").is_none(), "ORDO_E2E_CAIRO is not set: scripts/test.sh sets it");
        eprintln!("left out: ORDO_E2E_CAIRO is not set, scripts/test.sh sets it");
        return None;
    };
    let file = PathBuf::from(folder).join("attack.contract_class.json");
    let text = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    Some(big_stack(move || command::class_of(&text).unwrap()))
}

fn native() -> Engine {
    arithmetic::install();
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("native");
    let program = env!("CARGO_BIN_EXE_ordo-execution-blockifier").into();
    Engine::start(Settings { program, cache, most: 1 << 30, seconds: Duration::from_secs(600), wait: Wait::All })
        .unwrap()
}

/// Held by tests that build blocks: the limits of transactions belong to the process, as one block is open at a time.
static BLOCKS: Mutex<()> = Mutex::new(());

fn building() -> MutexGuard<'static, ()> {
    BLOCKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A world with the contract in it, after block 1.
fn world(engine: Engine, class: &v1::Class) -> World {
    let world = World::on(4, engine);
    let hash = classes::hash(class).unwrap();
    let loaded = classes::load(class).unwrap();
    loaded.attach_native(world.tip.engine(), hash, class);
    assert_eq!(loaded.is_native(), world.tip.engine().on());
    let mut maps = blockifier::state::cached_state::StateMaps::default();
    maps.class_hashes.insert(ContractAddress::from(CONTRACT), hash);
    maps.compiled_class_hashes.insert(hash, loaded.compiled_hash);
    world.tip.apply(1, &maps, vec![(hash, loaded)]).unwrap();
    world
}

fn call(world: &World, limits: Limits, name: &str, arguments: &[Felt]) -> Answer {
    let view = View::Call(v1::CallView {
        contract: wire(&ContractAddress::from(CONTRACT)),
        selector: wire(&selector(name)),
        calldata: wire_list(arguments),
    });
    let request = v1::ViewRequest { context: Some(context(2)), view: Some(view), ..Default::default() };
    let at = At {
        tip: world.snapshot(),
        open: None,
        client: None,
        cancel: CancellationToken::default(),
        bounds: Bounds::default(),
        limits,
    };
    big_stack(|| answer(&world.chain, at, &request).unwrap().result.unwrap())
}

/// An INVOKE with all the gas that a transaction may have.
fn deep(sender: &mut Account, name: &str, depth: u64) -> v1::Transaction {
    let mut transaction = sender.invoke(ContractAddress::from(CONTRACT), name, &[Felt::from(depth)]);
    transaction.resource_bounds = bounds(1_190_000_000);
    sender.sign(transaction, &ClassInfos::new())
}

#[test]
fn every_depth_that_gas_allows_has_the_answer_of_the_virtual_machine() {
    let Some(class) = class() else { return };
    let (vm, native) = (world(Engine::off(), &class), world(native(), &class));
    for (name, depth) in [
        ("recurse", 1_000_u64),
        ("recurse", 400_000),
        ("recurse", 900_000),
        ("recurse_big", 3_000),
        ("recurse_big", 10_000),
        ("recurse_512", 300),
        ("recurse_512", 30_000),
    ] {
        let arguments = [Felt::from(depth)];
        let expected = call(&vm, Limits::NONE, name, &arguments);
        assert_eq!(call(&native, Limits::NONE, name, &arguments), expected, "{name}({depth})");
    }
    let Answer::Call(sum) = call(&native, Limits::NONE, "recurse", &[Felt::from(400_000)]) else { panic!("no sum") };
    assert_eq!(felts("sum", &sum).unwrap(), [Felt::from(400_000_u64 * 400_001 / 2)]);
}

#[test]
fn a_block_holds_deep_transactions_alike() {
    let Some(class) = class() else { return };
    let _building = building();
    let (vm, native) = (world(Engine::off(), &class), world(native(), &class));
    let mut list = Vec::new();
    for (index, (name, depth)) in
        [("recurse", 300_000_u64), ("recurse_big", 8_000), ("recurse", 10), ("recurse_512", 5_000)]
            .into_iter()
            .enumerate()
    {
        let mut sender = account(index as u64);
        list.push(sender.transfer(Felt::from(0x99), 1));
        list.push(deep(&mut sender, name, depth));
        list.push(sender.transfer(Felt::from(0x98), 1));
    }
    let one = vm.build(Executor::Sequential, chunks(&list, list.len()), None);
    for result in &one.results {
        assert_eq!(result.status(), Status::Succeeded, "{}", result.reason);
    }
    for executor in [Executor::Sequential, Executor::Concurrent] {
        let other = native.build(executor, chunks(&list, list.len()), None);
        assert_eq!(other.results.len(), one.results.len());
        for (index, (left, right)) in other.results.iter().zip(&one.results).enumerate() {
            assert_eq!(left, right, "transaction {index}, {executor:?}");
        }
        assert_eq!(other.closed.as_ref().unwrap().message, one.closed.as_ref().unwrap().message);
    }
}

#[test]
fn what_system_calls_copy_is_bounded_in_a_view() {
    let Some(class) = class() else { return };
    let small = Limits { memory: 64 << 20, process: u64::MAX };
    let bomb = [100_000_u64, 400, CONTRACT, 7].map(Felt::from);
    for world in [world(Engine::off(), &class), world(native(), &class)] {
        match call(&world, small, "call_bomb", &bomb) {
            Answer::Error(error) => {
                assert_eq!(error.code(), Code::Memory);
                assert_eq!(error.error.unwrap().message, "it needs more than 64 MiB of memory");
            }
            other => panic!("{other:?}"),
        }
        assert!(
            matches!(call(&world, small, "recurse", &[Felt::from(10)]), Answer::Call(_)),
            "the next one is answered"
        );
    }
}

#[test]
fn a_transaction_of_an_own_block_is_rejected_over_its_memory_and_one_of_a_decided_block_fails_it() {
    let Some(class) = class() else { return };
    let _building = building();
    for engine in [Engine::off(), native()] {
        let world = world(engine, &class);
        let mut sender = account(0);
        let bomb = [100_000_u64, 400, CONTRACT, 7].map(Felt::from);
        let mut bomb = sender.invoke(ContractAddress::from(CONTRACT), "call_bomb", &bomb);
        bomb.resource_bounds = bounds(1_190_000_000);
        let bomb = account(0).sign(bomb, &ClassInfos::new());
        let list = [bomb, account(1).transfer(Felt::from(0x99), 1)];
        for executor in [Executor::Sequential, Executor::Concurrent] {
            let small = Limits { memory: 64 << 20, process: u64::MAX };
            let built = world.build_within(small, true, executor, chunks(&list, 2));
            let status: Vec<_> = built.results.iter().map(|result| result.status()).collect();
            assert_eq!(status, [Status::Rejected, Status::Succeeded], "{executor:?}");
            assert_eq!(built.results[0].reason, "execution: it needs more than 64 MiB of memory");
            let failed = world.build_within(small, false, executor, chunks(&list, 2)).failed.unwrap();
            assert!(failed.message().contains("more than 64 MiB of memory"), "{failed}");
            let whole = world.build_within(Limits::NONE, false, executor, chunks(&list, 2));
            assert!(whole.results.iter().all(|result| result.status() == Status::Succeeded), "{executor:?}");
        }
    }
}

#[test]
fn no_transaction_is_rejected_for_what_others_hold() {
    let Some(class) = class() else { return };
    let _building = building();
    let world = world(native(), &class);
    let list: Vec<_> = (0..4)
        .map(|index| {
            let arguments = [50_000_u64, 20, CONTRACT, 7].map(Felt::from);
            let mut heavy = account(index).invoke(ContractAddress::from(CONTRACT), "call_bomb", &arguments);
            heavy.resource_bounds = bounds(1_190_000_000);
            account(index).sign(heavy, &ClassInfos::new())
        })
        .collect();
    // The process holds more than this before the first one begins.
    let full = Limits { memory: 512 << 20, process: 1 << 20 };
    for executor in [Executor::Sequential, Executor::Concurrent] {
        let built = world.build_within(full, true, executor, chunks(&list, list.len()));
        for result in &built.results {
            assert_eq!(result.status(), Status::Succeeded, "{executor:?}: {}", result.reason);
        }
    }
}

#[test]
fn an_accepted_transaction_that_fills_the_memory_of_a_trial_is_heavy_and_others_are_not() {
    let Some(class) = class() else { return };
    let world = world(native(), &class);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let verdict = |calls: u64, gas: u64| {
        let arguments = [100_000_u64, calls, CONTRACT, 7].map(Felt::from);
        let mut invoke = account(0).invoke(ContractAddress::from(CONTRACT), "call_bomb", &arguments);
        invoke.resource_bounds = bounds(gas);
        let transaction = Some(account(0).sign(invoke, &ClassInfos::new()));
        let item = v1::validate_request::Item { transaction, ..Default::default() };
        let block = validate::block(&world.chain, &context(2)).unwrap();
        let base = validate::Base { tip: world.snapshot(), open: None };
        // Its time is not looked at: that depends on the machine.
        let timer = runtime.handle().clone();
        let trial = validate::Trial { timer, time: Duration::MAX, process: u64::MAX, pool: world.pool.clone() };
        let verdict = big_stack(|| {
            validate::verdict(&base, &block, &item, CancellationToken::default(), Limits::NONE, Some(&trial)).unwrap()
        });
        assert_eq!(verdict.rejection, 0, "{}", verdict.reason);
        verdict.heavy
    };
    assert!(!verdict(400, 20_000_000), "it has no gas for that, and is not tried");
    assert!(verdict(400, 1_190_000_000));
    assert!(!verdict(1, 1_190_000_000), "it is over before");
    assert!(!verdict(400, 1_190_000_000), "its kind ran light");
    let _building = building();
    let arguments = [100_000_u64, 400, CONTRACT, 7].map(Felt::from);
    let mut bomb = account(1).invoke(ContractAddress::from(CONTRACT), "call_bomb", &arguments);
    bomb.resource_bounds = bounds(1_190_000_000);
    let small = Limits { memory: 64 << 20, process: u64::MAX };
    let list = [account(1).sign(bomb, &ClassInfos::new())];
    let built = world.build_within(small, true, Executor::Sequential, chunks(&list, 1));
    assert_eq!(built.results[0].status(), Status::Rejected);
    assert!(verdict(400, 1_190_000_000), "one held up a block");
    assert!(!verdict(1, 1_190_000_000));
    assert!(verdict(400, 1_190_000_000), "its class is tried from then on");
}

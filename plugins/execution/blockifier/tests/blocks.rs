//! Blocks: the same on every executor, in every split, and after every prefix.

mod common;

use blockifier::blockifier::config::TransactionExecutorConfig;
use blockifier::blockifier::transaction_executor::TransactionExecutor;
use blockifier::execution::casm_hash_estimation::{CasmV2HashResourceEstimate, EstimateCasmHashResources};
use blockifier::execution::contract_class::RunnableCompiledClass;
use blockifier::state::cached_state::StateMaps;
use common::*;
use ordo_execution_blockifier::classes::{self, declared};
use ordo_execution_blockifier::config::Executor;
use ordo_execution_blockifier::context::Block;
use ordo_execution_blockifier::diff::{self, check_canonical};
use ordo_execution_blockifier::transactions::{executable, Flags};
use ordo_sdk::v1;
use ordo_sdk::v1::build_request::Add;
use ordo_sdk::v1::transaction_result::Status;
use ordo_sdk::v1::RejectionCode;
use starknet_types_core::felt::Felt;

#[test]
fn every_executor_and_split_gives_the_same_block() {
    let world = World::new(6);
    let (list, classes) = mixed(&world, 60);
    let one = world.build(Executor::Sequential, adds(&list, &classes, list.len()), None);
    let count = |status| one.results.iter().filter(|result| result.status() == status).count();
    assert_eq!(one.results.len(), list.len());
    assert_eq!((count(Status::Reverted), count(Status::Rejected)), (6, 13), "the mix is not what it was");
    assert!(count(Status::Succeeded) > 40);
    let codes: Vec<_> = one.results.iter().filter(|r| r.status() == Status::Rejected).map(|r| r.rejection()).collect();
    for expected in [RejectionCode::InvalidNonce, RejectionCode::ValidationFailure, RejectionCode::ClassAlreadyDeclared]
    {
        assert!(codes.contains(&expected), "{codes:?}");
    }
    check_canonical(one.diff()).unwrap();
    assert_eq!(one.closed.as_ref().unwrap().message.classes, classes);

    for (executor, size) in [
        (Executor::Concurrent, list.len()),
        (Executor::Concurrent, 7),
        (Executor::Concurrent, 1),
        (Executor::Auto, 3),
        (Executor::Auto, 16),
        (Executor::Sequential, 1),
    ] {
        let other = world.build(executor, adds(&list, &classes, size), None);
        assert_eq!(other.results, one.results, "{executor:?} in chunks of {size}");
        assert_eq!(other.closed.as_ref().unwrap().message, one.closed.as_ref().unwrap().message);
    }
}

#[test]
fn a_prefix_is_as_if_the_rest_had_never_been() {
    let world = World::new(6);
    let (list, classes) = mixed(&world, 30);
    for n in [0, 1, 4, 12, 13, 14, 20, 24, list.len()] {
        let alone = world.build(Executor::Sequential, adds(&list, &classes, list.len()), Some(n as u64));
        let cut = match n {
            0 => world.build(Executor::Sequential, vec![], None),
            _ => world.build(Executor::Sequential, adds(&list[..n], &classes, n), None),
        };
        let concurrent = world.build(Executor::Concurrent, adds(&list, &classes, 9), Some(n as u64));
        assert_eq!(alone.results[..n], cut.results[..], "n = {n}");
        for other in [&alone, &concurrent] {
            assert_eq!(other.closed.as_ref().unwrap().message, cut.closed.as_ref().unwrap().message, "n = {n}");
        }
    }
}

/// What blockifier itself makes of a block on the tip, with its aliases.
fn finalized_by_blockifier(world: &World, number: u64, list: &[v1::Transaction], classes: &[v1::Class]) -> StateMaps {
    big_stack(|| {
        let block = Block::new(&world.chain, &context(number), world.limits.bouncer()).unwrap();
        let config = TransactionExecutorConfig::default();
        let context = block.context.as_ref().clone();
        let mut executor =
            TransactionExecutor::pre_process_and_create(world.snapshot(), context, block.old_hash, config).unwrap();
        let infos = classes.iter().map(|class| declared(class).map(|(hash, info, _)| (hash, info)).unwrap()).collect();
        let runs: Vec<_> = list.iter().map(|wire| executable(wire, &infos, Flags::default()).unwrap()).collect();
        assert_eq!(executor.execute_txs(&runs, None).len(), list.len());
        let diff = executor.finalize().unwrap().state_diff;
        StateMaps {
            nonces: diff.address_to_nonce.into_iter().collect(),
            class_hashes: diff.address_to_class_hash.into_iter().collect(),
            storage: diff
                .storage_updates
                .into_iter()
                .flat_map(|(address, slots)| slots.into_iter().map(move |(key, value)| ((address, key), value)))
                .collect(),
            declared_contracts: diff.class_hash_to_compiled_class_hash.keys().map(|class| (*class, true)).collect(),
            compiled_class_hashes: diff.class_hash_to_compiled_class_hash.into_iter().collect(),
        }
    })
}

#[test]
fn the_diff_is_the_one_that_blockifier_finalizes() {
    let world = World::new(6);
    let (list, classes) = mixed(&world, 40);
    let ours = world.build(Executor::Auto, adds(&list, &classes, 10), None);
    let ours = diff::from_wire(ours.diff()).unwrap();
    assert_eq!(ours, finalized_by_blockifier(&world, 1, &list, &classes));
    assert!(ours.storage.keys().any(|(address, _)| *address.0.key() == Felt::TWO), "aliases are part of the diff");
}

/// Blocks one after the other: aliases that are there and new ones, contracts that come back, balances that end where they were,
/// a block of nothing, and the hashes of old blocks.
#[test]
fn the_diffs_of_a_chain_are_those_that_blockifier_finalizes() {
    let world = World::new(5);
    let mut accounts: Vec<Account> = (0..5).map(account).collect();
    for number in 1..=12_u64 {
        let list: Vec<_> = (0..40 * (number % 3))
            .map(|n| {
                let (from, other) = ((n % 4) as usize, accounts[4].address);
                match n % 5 {
                    0 => accounts[from].transfer(*other.0.key(), 7),
                    1 => accounts[4].transfer(*account(n % 4).address.0.key(), 7),
                    2 => accounts[from].transfer(Felt::from(n), 1), // keys below and above the first alias
                    3 => accounts[from].transfer(Felt::from(u128::from(number * n)) * Felt::TWO.pow(120_u128), 3),
                    _ => accounts[from].transfer(Felt::from(9_000 + n % 10), 2),
                }
            })
            .collect();
        let built = world.build(Executor::Auto, chunks(&list, 16), None);
        let closed = built.closed.unwrap();
        let ours = diff::from_wire(closed.message.state_diff.as_ref().unwrap()).unwrap();
        assert_eq!(ours, finalized_by_blockifier(&world, number, &list, &[]), "block {number}");
        world.tip.apply(number, &closed.changes, closed.classes).unwrap();
    }
}

#[test]
fn blocks_follow_each_other_on_what_was_applied() {
    let world = World::new(2);
    let mut sender = account(0);
    for number in 1..=12 {
        let list: Vec<_> = (0..6).map(|n| sender.transfer(Felt::from(5_000 + number * 10 + n), 3)).collect();
        let built = world.build(Executor::Auto, chunks(&list, 2), None);
        assert!(built.results.iter().all(|result| result.status() == Status::Succeeded), "{:?}", built.results);
        let closed = built.closed.unwrap();
        if number >= 10 {
            let first = &closed.message.state_diff.as_ref().unwrap().storage[0];
            assert_eq!(first.address, ordo_execution_blockifier::felts::wire(&Felt::ONE), "block hashes are written");
        }
        world.tip.apply(number, &closed.changes, closed.classes).unwrap();
        assert_eq!(world.tip.height(), Some(number));
    }
    let stale = world.tip.apply(12, &Default::default(), vec![]).unwrap_err();
    assert_eq!(stale.tip, Some(12));
}

#[test]
fn deltas_add_up_to_the_block() {
    let world = World::new(6);
    let (list, classes) = mixed(&world, 40);
    let built = world.build(Executor::Auto, adds(&list, &classes, 5), None);
    assert!(built.deltas.len() > 1);
    let mut sum = blockifier::state::cached_state::StateMaps::default();
    for delta in &built.deltas {
        check_canonical(delta).unwrap();
        sum.extend(&diff::from_wire(delta).unwrap());
    }
    let whole = diff::from_wire(built.diff()).unwrap();
    assert_eq!(sum.nonces, whole.nonces);
    assert_eq!(sum.class_hashes, whole.class_hashes);
    assert_eq!(sum.compiled_class_hashes, whole.compiled_class_hashes);
    for (key, value) in whole.storage.iter().filter(|((address, _), _)| *address.0.key() != Felt::TWO) {
        assert_eq!(sum.storage.get(key), Some(value));
    }
}

#[test]
fn a_full_block_says_so_and_closes_where_it_is() {
    let mut world = World::new(3);
    world.limits.max_transactions = 7;
    let mut sender = account(0);
    let list: Vec<_> = (0..20).map(|n| sender.transfer(Felt::from(900 + n), 1)).collect();
    let mut messages = Vec::new();
    for executor in [Executor::Sequential, Executor::Concurrent, Executor::Auto] {
        let built = world.build(executor, chunks(&list, 20), None);
        let full = built.full.as_ref().expect("full");
        assert_eq!(full.n, 7, "{executor:?}");
        assert!(full.why.contains("transactions, 7 of 7"), "{}", full.why);
        messages.push(built.closed.unwrap().message);
    }
    assert_eq!(messages[0], messages[1]);
    assert_eq!(messages[0], messages[2]);
    assert_eq!(messages[0].n, 7);
}

#[test]
fn what_cannot_be_read_or_run_is_rejected_and_the_block_goes_on() {
    let world = World::new(2);
    let mut sender = account(0);
    let good = sender.transfer(Felt::from(5), 1);
    let odd = v1::Transaction { calldata: vec![1; 33].into(), ..good.clone() };
    let query = v1::Transaction { query_only: true, ..good.clone() };
    let unknown = v1::Transaction { r#type: 99, ..good.clone() };
    let mut poor = Account { address: starknet_api::core::ContractAddress::from(0xdead_u64), key: Felt::ONE, nonce: 0 };
    let poor_transfer = poor.transfer(Felt::from(5), 1);
    let lonely = account(1).declare(&cairo_test_class("hello_starknet__hello_starknet"));
    let list = [odd, query, unknown, poor_transfer, lonely, good];
    for executor in [Executor::Sequential, Executor::Concurrent] {
        let built = world.build(executor, chunks(&list, 6), None);
        let got: Vec<_> = built.results.iter().map(|result| (result.status(), result.rejection())).collect();
        assert_eq!(
            got,
            [
                (Status::Rejected, RejectionCode::Other),
                (Status::Rejected, RejectionCode::Other),
                (Status::Rejected, RejectionCode::Other),
                (Status::Rejected, RejectionCode::InsufficientBalance),
                (Status::Rejected, RejectionCode::ClassNotDeclared),
                (Status::Succeeded, RejectionCode::Unspecified),
            ]
        );
        assert!(built.results[0].reason.contains("calldata: 33 bytes"), "{}", built.results[0].reason);
        let gas = built.closed.unwrap().message.gas_used.unwrap();
        assert_eq!(Some(gas), built.results[5].gas);
    }
}

#[test]
fn closing_beyond_the_results_is_an_error() {
    let world = World::new(1);
    let list = [account(0).transfer(Felt::from(5), 1)];
    let built = world.build(Executor::Sequential, chunks(&list, 1), Some(2));
    let status = built.failed.unwrap();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert!(status.message().contains("Close(2) with only 1 results sent"), "{status}");
}

#[test]
fn an_open_block_that_waits_gives_the_workers_back() {
    let world = World::new(2);
    let mut build = world.open(1, Executor::Concurrent);
    let mut sender = account(0);
    let list: Vec<_> = (0..8).map(|n| sender.transfer(Felt::from(900 + n), 1)).collect();
    build.add(Add { transactions: list, classes: vec![] });
    while !build.is_idle() {
        build.advance().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert_eq!(build.waiting(), 8);
    assert!(!build.in_segment());
}

/// Set-up lets blockifier remember what it estimated of a class (patches/blockifier.patch): each time the same as computed.
#[test]
fn estimates_of_classes_are_what_is_computed() {
    for class in [token_class(), cairo_test_class("account__account")] {
        for _ in 0..2 {
            let loaded = classes::load(&class).unwrap();
            let RunnableCompiledClass::V1(casm) = loaded.vm() else { panic!("a class of Sierra") };
            let computed = CasmV2HashResourceEstimate::estimated_resources_of_compiled_class_hash(
                casm.bytecode_segment_felt_sizes(),
                &casm.entry_points_by_type,
            );
            for _ in 0..3 {
                assert_eq!(loaded.vm().estimate_casm_hash_computation_resources(), computed);
            }
        }
    }
}

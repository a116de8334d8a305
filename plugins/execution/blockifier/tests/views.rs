//! What runs beside the block: calls, estimates, simulations, traces, admission, compiling.

mod common;

use bytes::Bytes;
use common::*;
use ordo_execution_blockifier::cancel::CancellationToken;
use ordo_execution_blockifier::casm::compile;
use ordo_execution_blockifier::config::Executor;
use ordo_execution_blockifier::felts::{amount, felt as read_felt, felts, wire, wire_list};
use ordo_execution_blockifier::run::Limits;
use ordo_execution_blockifier::state::Overlay;
use ordo_execution_blockifier::validate;
use ordo_execution_blockifier::view::{answer, At, Bounds};
use ordo_sdk::v1;
use ordo_sdk::v1::build_request::Add;
use ordo_sdk::v1::state_at::At as Where;
use ordo_sdk::v1::view_error::Code;
use ordo_sdk::v1::view_request::View;
use ordo_sdk::v1::view_response::Result as Answer;
use ordo_sdk::v1::RejectionCode;
use starknet_api::core::ContractAddress;
use starknet_types_core::felt::Felt;

fn view(world: &World, at: Option<Where>, view: View) -> Answer {
    let request = v1::ViewRequest {
        at: Some(v1::StateAt { at }),
        context: Some(context(1)),
        view: Some(view),
        timeout_ms: 0,
        memory_mib: 0,
    };
    let at = At {
        tip: world.snapshot(),
        open: None,
        client: None,
        cancel: CancellationToken::default(),
        bounds: Bounds::default(),
        limits: Limits::NONE,
    };
    big_stack(|| answer(&world.chain, at, &request).unwrap().result.unwrap())
}

fn call(contract: ContractAddress, name: &str, arguments: &[Felt]) -> View {
    View::Call(v1::CallView {
        contract: wire(&contract),
        selector: wire(&selector(name)),
        calldata: wire_list(arguments),
    })
}

fn refused(answer: Answer) -> v1::ViewError {
    match answer {
        Answer::Error(error) => error,
        other => panic!("expected an error, got {other:?}"),
    }
}

#[test]
fn a_call_returns_what_the_contract_says() {
    let world = World::new(1);
    let holder = *account(0).address.0.key();
    let Answer::Call(result) = view(&world, None, call(strk(), "balanceOf", &[holder])) else { panic!("no result") };
    assert_eq!(felts("result", &result).unwrap(), [Felt::from(10_u128.pow(24)), Felt::ZERO]);
}

#[test]
fn calls_fail_by_name() {
    let world = World::new(1);
    let nowhere = ContractAddress::from(0x1234_u64);
    let error = refused(view(&world, None, call(nowhere, "balanceOf", &[])));
    assert_eq!(error.code(), Code::ContractNotFound);
    let error = refused(view(&world, None, call(strk(), "no_such_function", &[])));
    assert_eq!(error.code(), Code::EntrypointNotFound);
    // The caller's address, 0, holds nothing.
    let error = refused(view(&world, None, call(strk(), "transfer", &[Felt::ONE, Felt::TWO, Felt::ZERO])));
    assert_eq!(error.code(), Code::ContractError);
    let inner = error.error.unwrap();
    assert_eq!(read_felt("contract", &inner.frames[0].contract).unwrap(), felt(STRK));
    assert!(inner.message.contains("ERC20"), "{}", inner.message);
    let error = refused(view(&world, Some(Where::Height(77)), call(strk(), "balanceOf", &[])));
    assert_eq!(error.code(), Code::StateNotFound);
}

fn simulation(transactions: Vec<v1::Transaction>) -> v1::Simulation {
    v1::Simulation { transactions, ..Default::default() }
}

fn simulated(world: &World, wanted: v1::Simulation) -> v1::SimulationResults {
    match view(world, None, View::Simulate(wanted)) {
        Answer::Simulation(results) => results,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_estimate_is_enough_and_not_much_more() {
    let world = World::new(2);
    let mut sender = account(0);
    let mut asked = sender.transfer(Felt::from(0x99), 7);
    asked.resource_bounds = None; // as clients ask
    let wanted = v1::Simulation { estimate: true, skip_validate: true, ..simulation(vec![asked.clone()]) };
    let results = simulated(&world, wanted);
    let fee = results.transactions[0].fee.clone().unwrap();
    let gas = fee.gas.unwrap();
    assert!(gas.l2_gas > 500_000 && gas.l2_gas < 5_000_000, "{gas:?}");
    assert!(gas.l1_data_gas > 0);
    let cost = u128::from(gas.l1_gas + gas.l1_data_gas + gas.l2_gas) * PRICE;
    assert_eq!(amount("fee", &fee.overall_fee).unwrap(), cost);

    // With the bounds of the estimate and a fifth on top the block takes it; the signature costs something, too.
    let mut sender = account(0);
    let mut real = sender.transfer(Felt::from(0x99), 7);
    let bounds = real.resource_bounds.as_mut().unwrap();
    bounds.l2_gas_amount = gas.l2_gas * 6 / 5;
    bounds.l1_data_gas_amount = gas.l1_data_gas;
    bounds.l1_gas_amount = gas.l1_gas;
    let real = sender.sign(real, &Default::default());
    let built = world.build(Executor::Sequential, chunks(&[real], 1), None);
    assert_eq!(built.results[0].status(), v1::transaction_result::Status::Succeeded, "{:?}", built.results[0]);
}

#[test]
fn a_simulation_runs_on_and_leaves_nothing() {
    let world = World::new(2);
    let (mut sender, to) = (account(0), Felt::from(0x99));
    let list = vec![sender.transfer(to, 7), sender.transfer(to, 8), sender.transfer(to, 10_u128.pow(30))];
    let wanted = v1::Simulation { trace: true, initial_reads: true, ..simulation(list.clone()) };
    let results = simulated(&world, wanted.clone());
    assert_eq!(results.transactions.len(), 3);
    let trace = results.transactions[0].trace.clone().unwrap();
    assert_eq!(trace.r#type(), v1::TransactionType::Invoke);
    let execute = trace.execute.unwrap();
    assert_eq!(execute.selector, wire(&selector("__execute__")));
    assert_eq!(execute.calls.len(), 1);
    assert_eq!(read_felt("contract", &execute.calls[0].contract).unwrap(), felt(STRK));
    assert_eq!(execute.calls[0].events.len(), 1);
    assert!(trace.validate.is_some() && trace.fee_transfer.is_some());
    assert!(execute.gas.unwrap().l2_gas > execute.calls[0].gas.unwrap().l2_gas);
    let reverted = results.transactions[2].trace.clone().unwrap();
    assert!(reverted.revert_reason.contains("ERC20"), "{}", reverted.revert_reason);
    assert!(reverted.execute.is_none());
    let reads = results.initial_reads.clone().unwrap();
    assert!(!reads.storage.is_empty() && !reads.nonces.is_empty() && !reads.class_hashes.is_empty());
    // Nothing was written: the same again gives the same.
    assert_eq!(simulated(&world, wanted), results);

    // And it is what the block does with them.
    let built = world.build(Executor::Sequential, chunks(&list, 3), None);
    let told: Vec<_> = results.transactions.into_iter().map(|one| one.result.unwrap()).collect();
    assert_eq!(told, built.results);
}

/// A client that sends three transactions at once asks about each at a block in which none of them has run.
#[test]
fn a_nonce_may_be_ahead_of_the_account() {
    let world = World::new(2);
    let (mut sender, to) = (account(0), Felt::from(0x99));
    let list: Vec<_> = (0..4).map(|_| sender.transfer(to, 7)).collect();
    let [first, second, third, fourth] = <[v1::Transaction; 4]>::try_from(list).unwrap();
    let asked = |list: Vec<v1::Transaction>| v1::Simulation {
        estimate: true,
        trace: true,
        initial_reads: true,
        ..simulation(list)
    };
    let alone = simulated(&world, asked(vec![first.clone()]));
    let ahead = simulated(&world, asked(vec![third.clone(), fourth.clone()]));
    assert_eq!(ahead.transactions[0].fee.as_ref().unwrap().gas, alone.transactions[0].fee.as_ref().unwrap().gas);
    // The account had nonce 0 and has the one after the transaction's.
    let reads = ahead.initial_reads.unwrap();
    assert_eq!(reads.nonces, alone.initial_reads.unwrap().nonces);
    let after = |trace: &v1::SimulatedTransaction| trace.trace.clone().unwrap().state_diff.unwrap().nonces;
    let nonces = |n: u64| wire_list(&[*account(0).address.0.key(), Felt::from(n)]);
    assert_eq!(after(&ahead.transactions[0]), nonces(3));
    assert_eq!(after(&ahead.transactions[1]), nonces(4));

    // What follows in the list has to follow on: neither a gap, nor the same twice, nor what is over.
    for list in [vec![first.clone(), third.clone()], vec![third.clone(), third.clone()], vec![third, second]] {
        let error = refused(view(&world, None, View::Simulate(asked(list))));
        assert_eq!((error.code(), error.index), (Code::ExecutionError, 1));
    }
    // So far ahead the pool takes none.
    for _ in 4..=200 {
        sender.transfer(to, 7);
    }
    let far = sender.transfer(to, 7);
    let error = refused(view(&world, None, View::Simulate(asked(vec![far]))));
    assert_eq!((error.code(), error.index), (Code::ExecutionError, 0));
    assert!(error.error.unwrap().message.contains("nonce"));
}

#[test]
fn a_simulation_without_fee_needs_no_bounds() {
    let world = World::new(1);
    let mut asked = account(0).transfer(Felt::from(0x99), 7);
    asked.resource_bounds = None;
    let free = v1::Simulation { skip_fee_charge: true, skip_validate: true, ..simulation(vec![asked.clone()]) };
    let result = simulated(&world, free).transactions[0].result.clone().unwrap();
    assert_eq!(result.status(), v1::transaction_result::Status::Succeeded, "{}", result.reason);

    let charged = v1::Simulation { skip_validate: true, ..simulation(vec![asked]) };
    let error = refused(view(&world, None, View::Simulate(charged)));
    assert_eq!((error.code(), error.index), (Code::ExecutionError, 0));
    assert!(error.error.unwrap().message.contains("Resource bounds were not satisfied"));
}

#[test]
fn an_estimate_of_what_reverts_names_the_transaction() {
    let world = World::new(1);
    let mut sender = account(0);
    let list = vec![sender.transfer(Felt::ONE, 1), sender.transfer(Felt::ONE, 10_u128.pow(30))];
    let error = refused(view(&world, None, View::Simulate(v1::Simulation { estimate: true, ..simulation(list) })));
    assert_eq!((error.code(), error.index), (Code::ExecutionError, 1));
    let inner = error.error.unwrap();
    assert!(inner.frames.len() >= 2 && inner.message.contains("ERC20"), "{inner:?}");
}

#[test]
fn a_message_from_l1_is_estimated_in_wei() {
    let world = World::new(1);
    let class = cairo_test_class("test_contract__test_contract");
    let contract = ContractAddress::from(0x7e57_u64);
    let mut maps = blockifier::state::cached_state::StateMaps::default();
    let hash = ordo_execution_blockifier::classes::hash(&class).unwrap();
    maps.class_hashes.insert(contract, hash);
    let loaded = ordo_execution_blockifier::classes::load(&class).unwrap();
    world.tip.apply(1, &maps, vec![(hash, loaded)]).unwrap();
    let message = v1::Transaction {
        r#type: v1::TransactionType::L1Handler.into(),
        sender: wire(&contract),
        entry_point_selector: wire(&selector("l1_handle")),
        calldata: wire_list(&[Felt::from(0xe7), Felt::from(5)]),
        ..Default::default()
    };
    let wanted = v1::Simulation { estimate: true, ..simulation(vec![message]) };
    let fee = simulated(&world, wanted).transactions[0].fee.clone().unwrap();
    assert!(fee.wei);
    assert!(fee.gas.unwrap().l1_gas > 0);
}

fn verdict(world: &World, item: v1::validate_request::Item) -> v1::validate_response::Verdict {
    verdict_on(world, None, item)
}

/// The verdict on the open block, where there is one.
fn verdict_on(
    world: &World,
    open: Option<Overlay>,
    item: v1::validate_request::Item,
) -> v1::validate_response::Verdict {
    let block = validate::block(&world.chain, &context(1)).unwrap();
    let base = validate::Base { tip: world.snapshot(), open };
    big_stack(|| validate::verdict(&base, &block, &item, CancellationToken::default(), Limits::NONE, None).unwrap())
}

fn item(transaction: v1::Transaction) -> v1::validate_request::Item {
    v1::validate_request::Item { transaction: Some(transaction), ..Default::default() }
}

#[test]
fn admission_has_a_reason_for_each_rejection() {
    let world = World::new(2);
    let good = account(0).transfer(Felt::ONE, 1);
    let code = |transaction: &v1::Transaction| {
        let verdict = verdict(&world, item(transaction.clone()));
        (verdict.rejection(), verdict.reason)
    };
    assert_eq!(code(&good), (RejectionCode::Unspecified, String::new()));

    let ahead = |by: u64| Account { nonce: by, ..account(0) }.transfer(Felt::ONE, 1);
    assert_eq!(code(&ahead(200)).0, RejectionCode::Unspecified);
    assert_eq!(code(&ahead(201)).0, RejectionCode::InvalidNonce);

    let mut forged = good.clone();
    forged.signature = wire_list(&[Felt::ONE, Felt::TWO]);
    let (rejection, reason) = code(&forged);
    assert_eq!(rejection, RejectionCode::ValidationFailure);
    assert!(reason.contains("INVALID_SIGNATURE"), "{reason}");

    let bounded = |change: fn(&mut v1::ResourceBounds)| {
        let mut account = account(0);
        let mut transaction = account.transfer(Felt::ONE, 1);
        change(transaction.resource_bounds.as_mut().unwrap());
        account.sign(transaction, &Default::default())
    };
    assert_eq!(code(&bounded(|b| b.l2_gas_amount = 10)).0, RejectionCode::InsufficientResources);
    assert_eq!(code(&bounded(|b| b.l2_gas_price = Bytes::new())).0, RejectionCode::FeeBelowMinimum);
    assert_eq!(code(&bounded(|b| b.l2_gas_amount = u64::MAX / 2)).0, RejectionCode::InsufficientBalance);

    // A rich address without an account.
    let mut maps = blockifier::state::cached_state::StateMaps::default();
    let mut young = undeployed(3, world.account_class);
    let slot = starknet_api::abi::abi_utils::get_fee_token_var_address;
    maps.storage.insert((strk(), slot(young.address)), Felt::from(10_u128.pow(24)));
    // A contract that is no account.
    let token_hash = ordo_execution_blockifier::classes::hash(&world.genesis.classes[1]).unwrap();
    let token = ContractAddress::from(0x70c_u64);
    maps.class_hashes.insert(token, token_hash);
    maps.storage.insert((strk(), slot(token)), Felt::from(10_u128.pow(24)));
    world.tip.apply(1, &maps, vec![]).unwrap();

    let deploy = young.deploy_account(world.account_class);
    assert_eq!(code(&deploy), (RejectionCode::Unspecified, String::new()));
    let first = young.transfer(Felt::ONE, 1);
    let (rejection, reason) = code(&first);
    assert_eq!(rejection, RejectionCode::ValidationFailure);
    assert!(reason.contains("is not deployed"), "{reason}");
    let waiting = v1::validate_request::Item { skip_validate: true, ..item(first) };
    assert_eq!(verdict(&world, waiting).rejection(), RejectionCode::Unspecified);

    let mut unknown = undeployed(3, world.account_class);
    let mut deploy = unknown.deploy_account(world.account_class);
    deploy.class_hash = wire(&Felt::from(0x404));
    assert_eq!(code(&deploy).0, RejectionCode::ClassNotDeclared);

    let mut token_account = Account { address: token, key: Felt::ONE, nonce: 0 };
    assert_eq!(code(&token_account.transfer(Felt::ONE, 1)).0, RejectionCode::NonAccount);
}

#[test]
fn admission_looks_at_the_open_block() {
    let world = World::new(2);
    let mut young = undeployed(3, world.account_class);
    let mut rich = account(0);
    let gift = rich.transfer(*young.address.0.key(), 10_u128.pow(20));
    let deploy = young.deploy_account(world.account_class);
    let mut build = world.open(1, Executor::Sequential);
    let mut run = |transaction: &v1::Transaction| {
        build.add(Add { transactions: vec![transaction.clone()], classes: vec![] });
        big_stack(|| {
            while !build.is_idle() {
                build.advance().unwrap();
            }
        });
        let results = build.take_results().unwrap().results;
        assert_eq!(results[0].status(), v1::transaction_result::Status::Succeeded, "{}", results[0].reason);
        build.overlay()
    };
    let code = |open: Option<Overlay>, transaction: &v1::Transaction| {
        let verdict = verdict_on(&world, open, item(transaction.clone()));
        (verdict.rejection(), read_felt("nonce", &verdict.account_nonce).unwrap())
    };
    let overlay = run(&gift);
    assert_eq!(code(None, &deploy).0, RejectionCode::InsufficientBalance);
    assert_eq!(code(Some(overlay.clone()), &deploy), (RejectionCode::Unspecified, Felt::ZERO));
    // What has run there counts, and the nonce that is told is the tip's.
    assert_eq!(code(Some(overlay), &gift), (RejectionCode::InvalidNonce, Felt::ZERO));
    let overlay = run(&deploy);
    let first = v1::validate_request::Item { skip_validate: true, ..item(young.transfer(Felt::ONE, 1)) };
    let mut forged = first.clone();
    forged.transaction.as_mut().unwrap().signature = wire_list(&[Felt::ONE, Felt::TWO]);
    assert_eq!(verdict_on(&world, Some(overlay.clone()), first).rejection(), RejectionCode::Unspecified);
    let forged = verdict_on(&world, Some(overlay), forged);
    assert_eq!(forged.rejection(), RejectionCode::ValidationFailure, "its account has code by now");
}

#[test]
fn a_declare_is_checked_before_its_class_is_compiled() {
    let world = World::new(2);
    let class = cairo_test_class("hello_starknet__hello_starknet");
    let good = account(0).declare(&class);
    let code = |transaction: &v1::Transaction| verdict(&world, item(transaction.clone())).rejection();
    assert_eq!(code(&good), RejectionCode::Unspecified);
    let mut forged = good.clone();
    forged.signature = wire_list(&[Felt::ONE, Felt::TWO]);
    assert_eq!(code(&forged), RejectionCode::ValidationFailure);
    assert_eq!(code(&Account { nonce: 1, ..account(0) }.declare(&class)), RejectionCode::InvalidNonce);
    let mut stranger = Account { address: ContractAddress::from(0x5555_u64), key: Felt::ONE, nonce: 0 };
    assert_eq!(code(&stranger.declare(&class)), RejectionCode::InsufficientBalance);
    let declared = account(0).declare(&world.genesis.classes[0]);
    assert_eq!(code(&declared), RejectionCode::ClassAlreadyDeclared);
}

#[test]
fn admission_of_declares() {
    let world = World::new(2);
    let class = cairo_test_class("hello_starknet__hello_starknet");
    let with = |transaction: v1::Transaction, class: &v1::Class| {
        verdict(&world, v1::validate_request::Item { class: Some(class.clone()), ..item(transaction) })
    };
    let good = account(0).declare(&class);
    let accepted = with(good.clone(), &class);
    assert_eq!(accepted.rejection(), RejectionCode::Unspecified, "{}", accepted.reason);
    assert_eq!(verdict(&world, item(good)).rejection(), RejectionCode::Unspecified, "without the class");

    let other = v1::Class { compiled_class_hash: wire(&Felt::from(5)), ..class.clone() };
    let wrong = account(0).declare(&other);
    assert_eq!(with(wrong, &class).rejection(), RejectionCode::CompiledClassHashMismatch);

    let known = world.genesis.classes[1].clone();
    assert_eq!(with(account(0).declare(&known), &known).rejection(), RejectionCode::ClassAlreadyDeclared);

    let early = Account { nonce: 1, ..account(0) }.declare(&class);
    assert_eq!(with(early, &class).rejection(), RejectionCode::InvalidNonce);
}

#[test]
fn compiling_answers_for_everything() {
    let class = cairo_test_class("hello_starknet__hello_starknet");
    let again = big_stack(|| compile(&class.definition)).unwrap();
    assert_eq!(again, class, "compiling is pure");

    let broken = |change: fn(&mut serde_json::Value)| {
        let mut json: serde_json::Value = serde_json::from_slice(&class.definition).unwrap();
        change(&mut json);
        let text = Bytes::from(json.to_string());
        big_stack(|| compile(&text)).unwrap_err()
    };
    let code = |change| broken(change).code;
    assert_eq!(
        code(|json| json["sierra_program"] = serde_json::json!(["0x1", "0x9"])),
        RejectionCode::CompilationFailed
    );
    assert_eq!(code(|json| json["contract_class_version"] = "0.2.0".into()), RejectionCode::UnsupportedClassVersion);
    assert_eq!(code(|json| json["sierra_program"][1] = "0x63".into()), RejectionCode::UnsupportedClassVersion);
    assert_eq!(
        code(|json| {
            let external = &mut json["entry_points_by_type"]["EXTERNAL"];
            let first = external[0].clone();
            external.as_array_mut().unwrap().push(first);
        }),
        RejectionCode::CompilationFailed
    );
    // Cut in the middle, and every felt after the header another: whatever happens inside, an answer comes.
    for change in [
        (|json: &mut serde_json::Value| {
            let program = json["sierra_program"].as_array_mut().unwrap();
            program.truncate(program.len() / 2);
        }) as fn(&mut serde_json::Value),
        |json| {
            let program = json["sierra_program"].as_array_mut().unwrap();
            for felt in program.iter_mut().skip(6) {
                *felt = "0x7".into();
            }
        },
        |json| json["entry_points_by_type"]["EXTERNAL"][0]["function_idx"] = 10_000.into(),
    ] {
        let rejection = broken(change);
        assert_eq!(rejection.code, RejectionCode::CompilationFailed, "{rejection:?}");
        assert!(!rejection.reason.is_empty());
    }
    assert_eq!(compile(&Bytes::from_static(b"{")).unwrap_err().code, RejectionCode::CompilationFailed);
}

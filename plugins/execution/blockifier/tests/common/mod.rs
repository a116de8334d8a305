//! A small chain in memory: a fee token, accounts with keys, and signed transactions of them.
#![allow(dead_code)] // each test binary uses its part

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use ordo_execution_blockifier::build::{Build, Mode, Pool};
use ordo_execution_blockifier::build_stream::{self, Ended};
use ordo_execution_blockifier::classes::Loaded;
use ordo_execution_blockifier::command::class_of;
use ordo_execution_blockifier::config::{Block as Limits, Executor};
use ordo_execution_blockifier::context::{Block, Chain};
use ordo_execution_blockifier::felts::{from_amount, wire, wire_list, wire_map};
use ordo_execution_blockifier::native::Engine;
use ordo_execution_blockifier::run;
use ordo_execution_blockifier::state::{Limits as Cache, Snapshot, Tip};
use ordo_execution_blockifier::threads::STACK;
use ordo_execution_blockifier::transactions::{executable, ClassInfos, Flags};
use ordo_execution_blockifier::{classes, diff};
use ordo_sdk::v1;
use ordo_sdk::v1::build_request::{Add, Close, Step};
use ordo_sdk::v1::build_response;
use starknet_api::abi::abi_utils::{get_fee_token_var_address, get_storage_var_address, selector_from_name};
use starknet_api::core::{ChainId, ClassHash, ContractAddress};
use starknet_types_core::felt::Felt;
use tokio::sync::mpsc;
use tonic::Status;

pub const CHAIN: &str = "SN_SEPOLIA";
pub const STRK: &str = "0x04718f5a0fc34cc1af16a1cdee98ffb20c31f5cd61d6ab07201858f4287c938d";
pub const SEQUENCER: u64 = 0x5e9;
pub const PRICE: u128 = 1_000_000_000;

/// A file of a published crate, unpacked by cargo.
pub fn artifact(krate: &str, file: &str) -> Vec<u8> {
    let home = std::env::var_os("CARGO_HOME")
        .map_or_else(|| PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cargo"), PathBuf::from);
    let registries = std::fs::read_dir(home.join("registry/src")).expect("the registry of cargo");
    let path = registries
        .filter_map(Result::ok)
        .map(|registry| registry.path().join(krate).join(file))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{krate}/{file} is not unpacked: run `make build` once, it fetches the crate"));
    std::fs::read(path).expect("a readable file")
}

pub fn cairo_test_class(name: &str) -> v1::Class {
    compiled(artifact("cairo-lang-starknet-2.19.6", &format!("test_data/{name}.contract_class.json")))
}

pub fn token_class() -> v1::Class {
    compiled(artifact("starknet-devnet-core-0.10.1", "contracts/system_artifacts/erc20_strk.sierra"))
}

fn compiled(text: Vec<u8>) -> v1::Class {
    big_stack(move || class_of(&text).expect("a class that compiles"))
}

pub fn big_stack<T: Send>(task: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, task).unwrap().join().unwrap()
    })
}

#[derive(Clone)]
pub struct Account {
    pub address: ContractAddress,
    pub key: Felt,
    pub nonce: u64,
}

pub struct World {
    pub chain: Chain,
    pub tip: Tip,
    pub pool: Arc<Pool>,
    pub genesis: v1::ApplyRequest,
    pub account_class: ClassHash,
    pub limits: Limits,
}

pub fn felt(hex: &str) -> Felt {
    Felt::from_hex_unchecked(hex)
}

pub fn strk() -> ContractAddress {
    ContractAddress::try_from(felt(STRK)).unwrap()
}

pub fn account(index: u64) -> Account {
    Account { address: ContractAddress::from(0xacc0_0000 + index), key: Felt::from(0x1234_5678 + index), nonce: 0 }
}

impl World {
    /// `count` accounts with plenty of STRK; block 0 is in memory.
    pub fn new(count: u64) -> Self {
        Self::on(count, Engine::off())
    }

    /// The same on another engine.
    pub fn on(count: u64, engine: Engine) -> Self {
        let (account_class, token) = (cairo_test_class("account__account"), token_class());
        let account_hash = classes::hash(&account_class).unwrap();
        let token_hash = classes::hash(&token).unwrap();
        let mut maps = blockifier::state::cached_state::StateMaps::default();
        maps.class_hashes.insert(strk(), token_hash);
        for index in 0..count {
            let account = account(index);
            maps.class_hashes.insert(account.address, account_hash);
            let public = starknet_crypto::get_public_key(&account.key);
            maps.storage.insert((account.address, get_storage_var_address("public_key", &[])), public);
            maps.storage.insert((strk(), get_fee_token_var_address(account.address)), Felt::from(10_u128.pow(24)));
        }
        for class in [&account_class, &token] {
            let loaded = classes::load(class).unwrap();
            maps.compiled_class_hashes.insert(classes::hash(class).unwrap(), loaded.compiled_hash);
        }
        let genesis = v1::ApplyRequest {
            height: 0,
            state_diff: Some(diff::to_wire(&maps, |_| false)),
            classes: vec![account_class, token],
            ..Default::default()
        };
        let world = Self {
            chain: Chain::new(&chain()).unwrap(),
            tip: Tip::new(Cache { cells: 100_000, classes: 100 }, Arc::new(engine), None),
            pool: Arc::new(Pool::new(2)),
            genesis,
            account_class: account_hash,
            limits: Limits::default(),
        };
        world.tip.apply(0, &maps, world.genesis_classes()).unwrap();
        world
    }

    pub fn genesis_classes(&self) -> Vec<(ClassHash, Loaded)> {
        let load = |class| {
            let (hash, loaded) = (classes::hash(class).unwrap(), classes::load(class).unwrap());
            loaded.attach_native(self.tip.engine(), hash, class);
            (hash, loaded)
        };
        self.genesis.classes.iter().map(load).collect()
    }

    pub fn snapshot(&self) -> Snapshot {
        self.tip.snapshot().unwrap()
    }

    pub fn open(&self, number: u64, executor: Executor) -> Build {
        self.open_within(run::Limits::NONE, true, number, executor)
    }

    fn open_within(&self, limits: run::Limits, rejects: bool, number: u64, executor: Executor) -> Build {
        let block = Block::new(&self.chain, &context(number), self.limits.bouncer()).unwrap();
        let mode = Mode { executor, concurrent_from: 4, limits, rejects };
        Build::open(self.snapshot(), block, mode, self.pool.clone()).unwrap()
    }

    /// Builds a block the way the service does, with `chunks`, and closes after `n` (None: after all).
    pub fn build(&self, executor: Executor, chunks: Vec<Add>, n: Option<u64>) -> Built {
        let number = self.tip.height().unwrap() + 1;
        drive(self.open(number, executor), chunks, n)
    }

    /// The same with limits of a transaction.
    pub fn build_within(&self, limits: run::Limits, rejects: bool, executor: Executor, chunks: Vec<Add>) -> Built {
        let number = self.tip.height().unwrap() + 1;
        drive(self.open_within(limits, rejects, number, executor), chunks, None)
    }
}

fn drive(build: Build, chunks: Vec<Add>, n: Option<u64>) -> Built {
    let wanted: u64 = chunks.iter().map(|add| add.transactions.len() as u64).sum();
    let (feed, mut steps) = mpsc::channel(16);
    let (out, mut outward) = mpsc::channel(4);
    let driver = std::thread::Builder::new()
        .stack_size(STACK)
        .spawn(move || build_stream::drive(build, &mut steps, &out, 128, |_| {}))
        .unwrap();
    let mut built = Built::default();
    for chunk in chunks {
        feed.blocking_send(Step::Add(chunk)).unwrap();
    }
    while (built.results.len() as u64) < wanted && built.full.is_none() {
        match outward.blocking_recv() {
            Some(Ok(response)) => built.take(response),
            Some(Err(status)) => panic!("{status}"),
            None => break,
        }
    }
    let n = n.unwrap_or(built.results.len() as u64);
    let _ = feed.blocking_send(Step::Close(Close { n })); // one that has failed takes none
    match driver.join().unwrap() {
        Ok(Ended::Closed(closed)) => built.closed = Some(closed),
        Ok(Ended::Aborted) => panic!("aborted"),
        Err(status) => built.failed = Some(status),
    }
    built
}

#[derive(Default)]
pub struct Built {
    pub results: Vec<v1::TransactionResult>,
    pub deltas: Vec<v1::StateDiff>,
    pub full: Option<v1::build_response::Full>,
    pub closed: Option<Box<ordo_execution_blockifier::build::Closed>>,
    pub failed: Option<Status>,
}

impl Built {
    fn take(&mut self, response: v1::BuildResponse) {
        match response.step.unwrap() {
            build_response::Step::Results(results) => {
                assert_eq!(results.first, self.results.len() as u64, "results out of order");
                self.results.extend(results.results);
                self.deltas.push(results.delta.unwrap());
            }
            build_response::Step::Full(full) => self.full = Some(full),
            other => panic!("unexpected {other:?}"),
        }
    }

    pub fn diff(&self) -> &v1::StateDiff {
        self.closed.as_ref().expect("a closed block").message.state_diff.as_ref().unwrap()
    }
}

pub fn chain() -> v1::Chain {
    v1::Chain { chain_id: CHAIN.into(), starknet_version: "0.14.4".into(), ..Default::default() }
}

pub fn price() -> Option<v1::GasPrice> {
    Some(v1::GasPrice { wei: from_amount(PRICE), fri: from_amount(PRICE) })
}

pub fn context(number: u64) -> v1::BlockContext {
    v1::BlockContext {
        number,
        timestamp: 1_800_000_000 + number,
        sequencer: wire(&Felt::from(SEQUENCER)),
        starknet_version: "0.14.4".into(),
        l1_gas: price(),
        l1_data_gas: price(),
        l2_gas: price(),
        blob_da: true,
        old_block_hash: if number >= 10 { wire(&Felt::from(number)) } else { Bytes::new() },
    }
}

pub fn bounds(l2: u64) -> Option<v1::ResourceBounds> {
    Some(v1::ResourceBounds {
        l1_gas_amount: 1_000,
        l1_gas_price: from_amount(PRICE * 2),
        l2_gas_amount: l2,
        l2_gas_price: from_amount(PRICE * 2),
        l1_data_gas_amount: 10_000,
        l1_data_gas_price: from_amount(PRICE * 2),
    })
}

pub fn selector(name: &str) -> Felt {
    selector_from_name(name).0
}

impl Account {
    fn common(&mut self, kind: v1::TransactionType) -> v1::Transaction {
        self.nonce += 1;
        v1::Transaction {
            r#type: kind.into(),
            sender: wire(&self.address),
            nonce: wire(&Felt::from(self.nonce - 1)),
            resource_bounds: bounds(100_000_000),
            ..Default::default()
        }
    }

    pub fn invoke(&mut self, to: ContractAddress, name: &str, arguments: &[Felt]) -> v1::Transaction {
        let mut calldata = vec![Felt::ONE, *to.0.key(), selector(name), Felt::from(arguments.len() as u64)];
        calldata.extend(arguments);
        let mut transaction = self.common(v1::TransactionType::Invoke);
        transaction.calldata = wire_list(&calldata);
        self.sign(transaction, &ClassInfos::new())
    }

    pub fn transfer(&mut self, to: Felt, amount: u128) -> v1::Transaction {
        self.invoke(strk(), "transfer", &[to, Felt::from(amount), Felt::ZERO])
    }

    pub fn declare(&mut self, class: &v1::Class) -> v1::Transaction {
        let mut transaction = self.common(v1::TransactionType::Declare);
        transaction.class_hash = class.hash.clone();
        transaction.compiled_class_hash = class.compiled_class_hash.clone();
        transaction.resource_bounds = bounds(2_000_000_000);
        let (hash, info, _) = classes::declared(class).unwrap();
        self.sign(transaction, &ClassInfos::from([(hash, info)]))
    }

    pub fn deploy_account(&mut self, class: ClassHash) -> v1::Transaction {
        let public = starknet_crypto::get_public_key(&self.key);
        let mut transaction = self.common(v1::TransactionType::DeployAccount);
        transaction.class_hash = wire(&class);
        transaction.calldata = wire_list(&[public]);
        self.sign(transaction, &ClassInfos::new())
    }

    pub fn sign(&self, mut transaction: v1::Transaction, infos: &ClassInfos) -> v1::Transaction {
        use blockifier::transaction::transaction_execution::Transaction;
        use starknet_api::executable_transaction as exec;
        let chain = ChainId::from(CHAIN.to_string());
        let Ok(Transaction::Account(run)) = executable(&transaction, infos, Flags::default()) else {
            panic!("not a transaction of an account")
        };
        let hash = match run.tx {
            exec::AccountTransaction::Invoke(tx) => exec::InvokeTransaction::create(tx.tx, &chain).unwrap().tx_hash,
            exec::AccountTransaction::Declare(tx) => {
                exec::DeclareTransaction::create(tx.tx, tx.class_info, &chain).unwrap().tx_hash
            }
            exec::AccountTransaction::DeployAccount(tx) => {
                exec::DeployAccountTransaction::create(tx.tx, &chain).unwrap().tx_hash
            }
        };
        let k = starknet_crypto::rfc6979_generate_k(&hash.0, &self.key, None);
        let signature = starknet_crypto::sign(&self.key, &hash.0, &k).unwrap();
        transaction.hash = wire(&hash.0);
        transaction.signature = wire_list(&[signature.r, signature.s]);
        transaction
    }
}

/// The account that a DEPLOY_ACCOUNT of this key and class makes, with funds given through `fund`.
pub fn undeployed(index: u64, class: ClassHash) -> Account {
    let key = Felt::from(0x9999 + index);
    let public = starknet_crypto::get_public_key(&key);
    let address = starknet_api::core::calculate_contract_address(
        starknet_api::transaction::fields::ContractAddressSalt(Felt::ZERO),
        class,
        &starknet_api::transaction::fields::Calldata(Arc::new(vec![public])),
        ContractAddress::default(),
    )
    .unwrap();
    Account { address, key, nonce: 0 }
}

pub fn chunks(transactions: &[v1::Transaction], size: usize) -> Vec<Add> {
    transactions.chunks(size).map(|chunk| Add { transactions: chunk.to_vec(), classes: vec![] }).collect()
}

pub fn empty_map() -> Bytes {
    wire_map(std::iter::empty::<(Felt, Felt)>())
}

/// Transfers, a declare, a new account and its first call, reverts, bad signatures, nonce gaps.
pub fn mixed(world: &World, count: u64) -> (Vec<v1::Transaction>, Vec<v1::Class>) {
    let mut accounts: Vec<Account> = (0..6).map(account).collect();
    let class = cairo_test_class("hello_starknet__hello_starknet");
    let mut young = undeployed(1, world.account_class);
    let mut list = Vec::new();
    for index in 0..count {
        let sender = &mut accounts[(index % 5) as usize];
        list.push(match index % 10 {
            3 => sender.transfer(Felt::from(0x77), 10_u128.pow(30)), // more than there is: reverts
            5 => {
                let mut bad = sender.transfer(Felt::from(0x77), 1);
                bad.signature = bad.signature.slice(0..32);
                sender.nonce -= 1;
                bad
            }
            7 => {
                sender.nonce += 5;
                let gap = sender.transfer(Felt::from(0x77), 1);
                sender.nonce -= 6;
                gap
            }
            // Between the accounts themselves, so that one transaction needs what another wrote.
            8 => {
                let to = *account((index + 3) % 5).address.0.key();
                sender.transfer(to, 10_u128.pow(20))
            }
            _ => sender.transfer(Felt::from(1_000_000 + index), u128::from(index) + 1),
        });
        if index == 11 {
            list.push(accounts[5].declare(&class));
            list.push(accounts[5].declare(&class)); // the second time it is there
            accounts[5].nonce -= 1;
        }
        if index == 13 {
            list.push(accounts[5].transfer(*young.address.0.key(), 10_u128.pow(21)));
        }
        if index == 17 {
            list.push(young.deploy_account(world.account_class));
            list.push(young.transfer(Felt::from(0x78), 5));
        }
    }
    (list, vec![class])
}

pub fn adds(list: &[v1::Transaction], classes: &[v1::Class], size: usize) -> Vec<Add> {
    let mut adds = chunks(list, size);
    adds[0].classes = classes.to_vec();
    adds
}

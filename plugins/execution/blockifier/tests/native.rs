//! Machine code and virtual machine: the same blocks, and a cache that survives what happens to files.
#![cfg(feature = "native")]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::*;
use ordo_execution_blockifier::cancel::CancellationToken;
use ordo_execution_blockifier::config::Executor;
use ordo_execution_blockifier::felts::{felts, wire_list};
use ordo_execution_blockifier::native::{Engine, Settings, Wait};
use ordo_execution_blockifier::run::Limits;
use ordo_execution_blockifier::{arithmetic, classes, validate};
use ordo_sdk::v1;
use starknet_types_core::felt::Felt;

const BINARY: &str = env!("CARGO_BIN_EXE_ordo-execution-blockifier");

fn settings(cache: &Path) -> Settings {
    Settings {
        program: BINARY.into(),
        cache: cache.into(),
        most: 1 << 30,
        seconds: Duration::from_secs(600),
        wait: Wait::All,
    }
}

/// As the plugin has it, with a cache that outlives the run: the token takes a while to compile.
fn kept() -> Engine {
    arithmetic::install();
    Engine::start(settings(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("native"))).unwrap()
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("ordo-native-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();
        Self(folder)
    }

    fn files(&self, named: &str) -> Vec<PathBuf> {
        let inside = |folder: PathBuf| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        inside(self.0.clone()).flat_map(inside).map(|class| class.join(named)).filter(|path| path.exists()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn is_native(engine: &Engine, class: &v1::Class) -> bool {
    let loaded = classes::load(class).unwrap();
    loaded.attach_native(engine, classes::hash(class).unwrap(), class);
    loaded.is_native()
}

#[test]
fn machine_code_gives_the_block_of_the_virtual_machine() {
    let (vm, native) = (World::new(6), World::on(6, kept()));
    assert_eq!(native.tip.engine().counts(), (2, 0), "account and token run natively");
    let (list, classes) = mixed(&vm, 60);
    let one = vm.build(Executor::Sequential, adds(&list, &classes, list.len()), None);
    assert_eq!(vm.pool.counters.native.load(Ordering::Relaxed), 0);
    for (executor, size) in [
        (Executor::Sequential, list.len()),
        (Executor::Concurrent, list.len()),
        (Executor::Concurrent, 7),
        (Executor::Auto, 5),
    ] {
        let other = native.build(executor, adds(&list, &classes, size), None);
        assert_eq!(other.results.len(), one.results.len());
        for (index, (left, right)) in other.results.iter().zip(&one.results).enumerate() {
            assert_eq!(left, right, "transaction {index}, {executor:?} in chunks of {size}");
        }
        assert_eq!(other.closed.as_ref().unwrap().message, one.closed.as_ref().unwrap().message);
    }
    let counters = &native.pool.counters;
    assert!(counters.native.load(Ordering::Relaxed) > 4 * 100);
    assert_eq!(counters.vm.load(Ordering::Relaxed), 0);
}

/// The virtual machine checks a signature by the proof system's rules; machine code by our arithmetic.
#[test]
fn signatures_are_judged_as_by_the_virtual_machine() {
    let (vm, native) = (World::new(3), World::on(3, kept()));
    let order = felt("0x800000000000010ffffffffffffffffb781126dcae7b2321e66a241adc64d2f");
    let mut list = Vec::new();
    let mut senders: Vec<Account> = (0..3).map(account).collect();
    for sender in &mut senders {
        let good = sender.transfer(Felt::from(0x77), 1);
        let [r, s]: [Felt; 2] = felts("signature", &good.signature).unwrap().try_into().unwrap();
        let mut numbers = vec![r, s, -r, -s, order - r, order - s, order, order + Felt::ONE, order - Felt::ONE];
        numbers.extend([0u64, 1, 2, 3, 5, 7].map(Felt::from));
        numbers.extend([-Felt::ONE, r + Felt::ONE, s + Felt::ONE, Felt::TWO.pow(251u128), Felt::TWO.pow(128u128)]);
        for r in &numbers {
            for s in &numbers {
                let mut other = good.clone();
                other.signature = wire_list(&[*r, *s]);
                list.push(other);
            }
        }
    }
    let verdicts = |world: &World| {
        let block = validate::block(&world.chain, &context(1)).unwrap();
        let one = |transaction: &v1::Transaction| {
            let item = v1::validate_request::Item { transaction: Some(transaction.clone()), ..Default::default() };
            validate::verdict(
                &validate::Base { tip: world.snapshot(), open: None },
                &block,
                &item,
                CancellationToken::default(),
                Limits::NONE,
                None,
            )
            .unwrap()
        };
        big_stack(|| list.iter().map(one).collect::<Vec<_>>())
    };
    let (expected, found) = (verdicts(&vm), verdicts(&native));
    let good = expected.iter().filter(|verdict| verdict.rejection == 0).count();
    assert!(good >= 2 * senders.len(), "{good}: with s and with its opposite");
    assert!(good < expected.len() / 10, "{good} of {}", expected.len());
    for ((left, right), transaction) in found.iter().zip(&expected).zip(&list) {
        assert_eq!(left, right, "{:?}", transaction.signature);
    }
}

#[test]
fn a_block_may_change_engines_on_the_way() {
    let (vm, native) = (World::new(3), World::on(3, kept()));
    let mut sender = account(0);
    for number in 1..=4 {
        let list: Vec<_> =
            (0..9).map(|n| sender.transfer(felt("0x77") + starknet_types_core::felt::Felt::from(n), 3)).collect();
        let (world, other) = if number % 2 == 0 { (&vm, &native) } else { (&native, &vm) };
        let closed = world.build(Executor::Auto, chunks(&list, 4), None).closed.unwrap();
        for world in [world, other] {
            world.tip.apply(number, &closed.changes, closed.classes.clone()).unwrap();
        }
    }
    let again = |world: &World| {
        let list = [account(1).transfer(felt("0x77"), 1)];
        world.build(Executor::Sequential, chunks(&list, 1), None).closed.unwrap().message
    };
    assert_eq!(again(&vm), again(&native));
}

#[test]
fn damaged_machine_code_is_made_again() {
    let folder = Folder::new("damaged");
    let class = cairo_test_class("minimal_contract__minimal_contract");
    let start = || Engine::start(settings(&folder.0)).unwrap();
    assert!(is_native(&start(), &class));
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 4] = [
        ("class.so", |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }),
        ("class.so", |bytes| bytes.truncate(bytes.len() / 2)),
        ("class.json", |bytes| bytes.clear()),
        ("sum", |bytes| bytes[3] ^= 1),
    ];
    for (name, damage) in damages {
        let [file] = &folder.files(name)[..] else { panic!("one class, {name}") };
        let mut bytes = std::fs::read(file).unwrap();
        damage(&mut bytes);
        std::fs::write(file, &bytes).unwrap();
        assert!(is_native(&start(), &class), "{name}");
        assert_ne!(std::fs::read(file).unwrap(), bytes, "{name} is what it was");
    }
    std::fs::remove_file(&folder.files("class.json")[0]).unwrap();
    assert!(is_native(&start(), &class), "without its entry points");
}

#[test]
fn the_cache_keeps_to_its_size() {
    let folder = Folder::new("size");
    let engine = Engine::start(Settings { most: 1, ..settings(&folder.0) }).unwrap();
    for name in ["hello_starknet__hello_starknet", "minimal_contract__minimal_contract", "proxy__proxy"] {
        assert!(is_native(&engine, &cairo_test_class(name)), "{name}");
        assert_eq!(folder.files("class.so").len(), 1, "only the newest is kept");
    }
}

#[test]
fn what_cannot_be_compiled_runs_on_the_virtual_machine() {
    let folder = Folder::new("broken");
    let engine = Engine::start(settings(&folder.0)).unwrap();
    let good = cairo_test_class("hello_starknet__hello_starknet");
    let broken = v1::Class { definition: b"{}".to_vec().into(), ..good.clone() };
    assert!(!is_native(&engine, &broken));
    assert_eq!(engine.counts(), (0, 1));
    let late = Engine::start(Settings { program: "/bin/false".into(), ..settings(&folder.0) }).unwrap();
    assert!(!is_native(&late, &good));
    assert!(!is_native(&late, &good), "it is not tried again and again");
    let entries: Vec<_> = std::fs::read_dir(&folder.0).unwrap().collect();
    let inside = std::fs::read_dir(entries[0].as_ref().unwrap().path()).unwrap().count();
    assert_eq!((entries.len(), inside), (1, 0), "nothing half made is left");
}

#[test]
fn a_cache_that_others_can_write_is_an_error() {
    let folder = Folder::new("open");
    std::fs::set_permissions(&folder.0, std::fs::Permissions::from_mode(0o777)).unwrap();
    let error = Engine::start(settings(&folder.0)).err().unwrap();
    assert!(error.contains("others can write to it"), "{error}");
}

#[test]
fn it_comes_in_the_background_and_the_virtual_machine_runs_meanwhile() {
    let folder = Folder::new("background");
    let engine = Engine::start(Settings { wait: Wait::No, ..settings(&folder.0) }).unwrap();
    let class = cairo_test_class("hello_starknet__hello_starknet");
    let loaded = classes::load(&class).unwrap();
    loaded.attach_native(&engine, classes::hash(&class).unwrap(), &class);
    assert!(!loaded.is_native(), "the load did not wait");
    let begun = std::time::Instant::now();
    while !loaded.is_native() {
        assert!(begun.elapsed() < Duration::from_secs(120));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(engine.counts(), (1, 0));
}

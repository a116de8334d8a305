//! Sierra that was written to hurt the compiler: each ends in a rejection, and the next class compiles.

mod common;

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use cairo_lang_sierra::ProgramParser;
use cairo_lang_starknet_classes::contract_class::{ContractClass, ContractEntryPoints};
use common::*;
use ordo_execution_blockifier::command::rpc_shape;
use ordo_execution_blockifier::compile_queue::{CompileQueue, Unanswered};
use ordo_sdk::v1::{CompileResponse, RejectionCode};

const BINARY: &str = env!("CARGO_BIN_EXE_ordo-execution-blockifier");

fn compiler(memory: u64, cpu: Duration) -> CompileQueue {
    CompileQueue::start(Path::new(BINARY), 2, memory << 20, cpu).unwrap()
}

/// A class around a program in the text form of Sierra.
fn class(program: &str) -> Bytes {
    let program = ProgramParser::new().parse(program).unwrap();
    let mut class = ContractClass::new(&program, ContractEntryPoints::default(), None, Default::default()).unwrap();
    class.sierra_program_debug_info = None;
    rpc_shape(&serde_json::to_vec(&class).unwrap()).unwrap()
}

async fn rejection(compiler: &CompileQueue, class: &Bytes) -> (RejectionCode, String) {
    let answer = compiler.compile(class.clone()).await.unwrap();
    assert!(answer.class.is_none());
    (answer.rejection(), answer.reason)
}

async fn compiles(compiler: &CompileQueue) {
    let good = rpc_shape(&artifact(
        "cairo-lang-starknet-2.19.6",
        "test_data/hello_starknet__hello_starknet.contract_class.json",
    ));
    let answer: CompileResponse = compiler.compile(good.unwrap()).await.unwrap();
    assert_eq!(answer.rejection(), RejectionCode::Unspecified, "{}", answer.reason);
    let here = cairo_test_class("hello_starknet__hello_starknet");
    assert_eq!(answer.class.unwrap(), here, "a child compiles to the same");
}

/// Types that nest `depth` times.
fn nested(depth: usize) -> String {
    let mut text = String::from("type [0] = felt252;\n");
    for index in 1..=depth {
        writeln!(text, "type [{index}] = Box<[{}]>;", index - 1).unwrap();
    }
    text + "return();\n[0]@0() -> ();\n"
}

/// Functions that call each other in a chain.
fn chain(length: usize) -> String {
    let mut text = String::from("type [0] = felt252;\n");
    for index in 1..length {
        writeln!(text, "libfunc [{}] = function_call<user@[{index}]>;", index - 1).unwrap();
    }
    for index in 1..length {
        writeln!(text, "[{}]() -> ();\nreturn();", index - 1).unwrap();
    }
    text += "return();\n";
    for index in 0..length {
        writeln!(text, "[{index}]@{}() -> ();", index * 2).unwrap();
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_class_is_rejected_and_the_next_one_compiles() {
    let compiler = compiler(4096, Duration::from_secs(1));
    let (code, reason) = rejection(&compiler, &class(&nested(200_000))).await;
    assert_eq!(code, RejectionCode::CompilationFailed);
    assert!(reason.starts_with("compiler: not done within 1"), "{reason}");
    compiles(&compiler).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_that_needs_too_much_memory_is_rejected() {
    let itself = std::fs::metadata(BINARY).unwrap().len() >> 20; // it is mapped, too; with the stack of its thread it needs 300 in any build
    let compiler = compiler((itself + 150).max(300), Duration::from_secs(60));
    let (code, reason) = rejection(&compiler, &class(&nested(150_000))).await;
    assert_eq!(code, RejectionCode::CompilationFailed);
    assert!(reason.ends_with("MiB of memory are needed"), "{reason}");
    compiles(&compiler).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_compiler_says_comes_through() {
    let compiler = compiler(4096, Duration::from_secs(60));
    let (code, reason) = rejection(&compiler, &class(&chain(30_000))).await;
    assert_eq!((code, reason.as_str()), (RejectionCode::ClassTooLarge, "compiler: Code size limit exceeded."));
    let (code, reason) = rejection(&compiler, &Bytes::from_static(b"{}")).await;
    assert_eq!(code, RejectionCode::CompilationFailed);
    assert!(reason.starts_with("class: "), "{reason}");
    let deep = [b"{\"x\":".to_vec(), vec![b'['; 1 << 20], vec![b']'; 1 << 20], b"}".to_vec()].concat();
    let (code, reason) = rejection(&compiler, &deep.into()).await;
    assert_eq!(code, RejectionCode::CompilationFailed);
    assert!(reason.contains("recursion limit"), "{reason}");
    let (code, _) = rejection(&compiler, &vec![b' '; 17 << 20].into()).await;
    assert_eq!(code, RejectionCode::ClassTooLarge);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_classes_is_told_to_come_again() {
    use std::os::unix::fs::PermissionsExt;
    let slow = std::env::temp_dir().join(format!("ordo-slow-compiler-{}", std::process::id()));
    std::fs::write(&slow, "#!/bin/sh\nsleep 2\necho too hard >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&slow, std::fs::Permissions::from_mode(0o700)).unwrap();
    let compiler = CompileQueue::start(&slow, 32, 1 << 30, Duration::from_secs(60)).unwrap();
    let many: Vec<_> = (0..40)
        .map(|_| {
            let compiler = compiler.clone();
            tokio::spawn(async move { compiler.compile(Bytes::from_static(b"{}")).await })
        })
        .collect();
    let (mut rejected, mut busy) = (0, 0);
    for one in many {
        match one.await.unwrap() {
            Ok(answer) => {
                assert_eq!(answer.reason, "compiler: it failed (exit code 1): too hard");
                rejected += 1;
            }
            Err(Unanswered::Busy(why)) => {
                assert_eq!(why, "32 classes are waiting to be compiled, try again later");
                busy += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(rejected >= 32 && busy > 0, "{rejected} rejected, {busy} sent away");
    let _ = std::fs::remove_file(slow);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compiler_that_is_not_there_is_no_verdict_on_the_class() {
    let compiler = CompileQueue::start(Path::new("/nowhere"), 1, 1 << 30, Duration::from_secs(1)).unwrap();
    match compiler.compile(class(&chain(2))).await {
        Err(Unanswered::Failed(why)) => assert!(why.contains("No such file"), "{why}"),
        other => panic!("{other:?}"),
    }
}

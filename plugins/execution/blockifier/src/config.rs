//! The configuration of the plugin, a section of the node's.

use std::num::NonZeroUsize;

use blockifier::bouncer::{BouncerConfig, BouncerWeights};
use ordo_sdk::v1::{diagnostic::Severity, Diagnostic};
use serde::Deserialize;
use serde_json::Value;
use starknet_api::execution_resources::GasAmount;

use crate::run::memory::Ceiling;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Executor {
    /// Few waiting transactions run one after the other, many run concurrently. The results are the same.
    Auto,
    Concurrent,
    Sequential,
}

/// Whether classes run as machine code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Native {
    /// They do if this build has Cairo Native.
    Auto,
    /// They are compiled in the background, and the virtual machine runs them until then.
    On,
    Off,
    /// A class is compiled before its first use, which takes seconds. It is for measurements and tests.
    Wait,
}

/// The configuration. Every key is optional.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Config {
    pub executor: Executor,
    /// Threads that execute a block; 0: one per core.
    pub workers: usize,
    /// Threads that validate, as many that call and simulate, and as many classes compiled at a time; 0: one per core.
    pub view_workers: usize,
    /// The number of waiting transactions from which `auto` runs concurrently.
    pub concurrent_from: usize,
    /// Results that are sent without waiting for more.
    pub chunk: usize,
    /// Storage slots, nonces and class hashes kept in memory; others are read from storage again.
    pub cached_cells: usize,
    /// Compiled classes kept in memory.
    pub cached_classes: usize,
    /// Seconds that a read waits for a storage that is away.
    pub storage_patience: u64,
    /// Most L2 gas of a call; 0: the protocol's limit of a transaction.
    pub call_gas: u64,
    /// Most felts of calldata of a call.
    pub call_calldata: usize,
    /// Processor seconds for compiling one class.
    pub compile_seconds: u64,
    /// MiB of memory for compiling one class.
    pub compile_memory: u64,
    /// MiB that this process may hold; 0: half of what the machine, or the control group, has.
    pub memory_mib: u64,
    pub native: Native,
    /// Folder of machine code; empty: `ordo/native` in the user's cache folder.
    pub native_cache: String,
    /// MiB of machine code kept on disk.
    pub native_cache_size: u64,
    /// Processor seconds for one class.
    pub native_seconds: u64,
    pub block: Block,
}

/// Limits of a block. The defaults are about ten times those of the public network, and twenty times its count of cheap
/// transactions, because a development chain has no prover.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Block {
    pub max_transactions: usize,
    pub state_diff_size: usize,
    pub events: usize,
    pub message_segment_length: usize,
    pub l1_gas: usize,
    pub sierra_gas: u64,
    pub proving_gas: u64,
    pub receipt_l2_gas: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            executor: Executor::Auto,
            workers: 0,
            view_workers: 0,
            concurrent_from: 8,
            chunk: 128,
            cached_cells: 1_000_000,
            cached_classes: 600,
            storage_patience: 20,
            call_gas: 0,
            call_calldata: 50_000,
            compile_seconds: 30,
            compile_memory: 4096,
            memory_mib: 0,
            native: Native::Auto,
            native_cache: String::new(),
            native_cache_size: 4096,
            native_seconds: 300,
            block: Block::default(),
        }
    }
}

impl Default for Block {
    fn default() -> Self {
        Self {
            max_transactions: 10_000,
            state_diff_size: 100_000,
            events: 100_000,
            message_segment_length: 37_000,
            l1_gas: 44_000_000,
            sierra_gas: 50_000_000_000,
            proving_gas: 50_000_000_000,
            receipt_l2_gas: 58_000_000_000,
        }
    }
}

impl Block {
    pub fn bouncer(&self) -> BouncerConfig {
        BouncerConfig {
            block_max_capacity: BouncerWeights {
                l1_gas: self.l1_gas,
                message_segment_length: self.message_segment_length,
                n_events: self.events,
                state_diff_size: self.state_diff_size,
                sierra_gas: GasAmount(self.sierra_gas),
                n_txs: self.max_transactions,
                proving_gas: GasAmount(self.proving_gas),
                receipt_l2_gas: GasAmount(self.receipt_l2_gas),
            },
            // The cost of a builtin in proving gas is capacity / instances, so both scale together.
            builtin_instance_limits: scaled_builtins(self.proving_gas),
        }
    }
}

/// The limits of builtins, scaled with the proving gas: those of the protocol are for 5e9. So one instance always weighs the same.
fn scaled_builtins(proving_gas: u64) -> blockifier::bouncer::BuiltinInstanceLimits {
    const OF_PROTOCOL: u64 = 5_000_000_000;
    let mut limits = blockifier::bouncer::BuiltinInstanceLimits::default();
    let scale = |limit: &mut std::num::NonZeroU64| {
        let scaled = u128::from(limit.get()) * u128::from(proving_gas) / u128::from(OF_PROTOCOL);
        *limit = u64::try_from(scaled).ok().and_then(std::num::NonZeroU64::new).unwrap_or(*limit);
    };
    for limit in [
        &mut limits.pedersen,
        &mut limits.range_check,
        &mut limits.range_check96,
        &mut limits.poseidon,
        &mut limits.ecdsa,
        &mut limits.ecop,
        &mut limits.bitwise,
        &mut limits.keccak,
        &mut limits.add_mod,
        &mut limits.mul_mod,
        &mut limits.blake,
    ] {
        scale(limit);
    }
    limits
}

/// The number of processors.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

pub const SCHEMA: &str = include_str!("config.schema.json");

/// Reads the configuration. Its errors refuse the start.
pub fn parse(json: &[u8]) -> Result<Config, Vec<Diagnostic>> {
    let text: &[u8] = if json.is_empty() { b"{}" } else { json };
    let value: Value = serde_json::from_slice(text)
        .map_err(|cause| vec![diagnostic("", format!("configuration is no JSON: {cause}"), String::new())])?;
    let schema: Value = serde_json::from_str(SCHEMA).expect("the schema is part of this build");
    let mut found = Vec::new();
    unknown_keys(&value, &schema, "", &mut found);
    if !found.is_empty() {
        return Err(found);
    }
    let mut config: Config = serde_json::from_value(value).map_err(|cause| {
        vec![diagnostic("", format!("configuration: {cause}"), "see the README of this plugin for the keys".into())]
    })?;
    for (key, number) in [
        ("chunk", config.chunk),
        ("concurrent_from", config.concurrent_from),
        ("cached_cells", config.cached_cells),
        ("cached_classes", config.cached_classes),
        ("call_calldata", config.call_calldata),
        ("compile_seconds", config.compile_seconds as usize),
        ("compile_memory", config.compile_memory as usize),
        ("native_seconds", config.native_seconds as usize),
        ("block.max_transactions", config.block.max_transactions),
    ] {
        if number == 0 {
            found.push(diagnostic(
                key,
                format!("{key} is 0"),
                "use a number of 1 or more, or leave the key out".into(),
            ));
        }
    }
    if (1..Ceiling::LEAST_MIB).contains(&config.memory_mib) {
        let (most, least) = (config.memory_mib, Ceiling::LEAST_MIB);
        found.push(diagnostic("memory_mib", format!("memory_mib is {most}"), format!("use {least} or more, or 0")));
    }
    if !found.is_empty() {
        return Err(found);
    }
    for workers in [&mut config.workers, &mut config.view_workers] {
        if *workers == 0 {
            *workers = cores();
        }
    }
    Ok(config)
}

fn diagnostic(path: &str, summary: String, detail: String) -> Diagnostic {
    Diagnostic { severity: Severity::Error.into(), summary, detail, path: path.into() }
}

fn unknown_keys(value: &Value, schema: &Value, path: &str, found: &mut Vec<Diagnostic>) {
    let (Some(object), Some(known)) = (value.as_object(), schema["properties"].as_object()) else {
        return;
    };
    for (key, inner) in object {
        let full = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match known.get(key) {
            Some(schema) => unknown_keys(inner, schema, &full, found),
            None => {
                let nearest = known.keys().min_by_key(|name| distance(name, key)).expect("a schema has keys");
                found.push(diagnostic(&full, format!("unknown key {full}"), format!("did you mean {nearest}?")));
            }
        }
    }
}

/// The Levenshtein distance of two keys.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let cost = (corner + usize::from(a != *b)).min(row[j] + 1).min(row[j + 1] + 1);
            corner = std::mem::replace(&mut row[j + 1], cost);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_configuration_is_the_default_one() {
        let config = parse(b"").unwrap();
        assert_eq!(config.executor, Executor::Auto);
        assert_eq!(config.workers, cores());
        assert_eq!(parse(b"{\"workers\": 3, \"block\": {\"events\": 7}}").unwrap().block.events, 7);
    }

    #[test]
    fn an_unknown_key_names_its_neighbour() {
        let found = parse(b"{\"worker\": 1, \"block\": {\"max_transaction\": 1}}").unwrap_err();
        let lines: Vec<_> = found.iter().map(|d| format!("{}: {} {}", d.path, d.summary, d.detail)).collect();
        assert_eq!(
            lines,
            [
                "block.max_transaction: unknown key block.max_transaction did you mean max_transactions?",
                "worker: unknown key worker did you mean workers?"
            ]
        );
    }

    #[test]
    fn wrong_values_are_errors() {
        for bad in ["[", "{\"workers\": \"two\"}", "{\"executor\": \"fast\"}", "{\"chunk\": 0}"] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_key_is_in_the_schema() {
        // A key that serde knows and the schema does not would be an unknown key, and the other way round it would be ignored.
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        for key in [
            "executor",
            "workers",
            "view_workers",
            "concurrent_from",
            "chunk",
            "cached_cells",
            "cached_classes",
            "storage_patience",
            "call_gas",
            "call_calldata",
            "compile_seconds",
            "compile_memory",
            "memory_mib",
            "native",
            "native_cache",
            "native_cache_size",
            "native_seconds",
            "block",
        ] {
            assert!(schema["properties"][key].is_object(), "{key}");
        }
        assert_eq!(schema["properties"].as_object().unwrap().len(), 18);
        assert_eq!(schema["properties"]["block"]["properties"].as_object().unwrap().len(), 8);
    }
}

//! StarkWare's blockifier as ordo's execution stage. The contract is `docs/spec/execution.md`.
//!
//! | module | what |
//! |---|---|
//! | [`service`] | the gRPC service, one method each |
//! | [`stage`] | the stage from Configure on: tip, open attempt, closed ones |
//! | [`build`] | one block attempt: executor, results, close |
//! | [`build_stream`] | drives an attempt from a Build stream |
//! | [`state`] | the tip in memory, snapshots of it, misses read from storage |
//! | [`classes`], [`casm`], [`native`] | contract classes, Sierra to CASM, Sierra to machine code |
//! | [`compile_queue`], [`subprocess`] | compiling in child processes with limits |
//! | [`validate`], [`view`], [`simulate`], [`trace`] | what runs beside the block |
//! | [`view_pool`], [`threads`], [`cancel`] | on which thread, how many, and until when |
//! | [`run`] | what one run may hold: memory, the stack of machine code |
//! | [`prefetch`] | what transactions will read, in one request |
//! | [`arithmetic`] | faster functions in the place of published ones |
//! | [`command`], [`bench`], [`hashing`] | what the program does when it is not a plugin |
//! | [`transactions`], [`results`], [`diff`], [`context`], [`felts`] | between the wire and blockifier's types |

pub mod arithmetic;
pub mod bench;
pub mod build;
pub mod build_stream;
pub mod cancel;
pub mod casm;
pub mod classes;
pub mod command;
pub mod compile_queue;
pub mod config;
pub mod context;
pub mod diff;
pub mod felts;
pub mod hashing;
pub mod native;
pub mod prefetch;
pub mod rejection;
pub mod results;
pub mod run;
pub mod service;
pub mod simulate;
pub mod stage;
pub mod state;
pub mod subprocess;
pub mod threads;
pub mod trace;
pub mod transactions;
pub mod validate;
pub mod view;
pub mod view_pool;

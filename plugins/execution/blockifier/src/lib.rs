//! StarkWare's blockifier as ordo's execution stage. The contract is `docs/spec/execution.md`.
//!
//! | module | what |
//! |---|---|
//! | [`service`] | the gRPC service, one method each |
//! | [`running`] | the stage from Configure on: tip, open attempt, closed ones |
//! | [`attempt`] | one block attempt: executor, results, close |
//! | [`stream`] | drives an attempt from a Build stream |
//! | [`state`] | the tip in memory, snapshots of it, misses read from storage |
//! | [`classes`], [`compile`], [`native`] | contract classes, Sierra to CASM, Sierra to machine code |
//! | [`compiler`], [`child`] | compiling in child processes with limits |
//! | [`validate`], [`view`], [`simulate`], [`trace`] | what runs beside the block |
//! | [`weights`] | which kinds of transaction ran light so far |
//! | [`views`], [`threads`], [`stop`] | on which thread, how many, and until when |
//! | [`run`] | what one run may hold: memory, the stack of machine code |
//! | [`prefetch`] | what transactions will read, in one request |
//! | [`arithmetic`] | faster functions in the place of published ones |
//! | [`command`], [`bench`], [`hashing`] | what the program does when it is not a plugin |
//! | [`transactions`], [`results`], [`diff`], [`context`], [`felts`] | between the wire and blockifier's types |

pub mod arithmetic;
pub mod attempt;
pub mod bench;
pub mod child;
pub mod classes;
pub mod command;
pub mod compile;
pub mod compiler;
pub mod config;
pub mod context;
pub mod diff;
pub mod felts;
pub mod hashing;
pub mod native;
pub mod prefetch;
pub mod refusal;
pub mod results;
pub mod run;
pub mod running;
pub mod service;
pub mod simulate;
pub mod state;
pub mod stop;
pub mod stream;
pub mod threads;
pub mod trace;
pub mod transactions;
pub mod validate;
pub mod view;
pub mod views;
pub mod weights;

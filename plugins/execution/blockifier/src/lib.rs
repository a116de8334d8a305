//! StarkWare's blockifier as ordo's execution stage. The plugin protocol is in `docs/spec/execution.md`.
//!
//! | module | what |
//! |---|---|
//! | [`service`] | the gRPC service, one method each |
//! | [`stage`] | the configured stage: the tip, the open build, closed builds |
//! | [`build`] | the execution of one block: transactions in, results out, close |
//! | [`build_stream`] | drives a build from a Build stream |
//! | [`state`] | the tip in memory, snapshots of it, reads from storage |
//! | [`classes`], [`cairo0`], [`casm`], [`native`] | contract classes, those of Cairo 0, Sierra to CASM, Sierra to machine code |
//! | [`compile_queue`], [`subprocess`] | compiling in child processes with limits |
//! | [`validate`], [`weights`] | validation at admission, and the kinds of transaction that ran light |
//! | [`view`], [`view_error`], [`simulate`], [`trace`] | calls, estimates, simulations and traces |
//! | [`view_pool`], [`threads`], [`cancel`] | threads, and cancellation |
//! | [`run`] | the limits of one run: memory, the stack of machine code |
//! | [`prefetch`] | reads what transactions will need, in one request |
//! | [`arithmetic`] | faster functions in the place of published ones |
//! | [`command`], [`bench`], [`hashing`] | the commands of the binary |
//! | [`transactions`], [`results`], [`rejection`], [`diff`], [`context`], [`felts`], [`config`] | between the wire and blockifier's types |

pub mod arithmetic;
pub mod bench;
pub mod build;
pub mod build_stream;
pub mod cairo0;
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
pub mod view_error;
pub mod view_pool;
pub mod weights;

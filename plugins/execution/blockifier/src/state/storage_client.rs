//! The client of storage. Its reads block, so they must not be called from threads of the runtime.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ordo_sdk::v1::storage_read_client::StorageReadClient;
use ordo_sdk::v1::{Class, ClassesRequest, StateRequest, StateResponse};
use ordo_sdk::{connect, MAX_MESSAGE};
use starknet_api::core::{ClassHash, ContractAddress};
use starknet_api::state::StorageKey;
use starknet_types_core::felt::Felt;
use tokio::runtime::Handle;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::cancel::CancellationToken;
use crate::felts::{self, wire, Word, FELT};

/// How tonic's error begins when an answer cannot be decoded. Its code is the same as that of a broken connection, which is worth
/// another try. Requesting a wrong answer again would only look as if this process hung.
const UNDECODABLE: &str = "failed to decode Protobuf message";

/// The deadline of one try.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Keys to read in one request.
#[derive(Default, Clone, Debug)]
pub struct Keys {
    pub storage: Vec<(ContractAddress, StorageKey)>,
    pub nonces: Vec<ContractAddress>,
    pub class_hashes: Vec<ContractAddress>,
    pub compiled: Vec<ClassHash>,
}

impl Keys {
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn len(&self) -> usize {
        self.storage.len() + self.nonces.len() + self.class_hashes.len() + self.compiled.len()
    }
}

/// The values of [`Keys`], in their order.
#[derive(Default)]
pub struct Values {
    pub storage: Vec<Felt>,
    pub nonces: Vec<Felt>,
    pub class_hashes: Vec<Felt>,
    pub compiled: Vec<Felt>,
}

/// Why a read has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// Storage does not hold the state of that height.
    NotKept,
    /// Storage could not be reached, or its answer is wrong.
    Fault(String),
    /// The answer is not wanted any more.
    Cancelled,
}

/// The client.
pub struct StorageClient {
    client: StorageReadClient<Channel>,
    runtime: Handle,
    /// How long a read waits while storage restarts.
    patience: Duration,
    /// The highest height that an answer named. Everything up to it is durable.
    stored: AtomicU64,
}

impl StorageClient {
    pub fn new(socket: &str, runtime: Handle, patience: Duration) -> Self {
        let client = {
            let _inside = runtime.enter();
            StorageReadClient::new(connect(socket))
                .max_decoding_message_size(MAX_MESSAGE)
                .max_encoding_message_size(MAX_MESSAGE)
        };
        Self { client, runtime, patience, stored: AtomicU64::new(0) }
    }

    /// The last height that is known to be durable.
    pub fn stored(&self) -> u64 {
        self.stored.load(Ordering::Acquire)
    }

    /// Values at the tip `at`. They are read at the head of storage. The head may be ahead already, because storage commits a block
    /// before this process applies it: then they are read again, at the exact height.
    pub fn at_tip(&self, keys: &Keys, at: u64, cancel: &CancellationToken) -> Result<Values, ReadError> {
        let request = request(keys);
        let answer = self.state(&request, cancel)?;
        self.stored.fetch_max(answer.height, Ordering::AcqRel);
        if answer.height > at {
            match self.state(&StateRequest { at_height: true, height: at, ..request }, cancel) {
                Ok(exact) => return values(keys, &exact),
                // Storage has no history: it has only the newer value.
                Err(ReadError::NotKept) => {}
                Err(error) => return Err(error),
            }
        }
        values(keys, &answer)
    }

    /// Values at a past height.
    pub fn at_height(&self, keys: &Keys, height: u64, cancel: &CancellationToken) -> Result<Values, ReadError> {
        let answer = self.state(&StateRequest { at_height: true, height, ..request(keys) }, cancel)?;
        values(keys, &answer)
    }

    fn state(&self, request: &StateRequest, cancel: &CancellationToken) -> Result<StateResponse, ReadError> {
        let answer = self.retry("state", cancel, || {
            let mut client = self.client.clone();
            let request = request.clone();
            async move { client.state(request).await.map(tonic::Response::into_inner) }
        })?;
        if answer.not_found {
            return Err(ReadError::NotKept);
        }
        Ok(answer)
    }

    /// A class that was declared at or before `height`.
    pub fn class(&self, hash: ClassHash, height: u64, cancel: &CancellationToken) -> Result<Option<Class>, ReadError> {
        let request = ClassesRequest { hashes: wire(&hash), definition: true, casm: true, at_height: true, height };
        let classes = self.retry("class", cancel, || {
            let mut client = self.client.clone();
            let request = request.clone();
            async move {
                let mut stream = client.classes(request).await?.into_inner();
                let mut found = Vec::new();
                while let Some(class) = stream.message().await? {
                    found.push(class);
                }
                Ok(found)
            }
        })?;
        Ok(classes.into_iter().find(|class| class.hash[..] == hash.word()))
    }

    /// Repeats a call while storage is away.
    fn retry<T, F>(&self, what: &str, cancel: &CancellationToken, call: impl Fn() -> F) -> Result<T, ReadError>
    where
        F: std::future::Future<Output = Result<T, Status>>,
    {
        let begun = Instant::now();
        let mut pause = Duration::from_millis(5);
        loop {
            let left = self.patience.saturating_sub(begun.elapsed());
            let result = self.runtime.block_on(async {
                tokio::select! {
                    result = tokio::time::timeout(CALL_TIMEOUT.min(left.max(pause)), call()) => Some(result),
                    () = cancel.cancelled() => None,
                }
            });
            let status = match result {
                Some(Ok(Ok(answer))) => return Ok(answer),
                Some(Ok(Err(status))) => status,
                Some(Err(_)) => Status::deadline_exceeded("it did not answer"),
                None => return Err(ReadError::Cancelled),
            };
            let lasting = matches!(
                status.code(),
                Code::InvalidArgument | Code::Unimplemented | Code::PermissionDenied | Code::FailedPrecondition
            ) || status.message().starts_with(UNDECODABLE);
            if lasting || begun.elapsed() + pause >= self.patience {
                let waited = begun.elapsed().as_secs();
                return Err(ReadError::Fault(format!(
                    "storage: reading {what}: {} (tried for {waited} s)",
                    status.message()
                )));
            }
            let stopped =
                self.runtime.block_on(async { tokio::time::timeout(pause, cancel.cancelled()).await.is_ok() });
            if stopped {
                return Err(ReadError::Cancelled);
            }
            pause = (pause * 2).min(Duration::from_millis(500));
        }
    }
}

fn request(keys: &Keys) -> StateRequest {
    let mut storage = Vec::with_capacity(keys.storage.len() * 2 * FELT);
    for (address, key) in &keys.storage {
        storage.extend_from_slice(&address.word());
        storage.extend_from_slice(&key.word());
    }
    StateRequest {
        at_height: false,
        height: 0,
        storage: Bytes::from(storage),
        nonces: felts::wire_list(&keys.nonces),
        class_hashes: felts::wire_list(&keys.class_hashes),
        compiled_class_hashes: felts::wire_list(&keys.compiled),
    }
}

fn values(keys: &Keys, answer: &StateResponse) -> Result<Values, ReadError> {
    let list = |field: &str, bytes: &[u8], expected: usize| {
        let felts = felts::felts(field, bytes).map_err(|error| ReadError::Fault(format!("storage: {error}")))?;
        if felts.len() != expected {
            return Err(ReadError::Fault(format!("storage: {field}: {} values for {expected} keys", felts.len())));
        }
        Ok(felts)
    };
    Ok(Values {
        storage: list("storage", &answer.storage, keys.storage.len())?,
        nonces: list("nonces", &answer.nonces, keys.nonces.len())?,
        class_hashes: list("class_hashes", &answer.class_hashes, keys.class_hashes.len())?,
        compiled: list("compiled_class_hashes", &answer.compiled_class_hashes, keys.compiled.len())?,
    })
}

//! Rejections: blockifier's errors as the codes of the plugin protocol.

use blockifier::blockifier::stateful_validator::StatefulValidatorError;
use blockifier::blockifier::transaction_executor::TransactionExecutorError;
use blockifier::execution::errors::{
    AnnotatedEntryPointExecutionError, ConstructorEntryPointExecutionError, EntryPointExecutionError, PreExecutionError,
};
use blockifier::execution::syscalls::hint_processor::ENTRYPOINT_NOT_FOUND_ERROR_FELT;
use blockifier::state::errors::StateError;
use blockifier::transaction::errors::{
    ResourceBoundsError, TransactionExecutionError, TransactionFeeError, TransactionPreValidationError,
};
use ordo_sdk::v1::RejectionCode;
use starknet_api::StarknetApiError;

use crate::run;
use crate::transactions::Unusable;

/// Why a transaction or a class is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub code: RejectionCode,
    pub reason: String,
}

impl Rejection {
    pub fn new(code: RejectionCode, reason: impl ToString) -> Self {
        Self { code, reason: reason.to_string() }
    }

    pub fn panicked(text: &str) -> Self {
        Self::new(RejectionCode::Other, format!("execution: the virtual machine panicked: {text}"))
    }
}

impl From<&Unusable> for Rejection {
    fn from(error: &Unusable) -> Self {
        let code = match error {
            Unusable::Malformed(_) => RejectionCode::Other,
            Unusable::ClassMissing(_) => RejectionCode::ClassNotDeclared,
        };
        Self::new(code, error)
    }
}

impl From<&TransactionExecutionError> for Rejection {
    fn from(error: &TransactionExecutionError) -> Self {
        match over_limit(error) {
            Some(reason) => Self::new(RejectionCode::MemoryExceeded, format!("execution: {reason}")),
            None => Self::new(of_execution(error), error),
        }
    }
}

/// The reason of a transaction that was interrupted by a limit of this node, which gas does not have.
pub fn over_limit(error: &TransactionExecutionError) -> Option<&str> {
    match error {
        TransactionExecutionError::StateError(StateError::StateReadError(text)) => text.strip_prefix(run::REJECTED),
        _ => None,
    }
}

impl From<&TransactionExecutorError> for Rejection {
    fn from(error: &TransactionExecutorError) -> Self {
        let code = match error {
            TransactionExecutorError::TransactionExecutionError(error) => return Self::from(error),
            TransactionExecutorError::StateError(error) => of_state(error),
            _ => RejectionCode::Other,
        };
        Self::new(code, error)
    }
}

impl From<&StatefulValidatorError> for Rejection {
    fn from(error: &StatefulValidatorError) -> Self {
        let code = match error {
            StatefulValidatorError::StateError(error) => of_state(error),
            StatefulValidatorError::TransactionExecutionError(error) => of_execution(error),
            StatefulValidatorError::TransactionExecutorError(error) => return Self::from(error),
            StatefulValidatorError::TransactionPreValidationError(error) => of_pre_validation(error),
        };
        Self::new(code, error)
    }
}

fn of_execution(error: &TransactionExecutionError) -> RejectionCode {
    use TransactionExecutionError as E;
    match error {
        E::DeclareTransactionError { .. } => RejectionCode::ClassAlreadyDeclared,
        E::ContractClassVersionMismatch { .. } => RejectionCode::UnsupportedClassVersion,
        E::ValidateTransactionError { error, .. } => of_validate_call(error),
        E::PanicInValidate { panic_reason } if panic_reason.last_retdata.0 == [ENTRYPOINT_NOT_FOUND_ERROR_FELT] => {
            RejectionCode::NonAccount
        }
        E::PanicInValidate { .. } | E::InvalidValidateReturnData { .. } | E::ValidateCairo0Error(_) => {
            RejectionCode::ValidationFailure
        }
        E::ContractConstructorExecutionFailed(error) => of_constructor(error),
        E::ExecutionError { .. } => RejectionCode::ValidationFailure,
        E::FeeCheckError(_) => RejectionCode::InsufficientResources,
        E::TransactionFeeError(error) => of_fee(error),
        E::TransactionPreValidationError(error) => of_pre_validation(error),
        E::StateError(error) => of_state(error),
        E::StarknetApiError(StarknetApiError::DeclareTransactionCasmHashMissMatch(_)) => {
            RejectionCode::CompiledClassHashMismatch
        }
        E::TransactionTooLarge { .. } => RejectionCode::TransactionTooLarge,
        _ => RejectionCode::Other,
    }
}

fn of_pre_validation(error: &TransactionPreValidationError) -> RejectionCode {
    match error {
        TransactionPreValidationError::InvalidNonce { .. } => RejectionCode::InvalidNonce,
        TransactionPreValidationError::TransactionFeeError(error) => of_fee(error),
        TransactionPreValidationError::StateError(error) => of_state(error),
        TransactionPreValidationError::InvalidProofFacts(_) => RejectionCode::InvalidProof,
    }
}

fn of_fee(error: &TransactionFeeError) -> RejectionCode {
    use TransactionFeeError as E;
    match error {
        // A price that is too low may be enough later, so it has a code of its own. An amount that is too small stays so.
        E::InsufficientResourceBounds { errors } => {
            let price_only = errors.iter().all(|error| matches!(error, ResourceBoundsError::MaxGasPriceTooLow { .. }));
            if price_only {
                RejectionCode::FeeBelowMinimum
            } else {
                RejectionCode::InsufficientResources
            }
        }
        E::ResourcesBoundsExceedBalance { .. } | E::GasBoundsExceedBalance { .. } | E::MaxFeeExceedsBalance { .. } => {
            RejectionCode::InsufficientBalance
        }
        E::MaxFeeTooLow { .. } | E::MissingL1GasBounds | E::InsufficientFee { .. } => {
            RejectionCode::InsufficientResources
        }
        E::StateError(error) => of_state(error),
        _ => RejectionCode::Other,
    }
}

fn of_state(error: &StateError) -> RejectionCode {
    match error {
        StateError::UndeclaredClassHash(_) => RejectionCode::ClassNotDeclared,
        StateError::UnavailableContractAddress(_) => RejectionCode::ValidationFailure,
        _ => RejectionCode::Other,
    }
}

fn of_validate_call(error: &AnnotatedEntryPointExecutionError) -> RejectionCode {
    match error.unannotated() {
        EntryPointExecutionError::PreExecutionError(
            PreExecutionError::EntryPointNotFound(_) | PreExecutionError::NoEntryPointOfTypeFound(_),
        ) => RejectionCode::NonAccount,
        _ => RejectionCode::ValidationFailure,
    }
}

fn of_constructor(error: &ConstructorEntryPointExecutionError) -> RejectionCode {
    let ConstructorEntryPointExecutionError::ExecutionError { error, .. } = error;
    match error.unannotated() {
        EntryPointExecutionError::StateError(error)
        | EntryPointExecutionError::PreExecutionError(PreExecutionError::StateError(error)) => of_state(error),
        _ => RejectionCode::ValidationFailure,
    }
}

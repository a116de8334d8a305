//! Transactions of the wire as blockifier runs them.

use std::collections::HashMap;
use std::sync::Arc;

use blockifier::transaction::account_transaction::{AccountTransaction, ExecutionFlags};
use blockifier::transaction::transaction_execution::Transaction;
use ordo_sdk::v1;
use starknet_api::block::GasPrice;
use starknet_api::contract_class::ClassInfo;
use starknet_api::core::{ClassHash, CompiledClassHash, EntryPointSelector, Nonce};
use starknet_api::data_availability::DataAvailabilityMode;
use starknet_api::executable_transaction as executable;
use starknet_api::execution_resources::GasAmount;
use starknet_api::transaction as api;
use starknet_api::transaction::fields::{
    AccountDeploymentData, AllResourceBounds, Calldata, ContractAddressSalt, Fee, PaymasterData, ProofFacts,
    ResourceBounds, Tip, TransactionSignature, ValidResourceBounds,
};
use starknet_api::transaction::TransactionHash;
use starknet_types_core::felt::Felt;

use crate::felts::{self, Malformed, Result};

/// How far the nonce of an INVOKE may be ahead of its account's when it is admitted.
pub const NONCE_WINDOW: u64 = 200;

/// Classes of DECLAREs, with what their fee depends on.
pub type ClassInfos = HashMap<ClassHash, Arc<ClassInfo>>;

/// How a transaction runs. In a block it has `Flags::default()`.
#[derive(Clone, Copy, Debug)]
pub struct Flags {
    pub charge_fee: bool,
    pub validate: bool,
    pub strict_nonce: bool,
}

impl Default for Flags {
    fn default() -> Self {
        Self { charge_fee: true, validate: true, strict_nonce: true }
    }
}

/// Why a transaction of the wire cannot run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unusable {
    Malformed(String),
    ClassMissing(ClassHash),
}

impl From<Malformed> for Unusable {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error.0)
    }
}

impl std::fmt::Display for Unusable {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed(cause) => write!(out, "transaction cannot be read: {cause}"),
            Self::ClassMissing(hash) => write!(out, "class {:#066x} was not sent along with its declare", hash.0),
        }
    }
}

/// A transaction of the wire as blockifier runs it.
pub fn executable(
    wire: &v1::Transaction,
    classes: &ClassInfos,
    flags: Flags,
) -> std::result::Result<Transaction, Unusable> {
    let tx_hash = TransactionHash(felts::felt("hash", &wire.hash)?);
    let account = match wire.r#type() {
        v1::TransactionType::Invoke => executable::AccountTransaction::Invoke(executable::InvokeTransaction {
            tx: api::InvokeTransaction::V3(invoke(wire)?),
            tx_hash,
        }),
        v1::TransactionType::Declare => {
            let tx = declare(wire)?;
            let class_info = classes.get(&tx.class_hash).ok_or(Unusable::ClassMissing(tx.class_hash))?;
            executable::AccountTransaction::Declare(executable::DeclareTransaction {
                class_info: ClassInfo::clone(class_info),
                tx: api::DeclareTransaction::V3(tx),
                tx_hash,
            })
        }
        v1::TransactionType::DeployAccount => {
            executable::AccountTransaction::DeployAccount(executable::DeployAccountTransaction {
                contract_address: address("sender", &wire.sender)?,
                tx: api::DeployAccountTransaction::V3(deploy_account(wire)?),
                tx_hash,
            })
        }
        v1::TransactionType::L1Handler => {
            return Ok(Transaction::L1Handler(executable::L1HandlerTransaction {
                tx: l1_handler(wire)?,
                tx_hash,
                paid_fee_on_l1: Fee(felts::amount("paid_fee_on_l1", &wire.paid_fee_on_l1)?),
            }))
        }
        v1::TransactionType::Unspecified => {
            return Err(Unusable::Malformed("type: is not one of the known transaction types".into()))
        }
    };
    Ok(Transaction::Account(AccountTransaction {
        tx: account,
        execution_flags: ExecutionFlags {
            only_query: wire.query_only,
            charge_fee: flags.charge_fee,
            validate: flags.validate,
            strict_nonce_check: flags.strict_nonce,
        },
    }))
}

fn invoke(wire: &v1::Transaction) -> Result<api::InvokeTransactionV3> {
    Ok(api::InvokeTransactionV3 {
        resource_bounds: bounds(wire)?,
        tip: Tip(wire.tip),
        signature: signature(wire)?,
        nonce: nonce(wire)?,
        sender_address: address("sender", &wire.sender)?,
        calldata: calldata(wire)?,
        nonce_data_availability_mode: mode("nonce_da_mode", wire.nonce_da_mode)?,
        fee_data_availability_mode: mode("fee_da_mode", wire.fee_da_mode)?,
        paymaster_data: PaymasterData(felts::felts("paymaster_data", &wire.paymaster_data)?),
        account_deployment_data: deployment_data(wire)?,
        proof_facts: ProofFacts(felts::felts("proof_facts", &wire.proof_facts)?.into()),
    })
}

fn declare(wire: &v1::Transaction) -> Result<api::DeclareTransactionV3> {
    Ok(api::DeclareTransactionV3 {
        resource_bounds: bounds(wire)?,
        tip: Tip(wire.tip),
        signature: signature(wire)?,
        nonce: nonce(wire)?,
        class_hash: ClassHash(felts::felt("class_hash", &wire.class_hash)?),
        compiled_class_hash: CompiledClassHash(felts::felt("compiled_class_hash", &wire.compiled_class_hash)?),
        sender_address: address("sender", &wire.sender)?,
        nonce_data_availability_mode: mode("nonce_da_mode", wire.nonce_da_mode)?,
        fee_data_availability_mode: mode("fee_da_mode", wire.fee_da_mode)?,
        paymaster_data: PaymasterData(felts::felts("paymaster_data", &wire.paymaster_data)?),
        account_deployment_data: deployment_data(wire)?,
    })
}

fn deploy_account(wire: &v1::Transaction) -> Result<api::DeployAccountTransactionV3> {
    Ok(api::DeployAccountTransactionV3 {
        resource_bounds: bounds(wire)?,
        tip: Tip(wire.tip),
        signature: signature(wire)?,
        nonce: nonce(wire)?,
        class_hash: ClassHash(felts::felt("class_hash", &wire.class_hash)?),
        contract_address_salt: ContractAddressSalt(felts::felt("contract_address_salt", &wire.contract_address_salt)?),
        constructor_calldata: calldata(wire)?,
        nonce_data_availability_mode: mode("nonce_da_mode", wire.nonce_da_mode)?,
        fee_data_availability_mode: mode("fee_da_mode", wire.fee_da_mode)?,
        paymaster_data: PaymasterData(felts::felts("paymaster_data", &wire.paymaster_data)?),
    })
}

fn l1_handler(wire: &v1::Transaction) -> Result<api::L1HandlerTransaction> {
    Ok(api::L1HandlerTransaction {
        version: api::L1HandlerTransaction::VERSION,
        nonce: nonce(wire)?,
        contract_address: address("sender", &wire.sender)?,
        entry_point_selector: EntryPointSelector(felts::felt("entry_point_selector", &wire.entry_point_selector)?),
        calldata: calldata(wire)?,
    })
}

pub fn bounds(wire: &v1::Transaction) -> Result<ValidResourceBounds> {
    let none = v1::ResourceBounds::default();
    let wire = wire.resource_bounds.as_ref().unwrap_or(&none);
    let one = |field: &str, amount: u64, price: &[u8]| {
        Ok(ResourceBounds { max_amount: GasAmount(amount), max_price_per_unit: GasPrice(felts::amount(field, price)?) })
    };
    // The form is always the one with three resources. An L2 bound of zero in the other form would mean the old pricing, which new
    // blocks do not have.
    Ok(ValidResourceBounds::AllResources(AllResourceBounds {
        l1_gas: one("resource_bounds.l1_gas_price", wire.l1_gas_amount, &wire.l1_gas_price)?,
        l2_gas: one("resource_bounds.l2_gas_price", wire.l2_gas_amount, &wire.l2_gas_price)?,
        l1_data_gas: one("resource_bounds.l1_data_gas_price", wire.l1_data_gas_amount, &wire.l1_data_gas_price)?,
    }))
}

pub fn address(field: &str, bytes: &[u8]) -> Result<starknet_api::core::ContractAddress> {
    felts::address(field, felts::felt(field, bytes)?)
}

pub fn nonce(wire: &v1::Transaction) -> Result<Nonce> {
    Ok(Nonce(felts::felt("nonce", &wire.nonce)?))
}

fn calldata(wire: &v1::Transaction) -> Result<Calldata> {
    Ok(Calldata(Arc::new(felts::felts("calldata", &wire.calldata)?)))
}

fn signature(wire: &v1::Transaction) -> Result<TransactionSignature> {
    Ok(TransactionSignature(Arc::new(felts::felts("signature", &wire.signature)?)))
}

fn deployment_data(wire: &v1::Transaction) -> Result<AccountDeploymentData> {
    Ok(AccountDeploymentData(felts::felts("account_deployment_data", &wire.account_deployment_data)?))
}

fn mode(field: &str, mode: u32) -> Result<DataAvailabilityMode> {
    DataAvailabilityMode::try_from(Felt::from(mode))
        .map_err(|_| Malformed(format!("{field}: {mode} is neither 0 (L1) nor 1 (L2)")))
}

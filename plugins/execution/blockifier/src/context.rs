//! The context of a block: the values that contract code can read.

use std::sync::Arc;

use blockifier::blockifier_versioned_constants::VersionedConstants;
use blockifier::bouncer::BouncerConfig;
use blockifier::context::{BlockContext, ChainInfo, FeeTokenAddresses};
use ordo_sdk::v1;
use starknet_api::block::{
    BlockHash, BlockHashAndNumber, BlockInfo, BlockNumber, BlockTimestamp, GasPrice, GasPriceVector, GasPrices,
    NonzeroGasPrice, StarknetVersion,
};
use starknet_api::core::ChainId;
use starknet_api::versioned_constants_logic::VersionedConstantsTrait;

use crate::felts::{self, Malformed, Result};

/// The values that are the same for all blocks of a chain.
#[derive(Clone, Debug)]
pub struct Chain {
    pub info: ChainInfo,
    /// The version of a block that names none.
    pub version: StarknetVersion,
}

impl Chain {
    pub fn new(chain: &v1::Chain) -> Result<Self> {
        if chain.chain_id.is_empty() {
            return Err(Malformed("chain.chain_id: is missing".into()));
        }
        let fee_token = |field: &str, bytes: &[u8], usual: starknet_api::core::ContractAddress| {
            if bytes.is_empty() {
                return Ok(usual);
            }
            felts::address(field, felts::felt(field, bytes)?)
        };
        Ok(Self {
            info: ChainInfo {
                chain_id: ChainId::from(chain.chain_id.clone()),
                fee_token_addresses: FeeTokenAddresses {
                    strk_fee_token_address: fee_token("chain.strk_fee_token", &chain.strk_fee_token, strk())?,
                    eth_fee_token_address: fee_token("chain.eth_fee_token", &chain.eth_fee_token, eth())?,
                },
                is_l3: false,
            },
            version: version(&chain.starknet_version, StarknetVersion::LATEST)?,
        })
    }
}

fn strk() -> starknet_api::core::ContractAddress {
    constant_address("0x04718f5a0fc34cc1af16a1cdee98ffb20c31f5cd61d6ab07201858f4287c938d")
}

fn eth() -> starknet_api::core::ContractAddress {
    constant_address("0x049d36570d4e46f48e99674bd3fcc84644ddd6b96f7c741b1562b82f9e004dc7")
}

fn constant_address(hex: &str) -> starknet_api::core::ContractAddress {
    hex.parse().expect("a constant address")
}

fn version(text: &str, absent: StarknetVersion) -> Result<StarknetVersion> {
    if text.is_empty() {
        return Ok(absent);
    }
    StarknetVersion::try_from(text).map_err(|_| {
        Malformed(format!("starknet_version: {text} is not known to this build; newest is {}", StarknetVersion::LATEST))
    })
}

fn price(field: &str, price: Option<&v1::GasPrice>) -> Result<(NonzeroGasPrice, NonzeroGasPrice)> {
    let Some(price) = price else {
        return Ok((NonzeroGasPrice::MIN, NonzeroGasPrice::MIN));
    };
    // blockifier has no price of zero, so it becomes 1.
    let nonzero = |amount| NonzeroGasPrice::new(GasPrice(amount)).unwrap_or(NonzeroGasPrice::MIN);
    Ok((nonzero(felts::amount(field, &price.wei)?), nonzero(felts::amount(field, &price.fri)?)))
}

/// The context of a block, and the hash of an older block that the first write of the block needs.
pub struct Block {
    pub context: Arc<BlockContext>,
    pub old_hash: Option<BlockHashAndNumber>,
}

impl Block {
    pub fn number(&self) -> u64 {
        self.context.block_info().block_number.0
    }

    pub fn new(chain: &Chain, wire: &v1::BlockContext, bouncer: BouncerConfig) -> Result<Self> {
        let version = version(&wire.starknet_version, chain.version)?;
        let constants = VersionedConstants::get(&version).map_err(|_| {
            Malformed(format!("starknet_version: blocks of {version} cannot be executed by this build"))
        })?;
        let (l1_wei, l1_fri) = price("context.l1_gas", wire.l1_gas.as_ref())?;
        let (data_wei, data_fri) = price("context.l1_data_gas", wire.l1_data_gas.as_ref())?;
        let (l2_wei, l2_fri) = price("context.l2_gas", wire.l2_gas.as_ref())?;
        let info = BlockInfo {
            block_number: BlockNumber(wire.number),
            block_timestamp: BlockTimestamp(wire.timestamp),
            starknet_version: version,
            sequencer_address: felts::address("context.sequencer", felts::felt("context.sequencer", &wire.sequencer)?)?,
            gas_prices: GasPrices {
                eth_gas_prices: GasPriceVector {
                    l1_gas_price: l1_wei,
                    l1_data_gas_price: data_wei,
                    l2_gas_price: l2_wei,
                },
                strk_gas_prices: GasPriceVector {
                    l1_gas_price: l1_fri,
                    l1_data_gas_price: data_fri,
                    l2_gas_price: l2_fri,
                },
            },
            use_kzg_da: wire.blob_da,
        };
        let buffer = blockifier::abi::constants::STORED_BLOCK_HASH_BUFFER;
        let old_hash = match wire.number.checked_sub(buffer) {
            Some(number) if !wire.old_block_hash.is_empty() => Some(BlockHashAndNumber {
                number: BlockNumber(number),
                hash: BlockHash(felts::felt("context.old_block_hash", &wire.old_block_hash)?),
            }),
            _ => None,
        };
        Ok(Self {
            context: Arc::new(BlockContext::new(info, chain.info.clone(), constants.clone(), bouncer)),
            old_hash,
        })
    }

    /// Checks that the block may begin: from block 10 on it needs the hash of the tenth block before it.
    pub fn check_old_hash(&self) -> Result<()> {
        let buffer = blockifier::abi::constants::STORED_BLOCK_HASH_BUFFER;
        if self.old_hash.is_none() && self.number() >= buffer {
            return Err(Malformed(format!(
                "context.old_block_hash: block {} needs the hash of block {}",
                self.number(),
                self.number() - buffer
            )));
        }
        Ok(())
    }
}

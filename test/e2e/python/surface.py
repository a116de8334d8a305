"""Every method that starknet.py has over HTTP, on a chain that flow.py has made: blocks, state, classes, transactions, traces, events, views and
proofs, in every form of block id, with the flags of 0.10; and its client of development nodes, as far as it is served.
"""

from dataclasses import dataclass

from marshmallow.exceptions import ValidationError
from starknet_py.devnet_utils.devnet_client import DevnetClient
from starknet_py.hash.selector import get_selector_from_name
from starknet_py.net.account.account import Account
from starknet_py.net.client_errors import ClientError
from starknet_py.net.client_models import (
    Call, ContractsStorageKeys, DeprecatedContractClass, PriceUnit, SierraContractClass, StorageResponseFlag, TraceFlag,
    TransactionExecutionStatus, TransactionResponseFlag, TransactionStatus,
)
from starknet_py.net.full_node_client import FullNodeClient
from starknet_py.net.tip import estimate_tip

FACTS = [TransactionResponseFlag.INCLUDE_PROOF_FACTS]
LEGACY_DEPLOYER = 0x41A78E741E5AF2FEC34B695679BC6891742439F7AFB8484ECD7766661AD02BF  # a class of Cairo 0
DECIMALS = get_selector_from_name("decimals")  # where the token keeps them


@dataclass
class World:
    client: FullNodeClient
    account: Account
    token: int
    token_class: int
    taker: int
    sent: dict  # hashes by kind


async def surface(w: World, url: str) -> None:
    await chain(w)
    await blocks(w)
    await state(w)
    await transactions(w)
    await views(w)
    await errors(w)
    await devnet(w, url)


async def refused(code: int, wanted) -> None:
    try:
        await wanted
    except ClientError as e:
        assert f"Client failed with code {code}." in e.message, e
        return
    raise AssertionError(f"no error {code}")


async def forms(w: World) -> tuple:
    """The ways to name the latest block."""
    last = await w.client.get_block_hash_and_number()
    return last, [{"block_number": "latest"}, {"block_number": last.block_number}, {"block_hash": last.block_hash}]


async def chain(w: World) -> None:
    assert await w.client.get_chain_id() == hex(int.from_bytes(b"SN_SEPOLIA", "big"))
    assert await w.client.get_syncing_status() is False
    last, _ = await forms(w)
    assert await w.client.get_block_number() == last.block_number


async def blocks(w: World) -> None:
    c = w.client
    last, ids = await forms(w)
    for at in ids:
        hashes = await c.get_block_with_tx_hashes(**at)
        assert hashes.block_hash == last.block_hash and hashes.transaction_count == len(hashes.transactions) > 0
        assert hashes.state_diff_length > 0 and hashes.transaction_commitment != 0
        whole = await c.get_block_with_txs(**at, response_flags=FACTS)
        assert [tx.hash for tx in whole.transactions] == hashes.transactions
        assert len((await c.get_block(**at)).transactions) == len(hashes.transactions)
        receipts = await c.get_block_with_receipts(**at, response_flags=FACTS)
        assert [t.receipt.transaction_hash for t in receipts.transactions] == hashes.transactions
        assert await c.get_block_transaction_count(**at) == len(hashes.transactions)
        assert (await c.get_transaction_by_block_id(0, **at, response_flags=FACTS)).hash == hashes.transactions[0]
        update = await c.get_state_update(**at)
        assert update.new_root == hashes.new_root and update.state_diff.nonces
        part = await c.get_state_update(**at, contract_addresses=[w.token])
        assert not part.state_diff.nonces and all(diff.address == w.token for diff in part.state_diff.storage_diffs)
        traces = await c.trace_block_transactions(**at)
        assert [t.transaction_hash for t in traces] == hashes.transactions
        assert (await c.trace_block_transactions(**at, trace_flags=[TraceFlag.RETURN_INITIAL_READS])).initial_reads.storage
    assert (await c.get_block_with_tx_hashes(block_number="pre_confirmed")).block_number > last.block_number
    await c.get_block_with_txs(block_number="pre_confirmed", response_flags=FACTS)
    await c.get_block_with_receipts(block_number="pre_confirmed", response_flags=FACTS)
    assert await c.get_block_transaction_count(block_number="pre_confirmed") == 0
    assert (await c.get_state_update(block_number="pre_confirmed")).old_root != 0


async def state(w: World) -> None:
    c = w.client
    last, ids = await forms(w)
    for at in ids + [{"block_number": "pre_confirmed"}]:
        assert await c.get_contract_nonce(w.account.address, **at) > 0
        assert await c.get_class_hash_at(w.token, **at) == w.token_class
        by_hash, by_address = await c.get_class_by_hash(w.token_class, **at), await c.get_class_at(w.token, **at)
        assert isinstance(by_hash, SierraContractClass) and len(by_hash.sierra_program) == len(by_address.sierra_program) > 100
        assert await c.get_storage_at(w.token, DECIMALS, **at) == 18
        slot = await c.get_storage_at(w.token, DECIMALS, **at, response_flags=[StorageResponseFlag.INCLUDE_LAST_UPDATE_BLOCK])
        assert slot.value == 18 and 0 < slot.last_update_block <= last.block_number
        assert await c.call_contract(Call(w.token, get_selector_from_name("get_decimals"), []), **at) == [18]
    assert isinstance(await c.get_class_at(LEGACY_DEPLOYER, block_number="latest"), DeprecatedContractClass)
    assert len((await c.get_compiled_casm(w.token_class)).bytecode) > 100
    assert await w.account.get_balance() > 0
    assert await w.account.cairo_version == 1

    proof = await c.get_storage_proof(
        block_number="latest", class_hashes=[w.token_class], contract_addresses=[w.token],
        contracts_storage_keys=[ContractsStorageKeys(contract_address=w.token, storage_keys=[hex(DECIMALS)])],
    )
    assert proof.global_roots.block_hash == last.block_hash and len(proof.contracts_storage_proofs) == 1
    assert proof.contracts_proof.contract_leaves_data[0].class_hash == w.token_class


async def transactions(w: World) -> None:
    kinds = {"InvokeTransactionTrace": "INVOKE", "DeclareTransactionTrace": "DECLARE", "DeployAccountTransactionTrace": "DEPLOY_ACCOUNT"}
    c = w.client
    for kind, tx_hash in w.sent.items():
        tx = await c.get_transaction(tx_hash, response_flags=FACTS)
        assert tx.hash == tx_hash
        assert kind != "INVOKE" or tx.proof_facts == []
        await c.get_transaction(tx_hash)
        receipt = await c.get_transaction_receipt(tx_hash)
        assert receipt.type.value == kind and receipt.actual_fee.unit == PriceUnit.FRI and receipt.block_hash
        assert (await c.wait_for_tx(tx_hash, check_interval=0.05)).transaction_hash == tx_hash
        status = await c.get_transaction_status(tx_hash)
        assert (status.finality_status, status.execution_status) == (TransactionStatus.ACCEPTED_ON_L2, TransactionExecutionStatus.SUCCEEDED)
        trace = await c.trace_transaction(tx_hash)
        assert kinds[type(trace).__name__] == kind and trace.execution_resources.l2_gas > 0
    several = await c.get_events(address=[w.token, w.taker], from_block_number=0, to_block_number="latest", follow_continuation_token=True, chunk_size=2)
    assert several.events and all(event.event_index is not None for event in several.events)
    assert await estimate_tip(c) == 0


async def views(w: World) -> None:
    c = w.client
    _, ids = await forms(w)
    call = Call(w.token, get_selector_from_name("transfer"), [0x123, 1, 0])
    signed = await w.account.sign_invoke_v3(call, auto_estimate=True)
    free = await w.account.sign_for_fee_estimate(signed)
    for at in ids + [{"block_number": "pre_confirmed"}]:
        fee = await c.estimate_fee(free, **at)
        assert fee.overall_fee > 0 and fee.unit == PriceUnit.FRI
        (same,) = await c.estimate_fee([free], skip_validate=True, **at)
        assert same.overall_fee > 0
        (plain,) = await c.simulate_transactions([signed], skip_validate=True, skip_fee_charge=True, **at)
        assert plain.transaction_trace.validate_invocation is None and plain.fee_estimation.overall_fee > 0
        reads = await c.simulate_transactions([signed], return_initial_reads=True, **at)
        assert reads.simulated_transactions and reads.initial_reads.storage
        message = await c.estimate_message_fee("0x8453FC6Cd1bCfE8D4dFC069C400B433054d47bDc", w.taker, get_selector_from_name("l1_handle"), [7], **at)
        assert message.overall_fee > 0 and message.unit == PriceUnit.WEI


async def errors(w: World) -> None:
    """The codes of the specification. There is no L1: no block is accepted there, and no message is known from it."""
    c = w.client
    await refused(24, c.get_block(block_number=1_000_000))
    await refused(24, c.get_block(block_number="l1_accepted"))
    await refused(20, c.get_class_hash_at(0xDEAD, block_number="latest"))
    await refused(28, c.get_class_by_hash(0xDEAD, block_number="latest"))
    await refused(28, c.get_compiled_casm(0xDEAD))
    await refused(29, c.get_transaction_receipt(0xDEAD))
    await refused(27, c.get_transaction_by_block_id(1_000_000, block_number="latest"))
    await refused(21, c.call_contract(Call(w.token, 1, []), block_number="latest"))
    await refused(40, c.call_contract(Call(w.token, get_selector_from_name("balance_of"), []), block_number="latest"))
    await refused(31, c.get_events(from_block_number=0, to_block_number="latest", chunk_size=1_000_000))
    await refused(29, c.get_messages_status(0xDEAD))
    await refused(69, w.account.execute_v3(Call(w.token, get_selector_from_name("transfer"), [0x123, 1, 0]), auto_estimate=True, proof="AAAA"))


async def devnet(w: World, url: str) -> None:
    d = DevnetClient(node_url=url)
    accounts = await d.get_predeployed_accounts(with_balance=True)
    assert accounts[0].address == w.account.address and accounts[0].balance.strk.amount > 0
    minted = await d.mint(0x123, 5, "WEI")
    assert (minted.new_balance, minted.unit) == (5, PriceUnit.WEI)
    balance = await d.get_account_balance(0x123, "WEI", "pre_confirmed")
    assert (balance.amount, balance.unit) == (5, PriceUnit.WEI)
    before = (await forms(w))[0].block_number
    created = int(await d.create_block(), 16)
    assert (await d.get_block(block_hash=created)).block_number == before + 1
    assert (await d.increase_time(100)).timestamp_increased_by == 100
    now = (await d.get_block(block_number="latest")).timestamp
    assert (await d.set_time(now + 1000, generate_block=True)).block_timestamp == now + 1000

    # What is not served, and why.
    absent = {
        "one account at a time, a signature is always checked": [
            d.impersonate_account(1), d.stop_impersonate_account(1), d.auto_impersonate(), d.stop_auto_impersonate()],
        "an accepted block is final": [d.abort_block(block_number=1)],
        "the chain is a folder: copy it, or start a node with it": [d.dump("x"), d.load("x"), d.restart()],
        "there is no L1": [d.postman_load("http://127.0.0.1:1"), d.postman_flush(), d.send_message_to_l2(1, 1, 1 << 156, [], 1, 1), d.consume_message_from_l2(1, 1 << 156, [])],
    }
    for calls in absent.values():
        for call in calls:
            await refused(-32601, call)
    # The client wants names that starknet-devnet does not have any more, such as gas_price_strk, and no others.
    try:
        await d.get_config()
    except ValidationError as e:
        assert "gas_price_strk" in e.messages and "gas_price_fri" in e.messages, e
    else:
        raise AssertionError("the configuration can be read: check what it says")

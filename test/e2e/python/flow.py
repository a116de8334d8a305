r"""What a developer does with starknet.py against a dev node: declare, deploy through the UDC, deploy an account, invoke,
call, estimate, read events, wait for ACCEPTED_ON_L2. Prints one JSON line; any failure ends it.

Then surface.py reads the chain by every method that the client has.

    python flow.py URL ERC20.contract_class.json ERC20.compiled_contract_class.json \
        TAKER.contract_class.json TAKER.compiled_contract_class.json ACCOUNT_CLASS_HASH
"""

import asyncio
import json
import sys
import time

import aiohttp
from starknet_py.common import create_casm_class
from starknet_py.contract import Contract
from starknet_py.hash.address import compute_address
from starknet_py.hash.casm_class_hash import compute_casm_class_hash
from starknet_py.hash.hash_method import HashMethod
from starknet_py.hash.selector import get_selector_from_name
from starknet_py.net.account.account import Account
from starknet_py.net.client_models import Call, TransactionExecutionStatus, TransactionStatus
from starknet_py.net.full_node_client import FullNodeClient
from starknet_py.net.models import StarknetChainId
from starknet_py.net.signer.key_pair import KeyPair
from starknet_py.net.udc_deployer.deployer import Deployer

from surface import World, surface

STRK = 0x4718F5A0FC34CC1AF16A1CDEE98FFB20C31F5CD61D6AB07201858F4287C938D


async def accepted(client: FullNodeClient, tx_hash: int):
    deadline = time.monotonic() + 60
    while True:
        status = await client.get_transaction_status(tx_hash)
        if status.finality_status == TransactionStatus.ACCEPTED_ON_L2:
            assert status.execution_status == TransactionExecutionStatus.SUCCEEDED, status
            return await client.get_transaction_receipt(tx_hash)
        assert time.monotonic() < deadline, f"{tx_hash:#x} is still {status.finality_status}"
        await asyncio.sleep(0.05)


def read(*files: str) -> list:
    texts = []
    for file in files:
        with open(file, encoding="utf-8") as f:
            texts.append(f.read())
    return texts


async def main(url: str, sierra_file: str, casm_file: str, taker_sierra_file: str, taker_casm_file: str, account_class: int) -> None:
    client = FullNodeClient(node_url=url)
    assert await client.spec_version() == "0.10.2"
    predeployed = await first_account(url)
    account = Account(
        client=client,
        address=int(predeployed["address"], 16),
        key_pair=KeyPair.from_private_key(int(predeployed["private_key"], 16)),
        chain=StarknetChainId.SEPOLIA,
    )

    # declare
    sierra, casm = read(sierra_file, casm_file)
    declared = await Contract.declare_v3(account, compiled_contract=sierra, compiled_contract_casm=casm, auto_estimate=True)
    await accepted(client, declared.hash)

    # deploy through the UDC
    supply = 1_000_000
    deployment = await declared.deploy_v3(
        constructor_args={
            "name_": "Token", "symbol_": "TOK", "decimals_": 18, "initial_supply": supply, "recipient": account.address,
        },
        auto_estimate=True,
    )
    await accepted(client, deployment.hash)
    token = deployment.deployed_contract
    (balance,) = await token.functions["balance_of"].call(account.address)
    assert balance == supply, balance

    # fund and deploy an account
    keys = KeyPair.generate()
    address = compute_address(class_hash=account_class, constructor_calldata=[keys.public_key], salt=keys.public_key)
    # By the account: the library takes seconds to read an ABI.
    funding = await account.execute_v3(Call(STRK, get_selector_from_name("transfer"), [address, 10**20, 0]), auto_estimate=True)
    await accepted(client, funding.transaction_hash)
    created = await Account.deploy_account_v3(
        address=address, class_hash=account_class, salt=keys.public_key, key_pair=keys, client=client, auto_estimate=True,
    )
    await accepted(client, created.hash)
    second = created.account
    assert await second.get_nonce() == 1

    # invoke
    prepared = token.functions["transfer"].prepare_invoke_v3(recipient=address, amount=1000)
    fee = await prepared.estimate_fee()
    assert fee.overall_fee > 0
    paid = await prepared.invoke(auto_estimate=True)
    await accepted(client, paid.hash)
    back = await second.execute_v3(Call(token.address, get_selector_from_name("transfer"), [account.address, 400, 0]), auto_estimate=True)
    receipt = await accepted(client, back.transaction_hash)
    (balance,) = await token.functions["balance_of"].call(address)
    assert balance == 600, balance

    # events
    events, token_of_page = [], None
    while True:
        page = await client.get_events(
            address=token.address, keys=[[get_selector_from_name("Transfer")]],
            from_block_number=0, to_block_number="latest", follow_continuation_token=False,
            continuation_token=token_of_page, chunk_size=2,
        )
        events += page.events
        token_of_page = page.continuation_token
        if not token_of_page:
            break
    assert len(events) == 3, events
    assert events[-1].transaction_hash == back.transaction_hash
    assert events[-1].block_number == receipt.block_number

    # blocks, with every field that the library insists on
    block = await client.get_block_with_receipts(block_number="latest")
    assert block.new_root != 0
    await client.get_block(block_number="pre_confirmed")
    await client.get_state_update(block_number="latest")

    # a contract that takes messages, and the rest of the surface
    sierra, casm = read(taker_sierra_file, taker_casm_file)
    casm_class = create_casm_class(casm)
    declare = await account.sign_declare_v3(sierra, compute_casm_class_hash(casm_class, hash_method=HashMethod.BLAKE2S), auto_estimate=True)
    taker_class = await client.declare(declare)
    await accepted(client, taker_class.transaction_hash)
    deploy = Deployer().create_contract_deployment_raw(class_hash=taker_class.class_hash, raw_calldata=[1])
    await accepted(client, (await account.execute_v3(deploy.call, auto_estimate=True)).transaction_hash)
    await surface(World(
        client=client, account=account, token=token.address, token_class=declared.class_hash, taker=deploy.address,
        sent={"INVOKE": back.transaction_hash, "DECLARE": declared.hash, "DEPLOY_ACCOUNT": created.hash},
    ), url)
    print(json.dumps({"token": hex(token.address), "block": block.block_number, "events": len(events)}))


async def first_account(url: str) -> dict:
    async with aiohttp.ClientSession() as session:
        request = {"jsonrpc": "2.0", "id": 1, "method": "devnet_getPredeployedAccounts", "params": {}}
        async with session.post(url, json=request) as response:
            return (await response.json())["result"][0]


asyncio.run(main(*sys.argv[1:6], int(sys.argv[6], 16)))

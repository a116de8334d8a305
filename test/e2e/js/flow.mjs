// What a developer does with starknet.js against a dev node: declare, deploy through the UDC, deploy an account, invoke,
// call, estimate, simulate, trace, read events, wait for ACCEPTED_ON_L2. Prints one JSON line; any failure ends it.
//
// Then surface.mjs reads the chain by every method that the client has.
//
//   node flow.mjs URL ERC20.contract_class.json ERC20.compiled_contract_class.json
//     TAKER.contract_class.json TAKER.compiled_contract_class.json ACCOUNT_CLASS_HASH
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

import { surface } from './surface.mjs';

// The library lies in the cache, not beside this file.
const require = createRequire(pathToFileURL(path.join(process.env.ORDO_E2E_JS, 'package.json')));
const { Account, CallData, Contract, RpcProvider, TransactionFinalityStatus, cairo, ec, hash, json, num, stark } = require('starknet');

const [url, sierraFile, casmFile, takerSierraFile, takerCasmFile, accountClass] = process.argv.slice(2);
const STRK = '0x4718f5a0fc34cc1af16a1cdee98ffb20c31f5cd61d6ab07201858f4287c938d';

const provider = await RpcProvider.create({ nodeUrl: url });
assert.equal(await provider.getSpecVersion(), '0.10.2');
const quick = { retryInterval: 50 };
const accepted = async (txHash) => {
  const receipt = await provider.waitForTransaction(txHash, {
    ...quick,
    successStates: [TransactionFinalityStatus.ACCEPTED_ON_L2],
  });
  assert.equal(receipt.execution_status, 'SUCCEEDED');
  assert.equal(receipt.finality_status, 'ACCEPTED_ON_L2');
  return receipt;
};

const devnet = await fetch(url, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'devnet_getPredeployedAccounts', params: {} }),
});
const [predeployed] = (await devnet.json()).result;
const account = new Account({ provider, address: predeployed.address, signer: predeployed.private_key });

// declare
const contract = json.parse(fs.readFileSync(sierraFile, 'utf8'));
const casm = json.parse(fs.readFileSync(casmFile, 'utf8'));
const declared = await account.declareIfNot({ contract, casm });
assert.equal(declared.class_hash, hash.computeContractClassHash(contract));
await accepted(declared.transaction_hash);
assert.equal((await provider.getClassByHash(declared.class_hash)).sierra_program.length, contract.sierra_program.length);
const again = await account.declareIfNot({ contract, casm });
assert.equal(again.transaction_hash, '', 'a class that is declared was declared again');

// deploy through the UDC
const supply = 1_000_000n;
const constructor = new CallData(contract.abi).compile('constructor', {
  name_: 'Token', symbol_: 'TOK', decimals_: 18, initial_supply: cairo.uint256(supply), recipient: account.address,
});
const deployment = await account.deployContract({ classHash: declared.class_hash, constructorCalldata: constructor }, quick);
await accepted(deployment.transaction_hash);
const token = new Contract({ abi: contract.abi, address: deployment.address, providerOrAccount: account });
assert.equal(await token.balance_of(account.address), supply);
assert.equal(BigInt(await provider.getClassHashAt(deployment.address)), BigInt(declared.class_hash));

// fund and deploy an account
const key = stark.randomAddress();
const publicKey = ec.starkCurve.getStarkKey(key);
const accountCalldata = CallData.compile({ publicKey });
const fresh = hash.calculateContractAddressFromHash(publicKey, accountClass, accountCalldata, 0);
const funding = await account.execute({
  contractAddress: STRK, entrypoint: 'transfer', calldata: CallData.compile({ to: fresh, amount: cairo.uint256(10n ** 20n) }),
});
await accepted(funding.transaction_hash);
const second = new Account({ provider, address: fresh, signer: key });
const deployedAccount = await second.deployAccount({
  classHash: accountClass, constructorCalldata: accountCalldata, addressSalt: publicKey,
});
await accepted(deployedAccount.transaction_hash);
assert.equal(BigInt(deployedAccount.contract_address), BigInt(fresh));
assert.equal(BigInt(await provider.getNonceForAddress(fresh)), 1n);

// invoke: two calls in one transaction, from the predeployed and from the new account
const transfer = (to, amount) => ({
  contractAddress: token.address, entrypoint: 'transfer', calldata: CallData.compile({ to, amount: cairo.uint256(amount) }),
});
const estimate = await account.estimateInvokeFee([transfer(fresh, 1000n)]);
assert.ok(estimate.overall_fee > 0n);
const simulated = await account.simulateTransaction([{ type: 'INVOKE', payload: [transfer(fresh, 1000n)] }]);
const first = Array.isArray(simulated) ? simulated[0] : simulated.simulated_transactions[0];
assert.equal(first.transaction_trace.type, 'INVOKE');
const paid = await account.execute([transfer(fresh, 1000n), transfer('0x123', 5n)]);
await accepted(paid.transaction_hash);
const back = await second.execute(transfer(account.address, 400n));
const receipt = await accepted(back.transaction_hash);
assert.equal(await token.balance_of(fresh), 600n);
assert.equal(await token.balance_of('0x123'), 5n);
assert.equal(await token.balance_of(account.address), supply - 1005n + 400n);

// trace
const trace = await provider.getTransactionTrace(back.transaction_hash);
assert.equal(trace.type, 'INVOKE');
assert.ok(trace.execute_invocation.calls.length > 0);

// events, in pages of two
const key0 = hash.getSelectorFromName('Transfer');
const events = [];
let continuation;
do {
  const page = await provider.getEvents({
    address: token.address, keys: [[key0]], from_block: { block_number: 0 }, to_block: 'latest',
    chunk_size: 2, continuation_token: continuation,
  });
  events.push(...page.events);
  continuation = page.continuation_token;
} while (continuation);
assert.equal(events.length, 4, 'mint, two transfers, one back');
assert.equal(events.at(-1).transaction_hash, back.transaction_hash);
assert.equal(receipt.block_number, events.at(-1).block_number);

// a transaction that reverts keeps its place and says why
const reverting = await account.execute(transfer(fresh, supply * 2n), {
  resourceBounds: estimate.resourceBounds, tip: 0n,
});
const reverted = await provider.waitForTransaction(reverting.transaction_hash, { retryInterval: 50 });
assert.equal(reverted.execution_status, 'REVERTED');
assert.match(reverted.revert_reason, /u256_sub Overflow/);

// a contract that takes messages
const read = (file) => json.parse(fs.readFileSync(file, 'utf8'));
const taker = await account.declareAndDeploy({ contract: read(takerSierraFile), casm: read(takerCasmFile), constructorCalldata: [1] }, quick);
await accepted(taker.deploy.transaction_hash);

await surface({
  library: require('starknet'), url, provider, account, second, transfer,
  token: token.address, class: declared.class_hash, taker: taker.deploy.contract_address,
  invoke: back.transaction_hash, declare: declared.transaction_hash, deploy: deployedAccount.transaction_hash, reverted: reverting.transaction_hash,
});

const block = await provider.getBlockWithReceipts('latest');
assert.equal(block.status, 'ACCEPTED_ON_L2');
assert.notEqual(BigInt(block.new_root), 0n);
console.log(JSON.stringify({ token: num.toHex(token.address), block: block.block_number, events: events.length }));

// Three transactions sent with explicit nonces before any of them is in a block, with starknet.js as it is by default: it
// estimates each at `latest`, where the account's nonce is still 0. Prints one JSON line; any failure ends it.
//
//   node nonces.mjs URL
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const require = createRequire(pathToFileURL(path.join(process.env.ORDO_E2E_JS, 'package.json')));
const { Account, CallData, RpcProvider, cairo } = require('starknet');

const [url] = process.argv.slice(2);
const STRK = '0x4718f5a0fc34cc1af16a1cdee98ffb20c31f5cd61d6ab07201858f4287c938d';

const devnet = async (method, params = {}) => {
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
  });
  const { result, error } = await answer.json();
  assert.equal(error, undefined);
  return result;
};
const [predeployed] = await devnet('devnet_getPredeployedAccounts');
const provider = await RpcProvider.create({ nodeUrl: url });
const account = new Account({ provider, address: predeployed.address, signer: predeployed.private_key });
const transfer = (amount) => ({
  contractAddress: STRK, entrypoint: 'transfer', calldata: CallData.compile({ to: '0x123', amount: cairo.uint256(amount) }),
});

const sent = [];
for (const nonce of [0, 1, 2]) sent.push(await account.execute(transfer(nonce + 1), { nonce }));

// In one list they follow on from each other, and from the account.
const list = [3, 4].map((nonce) => ({ type: 'INVOKE', payload: [transfer(nonce)] }));
const fees = await account.estimateFeeBulk(list, { nonce: 3 });
assert.equal(fees.length, 2);
assert.ok(fees.every((fee) => fee.overall_fee > 0n));

await devnet('devnet_createBlock');
for (const { transaction_hash: hash } of sent) {
  const receipt = await provider.waitForTransaction(hash, { retryInterval: 50 });
  assert.equal(receipt.execution_status, 'SUCCEEDED');
}
assert.equal(BigInt(await provider.getNonceForAddress(account.address, 'latest')), 3n);

// What has run is no transaction to estimate.
await assert.rejects(account.estimateInvokeFee(transfer(1), { nonce: 2 }), /nonce/i);
console.log(JSON.stringify({ sent: sent.length }));

// What an application does with starknet.js against a network: by each of its nodes it deploys an account and invokes, and it reads receipt,
// nonce and balance at the next one. Prints one JSON line; any failure ends it.
//
//   node network.mjs URL URL ...
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

// The library lies in the cache, not beside this file.
const require = createRequire(pathToFileURL(path.join(process.env.ORDO_E2E_JS, 'package.json')));
const { Account, CallData, RpcProvider, TransactionFinalityStatus, cairo, ec, hash, logger, stark } = require('starknet');
logger?.setLogLevel?.('OFF'); // it warns on a chain with few tips, and prints statuses where the result belongs

const urls = process.argv.slice(2);
const STRK = '0x4718f5a0fc34cc1af16a1cdee98ffb20c31f5cd61d6ab07201858f4287c938d';
const providers = await Promise.all(urls.map((nodeUrl) => RpcProvider.create({ nodeUrl })));
const devnet = await fetch(urls[0], {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'devnet_getPredeployedAccounts', params: {} }),
});
const predeployed = (await devnet.json()).result.slice(-urls.length); // the first ones may be in use
const accountClass = await providers[0].getClassHashAt(predeployed[0].address);

// accepted waits for a receipt at a node that need not know the transaction yet.
const accepted = async (provider, txHash) => {
  const receipt = await provider.waitForTransaction(txHash, { retryInterval: 50, successStates: [TransactionFinalityStatus.ACCEPTED_ON_L2] });
  assert.equal(receipt.execution_status, 'SUCCEEDED');
  return receipt;
};
const balance = async (provider, address) => {
  const [low] = await provider.callContract({ contractAddress: STRK, entrypoint: 'balance_of', calldata: [address] }, 'latest');
  return BigInt(low);
};

await Promise.all(urls.map(async (_, k) => {
  const here = providers[k];
  const next = providers[(k + 1) % urls.length];
  const funder = new Account({ provider: here, address: predeployed[k].address, signer: predeployed[k].private_key });
  const key = stark.randomAddress();
  const publicKey = ec.starkCurve.getStarkKey(key);
  const calldata = CallData.compile({ publicKey });
  const address = hash.calculateContractAddressFromHash(publicKey, accountClass, calldata, 0);
  const pay = (to, amount) => ({ contractAddress: STRK, entrypoint: 'transfer', calldata: CallData.compile({ to, amount: cairo.uint256(amount) }) });

  const funding = await funder.execute(pay(address, 10n ** 20n));
  await accepted(next, funding.transaction_hash);
  await accepted(here, funding.transaction_hash);
  const account = new Account({ provider: here, address, signer: key });
  const deployed = await account.deployAccount({ classHash: accountClass, constructorCalldata: calldata, addressSalt: publicKey });
  assert.equal(BigInt(deployed.contract_address), BigInt(address));
  await accepted(next, deployed.transaction_hash);
  assert.equal(BigInt(await next.getNonceForAddress(address, 'latest')), 1n);
  await accepted(here, deployed.transaction_hash);

  const to = `0x${(0xe000 + k).toString(16)}`;
  const invoked = await account.execute(pay(to, 5n));
  const receipt = await accepted(next, invoked.transaction_hash);
  assert.equal(BigInt(await next.getNonceForAddress(address, 'latest')), 2n);
  assert.equal(await balance(next, to), 5n);
  const same = await accepted(here, invoked.transaction_hash);
  assert.equal(same.block_hash, receipt.block_hash);
}));
console.log(JSON.stringify({ Nodes: urls.length, Height: await providers[0].getBlockNumber() }));

// What a developer does with the WebSocketChannel of starknet.js: every subscription, regular requests, an error, and reconnection: by hand,
// by itself, with requests that wait for it, and with subscriptions that go on behind it. Prints one JSON line; any failure ends it.
//
//   node channel.mjs URL
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const require = createRequire(pathToFileURL(path.join(process.env.ORDO_E2E_JS, 'package.json')));
const { Account, CallData, RpcProvider, WebSocketChannel, cairo, logger } = require('starknet');
logger?.setLogLevel?.('OFF'); // it warns of every drop

const [url] = process.argv.slice(2);
const nodeUrl = `${url.replace('http', 'ws')}/ws`;
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
const transfer = async () => {
  const { transaction_hash: hash } = await account.execute({
    contractAddress: STRK, entrypoint: 'transfer', calldata: CallData.compile({ to: '0x123', amount: cairo.uint256(1n) }),
  });
  await provider.waitForTransaction(hash, { retryInterval: 50 });
  return BigInt(hash);
};

const open = async (options = {}) => {
  const channel = new WebSocketChannel({ nodeUrl, ...options });
  await channel.waitForConnection();
  return channel;
};
const close = async (channel) => {
  channel.disconnect();
  await channel.waitForDisconnection().catch(() => undefined);
};
// until waits for something that events bring.
const until = async (what, holds) => {
  for (let i = 0; !holds(); i += 1) {
    assert.ok(i < 3000, `${what} never came`);
    await new Promise((resolve) => { setTimeout(resolve, 10); });
  }
};
const collect = (subscription) => {
  const list = [];
  subscription.on((result) => { list.push(result); });
  return list;
};
const hashes = (list) => list.map((one) => BigInt(one.transaction_hash));

// Every subscription, on one channel.
const channel = await open({ autoReconnect: false });
assert.equal(await channel.sendReceive('starknet_chainId'), await provider.getChainId());
await assert.rejects(channel.sendReceive('starknet_getNonce', { block_id: 'latest', contract_address: '0x1' }), /Contract not found/);
await devnet('devnet_createBlock');
const before = await provider.getBlockNumber();
assert.equal(before, 1);
const all = {
  heads: await channel.subscribeNewHeads(),
  older: await channel.subscribeNewHeads({ blockIdentifier: 1 }), // the library takes 0 for none
  events: await channel.subscribeEvents({ fromAddress: STRK }),
  early: await channel.subscribeEvents({ fromAddress: [STRK], keys: [[], [account.address]], finalityStatus: 'PRE_CONFIRMED' }),
  receipts: await channel.subscribeNewTransactionReceipts({ senderAddress: [account.address] }),
  transactions: await channel.subscribeNewTransactions({ finalityStatus: ['RECEIVED', 'ACCEPTED_ON_L2'], tags: ['INCLUDE_PROOF_FACTS'] }),
};
const got = Object.fromEntries(Object.entries(all).map(([name, subscription]) => [name, collect(subscription)]));
const sent = [await transfer(), await transfer(), await transfer()];
const status = await channel.subscribeTransactionStatus({ transactionHash: sent[0] });
const statuses = collect(status);
const tip = async () => (await provider.getBlock('latest')).block_number;
let last = await tip();
await until('heads', () => got.heads.some((head) => head.block_number >= last));
await until('receipts', () => got.receipts.length >= 3);
await until('events', () => sent.every((hash) => hashes(got.events).includes(hash)));
await until('transactions', () => got.transactions.length >= 6);
await until('older heads', () => got.older.some((head) => head.block_number >= last));
await until('the status', () => statuses.length > 0);
assert.deepEqual(got.heads.map((head) => head.block_number), got.heads.map((_, i) => before + 1 + i));
assert.deepEqual(got.older.map((head) => head.block_number), got.older.map((_, i) => 1 + i));
assert.deepEqual(hashes(got.receipts), sent);
assert.ok(got.receipts.every((receipt) => receipt.execution_status === 'SUCCEEDED' && receipt.block_hash));
assert.ok(got.early.some((event) => event.finality_status === 'PRE_CONFIRMED') && got.early.some((event) => event.finality_status === 'ACCEPTED_ON_L2'));
for (const finality of ['RECEIVED', 'ACCEPTED_ON_L2']) {
  assert.deepEqual(hashes(got.transactions.filter((tx) => tx.finality_status === finality)), sent);
}
assert.equal(statuses[0].status.finality_status, 'ACCEPTED_ON_L2');
for (const subscription of [...Object.values(all), status]) {
  const gone = channel.waitForUnsubscription(subscription.id);
  assert.equal(await subscription.unsubscribe(), true);
  await gone;
}
await assert.rejects(channel.sendReceive('starknet_unsubscribe', { subscription_id: all.heads.id }), /Invalid subscription id/);

// 1. By hand, after the client closed it; without reconnection nothing can be sent meanwhile.
let reconnections = 0;
await close(channel);
await assert.rejects(channel.subscribeNewHeads(), /disconnected/);
channel.reconnect();
await channel.waitForConnection();
assert.equal(await channel.sendReceive('starknet_chainId'), await provider.getChainId());
await close(channel);
reconnections += 1;

const drop = (one) => one.websocket.close(); // as if the network had done it
const patient = { reconnectOptions: { retries: 5, delay: 50, exponential: false } };
const reopened = (one) => new Promise((resolve) => { one.on('open', resolve); });

// 2. By itself.
const itself = await open(patient);
let again = reopened(itself);
drop(itself);
await again;
assert.equal(itself.isConnected(), true);
await close(itself);
reconnections += 1;

// 3. Requests that are made meanwhile wait for it.
const waiting = await open(patient);
drop(waiting);
assert.equal(await waiting.sendReceive('starknet_chainId'), await provider.getChainId());
drop(waiting);
const late = await waiting.subscribeNewHeads();
const lateHeads = collect(late);
await transfer();
await until('heads of a subscription that waited', () => lateHeads.length > 0);
await close(waiting);
reconnections += 1;

// 4. Subscriptions are made again, and go on.
const going = await open(patient);
const heads = collect(await going.subscribeNewHeads());
await transfer();
await until('a head', () => heads.length > 0);
const seen = heads.length;
again = reopened(going);
drop(going);
await again;
await until('the subscriptions', () => going.isConnected());
await new Promise((resolve) => { setTimeout(resolve, 200); }); // it does not tell when they are made
await transfer();
await until('a head after the drop', () => heads.length > seen);
await close(going);
reconnections += 1;

last = await tip();
console.log(JSON.stringify({ blocks: last, reconnections }));
process.exit(0);

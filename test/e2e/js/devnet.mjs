// All of the npm package starknet-devnet: it starts the node as it starts starknet-devnet, asks what this node serves, and for what it does not
// serve reads that the method is not there. Prints one JSON line; any failure ends it.
//
//   node devnet.mjs ORDO
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const require = createRequire(pathToFileURL(path.join(process.env.ORDO_E2E_JS, 'package.json')));
const { Devnet, DevnetProvider } = require('starknet-devnet');
const { RpcProvider } = require('starknet');

const [ordo] = process.argv.slice(2);
const started = await Devnet.spawnCommand(ordo, { args: ['dev', '--accounts', '3', '--seed', '7'], stdout: 'ignore', maxStartupMillis: 60_000 });
const devnet = new DevnetProvider({ url: started.provider.url });
const node = await RpcProvider.create({ nodeUrl: devnet.url });
const header = async (id) => node.getBlockWithTxHashes(id);

async function main() {
  // what is served
  assert.equal(await devnet.isAlive(), true);
  const config = await devnet.getConfig();
  assert.equal(config.seed, 7);
  assert.equal(config.total_accounts, 3);
  const accounts = await devnet.getPredeployedAccounts();
  assert.equal(accounts.length, 3);
  assert.ok(accounts.every((a) => a.address && a.private_key && a.public_key && !a.balance));
  const [{ balance }] = await devnet.getPredeployedAccounts({ withBalance: true });
  assert.equal(BigInt(balance.strk.amount), BigInt(accounts[0].initial_balance));
  for (const unit of ['FRI', 'WEI']) {
    const minted = await devnet.mint('0x123', 5n, unit);
    assert.deepEqual([minted.new_balance, minted.unit], [5n, unit]);
    assert.equal((await node.getTransactionReceipt(minted.tx_hash)).execution_status, 'SUCCEEDED');
  }
  assert.equal((await devnet.mint('0x123', 2n ** 64n)).new_balance, 2n ** 64n + 5n);
  const before = await header('latest');
  const { block_hash: created } = await devnet.createBlock();
  assert.equal((await header(created)).parent_hash, before.block_hash);
  const ahead = before.timestamp + 10_000;
  const set = await devnet.setTime(ahead, { generateBlock: true });
  assert.equal(set.block_timestamp, ahead); // as starknet-devnet answers; the package's types say otherwise
  assert.equal((await header(set.block_hash)).timestamp, ahead);
  assert.equal((await devnet.setTime(ahead + 50)).block_hash ?? null, null);
  const increased = await devnet.increaseTime(1000);
  assert.equal(increased.timestamp_increased_by, 1000);
  assert.ok((await header(increased.block_hash)).timestamp >= ahead + 1000);

  // what is not, and why
  const absent = {
    restart: ['a chain is a folder: start another node, or empty the folder', () => devnet.restart()],
    dump: ['the chain is on disk at any time: copy its folder', () => devnet.dump('x')],
    load: ['start the node with the folder of the chain', () => devnet.load('x')],
    abortBlocks: ['an accepted block is final', () => devnet.abortBlocks('latest')],
    setGasPrice: ['prices are settings of the node', () => devnet.setGasPrice({ l2GasPrice: 1n }, true)],
    impersonateAccount: ['a signature is always checked', () => devnet.cheats.impersonateAccount('0x1')],
    stopImpersonateAccount: ['as above', () => devnet.cheats.stopImpersonateAccount('0x1')],
    autoImpersonate: ['as above', () => devnet.cheats.autoImpersonate()],
    stopAutoImpersonate: ['as above', () => devnet.cheats.stopAutoImpersonate()],
    flush: ['there is no L1', () => devnet.postman.flush()],
    loadL1MessagingContract: ['as above', () => devnet.postman.loadL1MessagingContract('http://127.0.0.1:1')],
    sendMessageToL2: ['as above', () => devnet.postman.sendMessageToL2('0x1', '0x1', '0x1', [1], 1, 1)],
    consumeMessageFromL2: ['as above', () => devnet.postman.consumeMessageFromL2('0x1', '0x1', [1])],
  };
  const served = ['isAlive', 'getConfig', 'getPredeployedAccounts', 'mint', 'createBlock', 'setTime', 'increaseTime'];
  for (const [name, [why, call]] of Object.entries(absent)) {
    await assert.rejects(call(), (e) => e.code === -32601, `${name} is served, and is said not to be: ${why}`);
  }
  // Every function of the package is in one of the lists.
  for (const part of [devnet, devnet.cheats, devnet.postman]) {
    for (const name of Object.getOwnPropertyNames(Object.getPrototypeOf(part))) {
      assert.ok(name === 'constructor' || served.includes(name) || name in absent, `${name} is in none of the lists`);
    }
  }
  const events = (await node.getEvents({ from_block: { block_number: 0 }, to_block: 'latest', chunk_size: 100 })).events.length;
  started.process.ref(); // this script waits for its end
  const ended = new Promise((resolve) => { started.process.on('exit', resolve); });
  assert.equal(started.kill(), true);
  assert.equal(await ended, 0);
  assert.equal(await devnet.isAlive(), false);
  console.log(JSON.stringify({ events }));
}

// The package ends the process at an exception without a word.
await main().catch((e) => {
  console.error(e);
  process.exit(1);
});

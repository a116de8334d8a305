// Every method that starknet.js has over HTTP, on a chain that flow.mjs has made: blocks, state, classes, transactions, traces, events, views and
// proofs, in every form of block id, with the flags of 0.10, and what of it 0.9 has on its own path.
import assert from 'node:assert/strict';

const NOBODY = '0xdead';
const legacyDeployer = '0x41a78e741e5af2fec34b695679bc6891742439f7afb8484ecd7766661ad02bf'; // a class of Cairo 0
const flags = { includeProofFacts: true };

// refused expects an error of the specification's.
const refused = (promise, code) => assert.rejects(promise, (e) => {
  assert.equal(e.baseError?.code ?? e.code, code, String(e));
  return true;
});

export async function surface(w) {
  await chain(w);
  await blocks(w);
  await state(w);
  await transactions(w);
  await views(w);
  await errors(w);
  await older(w);
}

async function chain({ provider, library }) {
  assert.equal(await provider.getChainId(), library.constants.StarknetChainId.SN_SEPOLIA);
  assert.equal(await provider.setUpSpecVersion(), '0.10.2');
  assert.equal(provider.readSpecVersion(), '0.10.2');
  assert.match(await provider.getStarknetVersion('latest'), /^0\.14\./);
  assert.equal(await provider.getSyncingStats(), false);
  const last = await provider.getBlockLatestAccepted();
  assert.equal(await provider.getBlockNumber(), last.block_number);
}

// forms are the ways to name the latest block.
async function forms(provider) {
  const last = await provider.getBlockLatestAccepted();
  return { last, ids: ['latest', last.block_number, last.block_hash] };
}

async function blocks({ provider, account, token }) {
  const { last, ids } = await forms(provider);
  for (const id of ids) {
    const hashes = await provider.getBlockWithTxHashes(id);
    assert.equal(BigInt(hashes.block_hash), BigInt(last.block_hash));
    assert.equal(hashes.status, 'ACCEPTED_ON_L2');
    assert.equal(hashes.transaction_count, hashes.transactions.length);
    for (const commitment of ['transaction_commitment', 'event_commitment', 'receipt_commitment', 'state_diff_commitment']) assert.match(hashes[commitment], /^0x/);
    assert.deepEqual((await provider.getBlock(id)).transactions, hashes.transactions);
    const whole = await provider.getBlockWithTxs(id, flags);
    assert.deepEqual(whole.transactions.map((tx) => tx.transaction_hash), hashes.transactions);
    const receipts = await provider.getBlockWithReceipts(id, flags);
    assert.deepEqual(receipts.transactions.map((tx) => tx.receipt.transaction_hash), hashes.transactions);
    assert.equal(await provider.getBlockTransactionCount(id), hashes.transactions.length);
    const update = await provider.getStateUpdate(id);
    assert.equal(update.new_root, hashes.new_root);
    assert.ok(update.state_diff.nonces.length > 0);
    const part = await provider.getStateUpdate(id, [token]);
    assert.ok(part.state_diff.storage_diffs.every((diff) => BigInt(diff.address) === BigInt(token)) && part.state_diff.nonces.length === 0);
    const traces = await provider.getBlockTransactionsTraces(id);
    assert.deepEqual(traces.map((t) => t.transaction_hash), hashes.transactions);
    const reads = await provider.getBlockTransactionsTraces(id, { returnInitialReads: true });
    assert.ok(reads.traces.length === traces.length && reads.initial_reads.storage.length > 0);
  }
  const open = await provider.getBlock('pre_confirmed');
  assert.ok(open.block_number > last.block_number && open.block_hash === undefined);
  await provider.getBlockWithTxs('pre_confirmed', flags);
  await provider.getBlockWithReceipts('pre_confirmed', flags);
  assert.equal(await provider.getBlockTransactionCount('pre_confirmed'), 0);
  assert.ok((await provider.getStateUpdate('pre_confirmed')).old_root);
  await provider.waitForBlock(last.block_number, 50);
  const prices = await provider.getGasPrices('latest');
  assert.ok(prices.l2GasPrice > 0n);
  assert.match(await provider.getL1GasPrice('latest'), /^0x/);
  await provider.getBlockStateUpdate('latest');
  assert.ok(account.address);
}

async function state({ provider, account, token, library, ...w }) {
  const { last, ids } = await forms(provider);
  const decimals = library.hash.getSelectorFromName('decimals'); // where the contract keeps them
  for (const id of [...ids, 'pre_confirmed']) {
    assert.ok(BigInt(await provider.getNonceForAddress(account.address, id)) > 0n);
    assert.equal(BigInt(await provider.getClassHashAt(token, id)), BigInt(w.class));
    assert.equal((await provider.getClassAt(token, id)).sierra_program.length, (await provider.getClass(w.class, id)).sierra_program.length);
    const { value, last_update_block: unasked } = await provider.getStorageAt(token, decimals, id);
    assert.deepEqual([BigInt(value), unasked], [18n, 0]);
    const slot = await provider.getStorageAt(token, decimals, id, ['INCLUDE_LAST_UPDATE_BLOCK']);
    assert.equal(BigInt(slot.value), 18n);
    assert.ok(slot.last_update_block > 0 && slot.last_update_block <= last.block_number);
    assert.equal(BigInt((await provider.callContract({ contractAddress: token, entrypoint: 'get_decimals', calldata: [] }, id))[0]), 18n);
  }
  assert.ok((await provider.getClassAt(legacyDeployer)).program);
  assert.equal((await provider.getContractVersion(token)).cairo, '1');
  assert.equal((await provider.getContractVersion(undefined, w.class)).cairo, '1');
  assert.equal(await provider.isClassDeclared({ classHash: w.class }), true);
  assert.ok((await provider.getCompiledCasm(w.class)).bytecode.length > 100);

  const proof = await provider.getStorageProof([w.class], [token], [{ contract_address: token, storage_keys: [decimals] }], 'latest');
  assert.equal(BigInt(proof.global_roots.block_hash), BigInt(last.block_hash));
  assert.equal(BigInt(proof.contracts_proof.contract_leaves_data[0].class_hash), BigInt(w.class));
  assert.ok(proof.classes_proof.length > 0 && proof.contracts_storage_proofs[0].length > 0);

  const message = { domain: { name: 'ordo', version: '1', chainId: await provider.getChainId(), revision: '1' }, primaryType: 'Text',
    types: { StarknetDomain: [{ name: 'name', type: 'shortstring' }, { name: 'version', type: 'shortstring' }, { name: 'chainId', type: 'shortstring' }, { name: 'revision', type: 'shortstring' }], Text: [{ name: 'text', type: 'felt' }] }, message: { text: '0x7' } };
  const signature = await account.signMessage(message);
  assert.equal(await provider.verifyMessageInStarknet(message, signature, account.address), true);
}

async function transactions({ provider, ...w }) {
  for (const [hash, type] of [[w.invoke, 'INVOKE'], [w.declare, 'DECLARE'], [w.deploy, 'DEPLOY_ACCOUNT']]) {
    const tx = await provider.getTransactionByHash(hash, flags);
    assert.equal(tx.type, type);
    assert.deepEqual(tx.proof_facts, type === 'INVOKE' ? [] : undefined);
    assert.equal((await provider.getTransaction(hash)).proof_facts, undefined);
    const receipt = await provider.getTransactionReceipt(hash);
    assert.ok(receipt.isSuccess() && receipt.type === type && receipt.actual_fee.unit === 'FRI');
    const status = await provider.getTransactionStatus(hash);
    assert.deepEqual([status.finality_status, status.execution_status], ['ACCEPTED_ON_L2', 'SUCCEEDED']);
    const trace = await provider.getTransactionTrace(hash);
    assert.ok(trace.type === type && trace.validate_invocation && trace.fee_transfer_invocation && trace.execution_resources.l2_gas > 0);
    const block = await provider.getBlockWithTxHashes(receipt.block_number);
    const at = await provider.getTransactionByBlockIdAndIndex(receipt.block_number, block.transactions.indexOf(hash), flags);
    assert.equal(at.transaction_hash, hash);
  }
  const reverted = await provider.getTransactionStatus(w.reverted);
  assert.equal(reverted.execution_status, 'REVERTED');
  assert.match(reverted.failure_reason, /u256_sub Overflow/);
  assert.ok((await provider.getTransactionTrace(w.reverted)).execute_invocation.revert_reason);

  const filter = { from_block: { block_number: 0 }, to_block: 'latest', chunk_size: 100 };
  const [one, two] = [await provider.getEvents({ ...filter, address: w.token }), await provider.getEvents({ ...filter, address: [w.token, w.taker] })];
  assert.ok(one.events.length > 0 && two.events.length >= one.events.length);
  assert.ok(one.events.every((event) => event.block_hash && event.transaction_index >= 0 && event.event_index >= 0));
  const tip = await provider.getEstimateTip('latest');
  assert.equal(tip.recommendedTip, 0n);
}

async function views({ provider, account, second, transfer, token, taker, ...w }) {
  const calls = [transfer('0x123', 1n)];
  const { last, ids } = await forms(provider);
  for (const blockIdentifier of ['latest', 'pre_confirmed', last.block_hash]) {
    const fee = await account.estimateInvokeFee(calls, { blockIdentifier, skipValidate: false });
    assert.ok(fee.overall_fee > 0n && fee.unit === 'FRI');
    const [bulk] = await account.estimateFeeBulk([{ type: 'INVOKE', payload: calls }], { blockIdentifier });
    assert.ok(bulk.overall_fee > 0n);
    const plain = await account.simulateTransaction([{ type: 'INVOKE', payload: calls }], { blockIdentifier, skipValidate: true, skipFeeCharge: true });
    const list = Array.isArray(plain) ? plain : plain.simulated_transactions;
    assert.equal(list[0].transaction_trace.type, 'INVOKE');
    assert.equal(list[0].transaction_trace.validate_invocation, undefined);
    // Not served: the client asks for these reads with a parameter that the specification has for traces of blocks only.
    await assert.rejects(account.simulateTransaction([{ type: 'INVOKE', payload: calls }], { blockIdentifier, returnInitialReads: true }), /unknown parameter "trace_flags"/);
    const message = { from_address: '0x8453FC6Cd1bCfE8D4dFC069C400B433054d47bDc', to_address: taker, entry_point_selector: 'l1_handle', payload: ['7'] };
    const estimate = await provider.estimateMessageFee(message, blockIdentifier);
    assert.ok(BigInt(estimate.overall_fee) > 0n && estimate.unit === 'WEI');
  }
  assert.equal(ids.length, 3);
  assert.ok((await second.estimateInvokeFee(calls)).overall_fee > 0n);
  assert.equal(BigInt(await account.getNonce()), BigInt(await provider.getNonceForAddress(account.address, 'pre_confirmed')));
  assert.ok(w.class && token);
}

// errors are told with the codes of the specification. There is no L1: no block is accepted there, and no message is known from it.
async function errors({ provider, token, account, transfer }) {
  await refused(provider.getBlockWithTxHashes(1_000_000), 24);
  await refused(provider.getBlockWithTxHashes('l1_accepted'), 24);
  await refused(provider.getClassHashAt(NOBODY), 20);
  await refused(provider.getClass(NOBODY), 28);
  await refused(provider.getCompiledCasm(NOBODY), 28);
  await refused(provider.getTransactionByHash(NOBODY), 29);
  await refused(provider.getTransactionByBlockIdAndIndex('latest', 1_000_000), 27);
  await refused(provider.callContract({ contractAddress: token, entrypoint: 'nothing', calldata: [] }), 21);
  await refused(provider.callContract({ contractAddress: token, entrypoint: 'balance_of', calldata: [] }), 40);
  await refused(provider.getEvents({ chunk_size: 1_000_000 }), 31);
  await refused(provider.getEvents({ chunk_size: 5, continuation_token: 'none' }), 33);
  await refused(provider.getL1MessagesStatus(NOBODY), 29);
  await refused(account.estimateInvokeFee([transfer('0x123', 2n ** 100n)]), 41);
}

// older is the same client by the path of 0.9.
async function older({ library, url, account, token, invoke, transfer }) {
  const provider = await library.RpcProvider.create({ nodeUrl: `${url}/rpc/v0_9` });
  assert.equal(provider.readSpecVersion(), '0.9.0');
  const block = await provider.getBlockWithTxHashes('latest');
  assert.equal(block.transaction_commitment, undefined);
  const { events } = await provider.getEvents({ from_block: { block_number: 0 }, to_block: 'latest', address: token, chunk_size: 5 });
  assert.ok(events.length > 0 && events.every((event) => event.event_index === undefined));
  const same = new library.Account({ provider, address: account.address, signer: account.signer });
  const sent = await same.execute([transfer('0x123', 1n)]);
  assert.ok((await provider.waitForTransaction(sent.transaction_hash, { retryInterval: 50 })).isSuccess());
  assert.equal((await provider.getTransactionTrace(invoke)).type, 'INVOKE');
  assert.ok((await provider.getStateUpdate('latest')).state_diff.nonces.length > 0);
}

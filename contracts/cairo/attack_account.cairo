// An account that checks no signature. The signature says what validation does instead: (shape, depth, further felts), where
// shape 0 returns at once, 1 recurses plainly, 2 recurses with a struct of 64 felts, 3 panics at the depth, and 4 asks for
// the transaction as often as depth says. Deployments and declarations are always valid.
// Sierra version: 1.7.0
#[starknet::contract(account)]
mod attack_account {
    use starknet::account::Call;
    use starknet::SyscallResultTrait;

    #[storage]
    struct Storage {}

    #[derive(Copy, Drop)]
    struct Eight {
        a: felt252,
        b: felt252,
        c: felt252,
        d: felt252,
        e: felt252,
        f: felt252,
        g: felt252,
        h: felt252,
    }

    #[derive(Copy, Drop)]
    struct SixtyFour {
        a: Eight,
        b: Eight,
        c: Eight,
        d: Eight,
        e: Eight,
        f: Eight,
        g: Eight,
        h: Eight,
    }

    fn eight(n: felt252) -> Eight {
        Eight { a: n, b: n + 1, c: n + 2, d: n + 3, e: n + 4, f: n + 5, g: n + 6, h: n + 7 }
    }

    #[inline(never)]
    fn rec(n: felt252) -> felt252 {
        if n == 0 {
            0
        } else {
            rec(n - 1) + n
        }
    }

    #[inline(never)]
    fn rec_big(n: felt252, x: SixtyFour) -> felt252 {
        if n == 0 {
            x.a.a + x.h.h
        } else {
            let next = SixtyFour { a: eight(n), b: x.a, c: x.b, d: x.c, e: x.d, f: x.e, g: x.f, h: x.g };
            rec_big(n - 1, next) + x.h.h
        }
    }

    #[inline(never)]
    fn rec_panic(n: felt252) -> felt252 {
        if n == 0 {
            core::panic_with_felt252('refused')
        } else {
            rec_panic(n - 1) + n
        }
    }

    fn info_loop(times: felt252) -> felt252 {
        let mut i = 0;
        let mut total: felt252 = 0;
        while i != times {
            let info = starknet::get_execution_info().unbox();
            total += info.tx_info.unbox().signature.len().into();
            i += 1;
        };
        total
    }

    // The results go through this, so that no compiler leaves the work away.
    #[inline(never)]
    fn valid(work: felt252) -> felt252 {
        if work == 'never' {
            0
        } else {
            starknet::VALIDATED
        }
    }

    #[external(v0)]
    fn __validate__(self: @ContractState, calls: Array<Call>) -> felt252 {
        let signature = starknet::get_tx_info().unbox().signature;
        if signature.len() < 2 {
            return starknet::VALIDATED;
        }
        let depth = *signature.at(1);
        match *signature.at(0) {
            0 => starknet::VALIDATED,
            1 => valid(rec(depth)),
            2 => {
                let x = eight(depth);
                valid(rec_big(depth, SixtyFour { a: x, b: x, c: x, d: x, e: x, f: x, g: x, h: x }))
            },
            3 => valid(rec_panic(depth)),
            4 => valid(info_loop(depth)),
            _ => 0,
        }
    }

    #[external(v0)]
    fn __execute__(ref self: ContractState, mut calls: Array<Call>) -> Array<Span<felt252>> {
        let mut results: Array<Span<felt252>> = array![];
        loop {
            match calls.pop_front() {
                Option::Some(call) => {
                    let Call { to, selector, calldata } = call;
                    results.append(starknet::syscalls::call_contract_syscall(to, selector, calldata).unwrap_syscall());
                },
                Option::None => { break; },
            };
        };
        results
    }

    #[external(v0)]
    fn __validate_declare__(self: @ContractState, class_hash: felt252) -> felt252 {
        starknet::VALIDATED
    }

    #[external(v0)]
    fn __validate_deploy__(self: @ContractState, class_hash: felt252, contract_address_salt: felt252) -> felt252 {
        starknet::VALIDATED
    }
}

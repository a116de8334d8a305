// Interprets programs, so that hundreds of generated ones need one class. A program is a list of steps of three felts, what
// to do and two numbers; CALL and LIBRARY are followed by the program that they run. test/metamorphic writes them.
// Sierra version: 1.7.0
#[starknet::contract]
mod programs {
    use core::dict::Felt252Dict;
    use core::nullable::{NullableTrait, match_nullable, FromNullableResult};
    use starknet::SyscallResultTrait;
    use starknet::storage_access::StorageAddress;

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
        Eight { a: n, b: n + 1, c: n + 2, d: n + 3, e: n + 4, f: n + 5, g: n + 6, h: n * n }
    }

    fn sum(x: Eight) -> felt252 {
        x.a + x.b + x.c + x.d + x.e + x.f + x.g + x.h
    }

    // Recursion: none of these is a tail call.

    #[inline(never)]
    fn rec(n: felt252) -> felt252 {
        if n == 0 {
            0
        } else {
            rec(n - 1) + n
        }
    }

    #[inline(never)]
    fn rec_8(n: felt252, x: Eight) -> felt252 {
        if n == 0 {
            sum(x)
        } else {
            rec_8(n - 1, Eight { a: n, b: x.a, c: x.b, d: x.c, e: x.d, f: x.e, g: x.f, h: x.g }) + x.h
        }
    }

    #[inline(never)]
    fn rec_64(n: felt252, x: SixtyFour) -> felt252 {
        if n == 0 {
            sum(x.a) + sum(x.d) + sum(x.h)
        } else {
            let next = SixtyFour { a: eight(n), b: x.a, c: x.b, d: x.c, e: x.d, f: x.e, g: x.f, h: x.g };
            rec_64(n - 1, next) + sum(x.h)
        }
    }

    #[inline(never)]
    fn rec_512(n: felt252, x: [felt252; 512]) -> felt252 {
        if n == 0 {
            *x.span().at(511)
        } else {
            rec_512(n - 1, x) + *x.span().at(7)
        }
    }

    #[inline(never)]
    fn even(n: felt252, k: u128) -> u128 {
        if n == 0 {
            k
        } else {
            odd(n - 1, k + 1) | 1
        }
    }

    #[inline(never)]
    fn odd(n: felt252, k: u128) -> u128 {
        if n == 0 {
            k
        } else {
            even(n - 1, k) ^ 3
        }
    }

    // 2^n calls.
    #[inline(never)]
    fn tree(n: felt252) -> felt252 {
        if n == 0 {
            1
        } else {
            tree(n - 1) * 3 + tree(n - 1)
        }
    }

    #[inline(never)]
    fn rec_array(n: felt252, list: Array<felt252>) -> (felt252, Array<felt252>) {
        if n == 0 {
            return (list.len().into(), list);
        }
        let mut longer = list;
        longer.append(n);
        let (total, mut back) = rec_array(n - 1, longer);
        let first = back.pop_front().unwrap_or(7);
        (total + first * n, back)
    }

    #[inline(never)]
    fn rec_dict(n: felt252, ref dict: Felt252Dict<felt252>) -> felt252 {
        if n == 0 {
            return dict.get(1);
        }
        dict.insert(n, dict.get(n - 1) + n);
        rec_dict(n - 1, ref dict) + dict.get(n)
    }

    #[inline(never)]
    fn rec_panic(n: felt252, k: felt252) -> felt252 {
        if n == 0 {
            let mut data: Array<felt252> = array![];
            let mut i = 0;
            while i != k {
                data.append('panic' + i);
                i += 1;
            };
            panic(data)
        } else {
            rec_panic(n - 1, k) + n
        }
    }

    // Panics by overflow of u8 when n + k is above 255.
    #[inline(never)]
    fn rec_u8(n: felt252, k: u8) -> u8 {
        if n == 0 {
            k
        } else {
            rec_u8(n - 1, k + 1)
        }
    }

    // Loops.

    fn array(n: felt252, k: felt252) -> felt252 {
        let mut list: Array<felt252> = array![];
        let mut i = 0;
        while i != n {
            list.append(i * k);
            i += 1;
        };
        let mut total = 0;
        let mut rest = list.span();
        while let Option::Some(x) = rest.pop_back() {
            total = total * 3 + *x;
        };
        total
    }

    fn dict(n: felt252, k: felt252) -> felt252 {
        let mut dict: Felt252Dict<u128> = Default::default();
        let mut i = 0;
        while i != n {
            let key = i * k;
            dict.insert(key, dict.get(key) + dict.get(key - k) + 1);
            i += 1;
        };
        let last = dict.get((n - 1) * k);
        dict.squash();
        last.into()
    }

    fn boxes(n: felt252) -> felt252 {
        let mut dict: Felt252Dict<Nullable<Span<felt252>>> = Default::default();
        let mut i = 0;
        while i != n {
            dict.insert(i, NullableTrait::new(array![i, i + 1, i + 2].span()));
            i += 1;
        };
        let mut total = 0;
        while i != 0 {
            i -= 1;
            total += match match_nullable(dict.get(i * 2)) {
                FromNullableResult::Null => 1,
                FromNullableResult::NotNull(x) => *x.unbox().at(2),
            };
        };
        total
    }

    fn write(n: felt252, k: felt252) {
        let mut i = 0;
        while i != n {
            let address: StorageAddress = (k + i).try_into().unwrap();
            let before = starknet::syscalls::storage_read_syscall(0, address).unwrap_syscall();
            starknet::syscalls::storage_write_syscall(0, address, before * 3 + i + 1).unwrap_syscall();
            i += 1;
        };
    }

    fn read(n: felt252, k: felt252) -> felt252 {
        let mut i = 0;
        let mut total = 0;
        while i != n {
            let address: StorageAddress = (k + i).try_into().unwrap();
            total = total * 5 + starknet::syscalls::storage_read_syscall(0, address).unwrap_syscall();
            i += 1;
        };
        total
    }

    fn events(n: felt252, k: felt252) {
        let mut i = 0;
        while i != n {
            let mut data: Array<felt252> = array![];
            let mut j = 0;
            while j != k {
                data.append(i * 100 + j);
                j += 1;
            };
            starknet::syscalls::emit_event_syscall(array!['step', i].span(), data.span()).unwrap_syscall();
            i += 1;
        };
    }

    fn keccak(n: felt252) -> felt252 {
        let mut input: Array<u256> = array![];
        let mut i = 0;
        while i != n {
            input.append(u256 { low: 0xffffffffffffffff, high: 5 });
            i += 1;
        };
        let hash = core::keccak::keccak_u256s_le_inputs(input.span());
        hash.low.into()
    }

    fn numbers(n: felt252, k: felt252) -> felt252 {
        let mut x: u256 = u256 { low: 0xfffffffffffffffffffffffffffffff1, high: 1 };
        let by: u256 = k.into() + 3;
        let mut i = 0;
        while i != n {
            x = (x / by) * 5 + (x % by) + u256 { low: 7, high: 0 };
            x = x ^ (x & by);
            i += 1;
        };
        x.low.into() + x.high.into()
    }

    fn hashes(n: felt252, k: felt252) -> felt252 {
        let mut x = k;
        let mut i = 0;
        while i != n {
            x = core::pedersen::pedersen(x, core::poseidon::poseidon_hash_span(array![x, i, k].span()));
            i += 1;
        };
        x
    }

    fn texts(n: felt252) -> felt252 {
        let mut text: ByteArray = "";
        let mut i = 0;
        while i != n {
            text.append(@"some text of more than thirty-one bytes, ");
            text.append_byte(65);
            i += 1;
        };
        let mut total: felt252 = text.len().into();
        if let Option::Some(c) = text.at(text.len() / 2) {
            total += c.into();
        }
        total
    }

    fn infos(n: felt252) -> felt252 {
        let mut total: felt252 = 0;
        let mut i = 0;
        while i != n {
            let info = starknet::get_execution_info().unbox();
            let tx = info.tx_info.unbox();
            // What does not depend on how the question was put: views have no account, and no version.
            total += info.entry_point_selector + tx.chain_id + tx.resource_bounds.len().into();
            i += 1;
        };
        total
    }

    // What a nested program answered, or what it panicked with.
    fn outcome(result: Result<Span<felt252>, Array<felt252>>) -> felt252 {
        match result {
            Result::Ok(data) => core::poseidon::poseidon_hash_span(data) + 1,
            Result::Err(data) => core::poseidon::poseidon_hash_span(data.span()) + 2,
        }
    }

    fn next(ref program: Span<felt252>) -> felt252 {
        *program.pop_front().expect('short')
    }

    fn nested(ref program: Span<felt252>, n: felt252) -> Span<felt252> {
        let n: u32 = n.try_into().unwrap();
        let inner = program.slice(0, n);
        program = program.slice(n, program.len() - n);
        let mut data: Array<felt252> = array![];
        inner.serialize(ref data);
        data.span()
    }

    fn step(ref program: Span<felt252>) -> felt252 {
        let what = next(ref program);
        let n = next(ref program);
        let k = next(ref program);
        match what {
            0 => rec(n),
            1 => rec_8(n, eight(k)),
            2 => {
                let x = eight(k);
                rec_64(n, SixtyFour { a: x, b: x, c: x, d: x, e: x, f: x, g: x, h: x })
            },
            3 => rec_512(n, [k; 512]),
            4 => even(n, 5).into(),
            5 => tree(n),
            6 => {
                let (total, _) = rec_array(n, array![k]);
                total
            },
            7 => {
                let mut dict: Felt252Dict<felt252> = Default::default();
                dict.insert(k, 9);
                rec_dict(n, ref dict)
            },
            8 => rec_panic(n, k),
            9 => rec_u8(n, k.try_into().unwrap()).into(),
            10 => array(n, k),
            11 => dict(n, k),
            12 => boxes(n),
            13 => {
                write(n, k);
                n
            },
            14 => read(n, k),
            15 => {
                events(n, k);
                n
            },
            16 => keccak(n),
            17 => numbers(n, k),
            18 => hashes(n, k),
            19 => texts(n),
            20 => infos(n),
            21 => {
                starknet::syscalls::send_message_to_l1_syscall(k, array![n, k].span()).unwrap_syscall();
                k
            },
            22 => {
                // by address, this contract's
                let data = nested(ref program, n);
                outcome(starknet::syscalls::call_contract_syscall(starknet::get_contract_address(), selector!("run"), data))
            },
            23 => {
                // by class, which k names
                let data = nested(ref program, n);
                outcome(starknet::syscalls::library_call_syscall(k.try_into().unwrap(), selector!("run"), data))
            },
            24 => {
                // the rest of the program is run at a depth of n plain calls, so that nested programs begin on a deep stack
                deep(n, ref program)
            },
            _ => core::panic_with_felt252('no such step'),
        }
    }

    #[inline(never)]
    fn deep(n: felt252, ref program: Span<felt252>) -> felt252 {
        if n == 0 {
            interpret(ref program)
        } else {
            deep(n - 1, ref program) * 3 + n
        }
    }

    #[inline(never)]
    fn interpret(ref program: Span<felt252>) -> felt252 {
        if program.is_empty() {
            return 0;
        }
        let first = step(ref program);
        first + interpret(ref program) * 31
    }

    #[external(v0)]
    fn run(ref self: ContractState, program: Span<felt252>) -> felt252 {
        let mut program = program;
        interpret(ref program)
    }
}

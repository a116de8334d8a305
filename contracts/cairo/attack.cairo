// Calls that cost an executor more than their gas pays for: stack by recursion, memory by what syscalls copy.
// Sierra version: 1.7.0
#[starknet::contract]
mod attack {
    use starknet::ContractAddress;

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

    fn sum(x: Eight) -> felt252 {
        x.a + x.b + x.c + x.d + x.e + x.f + x.g + x.h
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
            sum(x.a) + sum(x.h)
        } else {
            let next = SixtyFour { a: eight(n), b: x.a, c: x.b, d: x.c, e: x.d, f: x.e, g: x.f, h: x.g };
            rec_big(n - 1, next) + sum(x.h)
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

    fn fill(n: u32) -> Array<felt252> {
        let mut out: Array<felt252> = array![];
        let mut i: u32 = 0;
        while i != n {
            out.append(i.into());
            i += 1;
        };
        out
    }

    // The sum of 1 to n: 344 bytes of stack a level in machine code.
    #[external(v0)]
    fn recurse(self: @ContractState, n: felt252) -> felt252 {
        rec(n)
    }

    // The same with a struct of 64 felts as argument: 14 KB a level.
    #[external(v0)]
    fn recurse_big(self: @ContractState, n: felt252) -> felt252 {
        let x = eight(n);
        rec_big(n, SixtyFour { a: x, b: x, c: x, d: x, e: x, f: x, g: x, h: x })
    }

    // The same with 512 felts: 16 KB a level.
    #[external(v0)]
    fn recurse_512(self: @ContractState, n: felt252) -> felt252 {
        rec_512(n, [n; 512])
    }

    // Calls a function, which need not exist, again and again with the same n felts: each call keeps a copy.
    #[external(v0)]
    fn call_bomb(ref self: ContractState, n: u32, calls: felt252, to: ContractAddress, selector: felt252) -> felt252 {
        let data = fill(n).span();
        let mut i = 0;
        while i != calls {
            match starknet::syscalls::call_contract_syscall(to, selector, data) {
                Result::Ok(_) => {},
                Result::Err(_) => {},
            };
            i += 1;
        };
        i
    }

    // Asks for the transaction again and again: each answer copies its signature.
    #[external(v0)]
    fn info_loop(self: @ContractState, times: felt252) -> felt252 {
        let mut i = 0;
        let mut total: felt252 = 0;
        while i != times {
            let info = starknet::get_execution_info().unbox();
            total += info.tx_info.unbox().signature.len().into();
            i += 1;
        };
        total
    }

    // What call_bomb may call: it takes anything.
    #[external(v0)]
    fn sink(self: @ContractState, data: Span<felt252>) -> u32 {
        data.len()
    }
}

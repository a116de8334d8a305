// A market of two tokens with a constant product, for benchmarks: a swap takes the one token from the caller and pays the
// other out. There are no shares and no owner; what is put in stays.
#[starknet::interface]
trait IToken<T> {
    fn transfer(ref self: T, recipient: starknet::ContractAddress, amount: u256);
    fn transfer_from(ref self: T, sender: starknet::ContractAddress, recipient: starknet::ContractAddress, amount: u256);
}

#[starknet::contract]
mod exchange {
    use starknet::{ContractAddress, get_caller_address, get_contract_address};
    use super::{ITokenDispatcher, ITokenDispatcherTrait};

    #[storage]
    struct Storage {
        first: ContractAddress,
        second: ContractAddress,
        reserve_first: u256,
        reserve_second: u256,
    }

    #[event]
    #[derive(Drop, starknet::Event)]
    enum Event {
        Swapped: Swapped,
    }

    #[derive(Drop, starknet::Event)]
    struct Swapped {
        #[key]
        who: ContractAddress,
        paid_first: bool,
        paid: u256,
        got: u256,
    }

    #[constructor]
    fn constructor(ref self: ContractState, first: ContractAddress, second: ContractAddress) {
        self.first.write(first);
        self.second.write(second);
    }

    #[external(v0)]
    fn provide(ref self: ContractState, first: u256, second: u256) {
        let who = get_caller_address();
        let here = get_contract_address();
        ITokenDispatcher { contract_address: self.first.read() }.transfer_from(who, here, first);
        ITokenDispatcher { contract_address: self.second.read() }.transfer_from(who, here, second);
        self.reserve_first.write(self.reserve_first.read() + first);
        self.reserve_second.write(self.reserve_second.read() + second);
    }

    #[external(v0)]
    fn swap(ref self: ContractState, pay_first: bool, paid: u256) -> u256 {
        let who = get_caller_address();
        let here = get_contract_address();
        let first = self.reserve_first.read();
        let second = self.reserve_second.read();
        let (from, to, before, other) = if pay_first {
            (self.first.read(), self.second.read(), first, second)
        } else {
            (self.second.read(), self.first.read(), second, first)
        };
        let got = other * paid / (before + paid);
        ITokenDispatcher { contract_address: from }.transfer_from(who, here, paid);
        ITokenDispatcher { contract_address: to }.transfer(who, got);
        if pay_first {
            self.reserve_first.write(before + paid);
            self.reserve_second.write(other - got);
        } else {
            self.reserve_second.write(before + paid);
            self.reserve_first.write(other - got);
        }
        self.emit(Swapped { who, paid_first: pay_first, paid, got });
        got
    }

    #[external(v0)]
    fn reserves(self: @ContractState) -> (u256, u256) {
        (self.reserve_first.read(), self.reserve_second.read())
    }
}

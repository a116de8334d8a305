// Runs until it has no gas left: tests send it transactions and calls that never end by themselves.
#[starknet::contract]
mod spinner {
    #[storage]
    struct Storage {}

    #[external(v0)]
    fn spin(self: @ContractState) -> felt252 {
        let mut turns: felt252 = 0;
        loop {
            turns += 1;
            if turns == 0 {
                break turns; // after as many turns as the field has elements
            }
        }
    }

    // As many turns as asked for.
    #[external(v0)]
    fn turn(self: @ContractState, turns: u64) -> u64 {
        let mut left = turns;
        loop {
            if left == 0 {
                break turns;
            }
            left -= 1;
        }
    }
}

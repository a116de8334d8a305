//! The blocks of a height: what is known of each, and what the core is asked to build or to validate. At most one attempt is open.

use std::collections::BTreeMap;

use malachite_types::Round;

use crate::context::Id;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// An attempt of this instance has it, so it can be decided.
    Ready(u64),
    /// It was found valid before a restart, when attempts had other numbers.
    Remembered,
    /// Its time is compared with this node's clock, so that it may be valid when it is proposed again.
    Invalid,
}

/// What the core is to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Want {
    Nothing,
    Validate { attempt: u64, id: Id, round: Round },
}

/// What a verdict means.
#[derive(Debug, PartialEq, Eq)]
pub enum Judged {
    /// It is about no attempt that is open.
    Unknown,
    /// No peer has the body: the retry asks again.
    Missing,
    Known {
        id: Id,
        round: Round,
        valid: bool,
    },
}

/// Malachite keeps two proposals for each round at most, so no map here grows further than its own.
#[derive(Debug, Default)]
pub struct Blocks {
    known: BTreeMap<Id, Known>,
    /// To be validated: the newest round in which each was proposed.
    wanted: BTreeMap<Id, Round>,
    /// To be validated when the retry timer fires.
    later: BTreeMap<Id, Round>,
    building: Option<(u64, Round)>,
    validating: Option<(u64, Id, Round)>,
    sealed: bool,
    /// A build failed: none is begun before the retry timer or news of transactions.
    resting: bool,
}

impl Blocks {
    /// A proposal for a block was stored.
    pub fn proposed(&mut self, id: Id, round: Round) {
        if matches!(self.known.get(&id), Some(Known::Ready(_) | Known::Remembered)) {
            return;
        }
        if self.validating.is_some_and(|(_, open, _)| open == id) {
            return;
        }
        let newest = self.wanted.entry(id).or_insert(round);
        *newest = round.max(*newest);
    }

    /// What the log says of a block that was validated before a restart.
    pub fn remember(&mut self, id: Id, valid: bool) {
        self.wanted.remove(&id);
        self.known.insert(id, if valid { Known::Remembered } else { Known::Invalid });
    }

    /// The attempt that a block can be decided with.
    pub fn attempt(&self, id: &Id) -> Option<u64> {
        match self.known.get(id) {
            Some(Known::Ready(attempt)) => Some(*attempt),
            _ => None,
        }
    }

    pub fn can_build(&self) -> bool {
        self.building.is_none() && !self.resting
    }

    /// A build begins. It ends a validation that is open, which is asked for again.
    pub fn build(&mut self, attempt: u64, round: Round) {
        self.preempt();
        (self.building, self.sealed) = (Some((attempt, round)), false);
    }

    /// The open build, if it is to be sealed now: once.
    pub fn seal(&mut self) -> Option<u64> {
        let (attempt, _) = self.building.filter(|_| !self.sealed)?;
        self.sealed = true;
        Some(attempt)
    }

    /// The open build, if it is for another round: it is given up.
    pub fn outdated(&mut self, round: Round) -> Option<u64> {
        let (attempt, _) = self.building.take_if(|(_, of)| *of != round)?;
        Some(attempt)
    }

    /// A build has ended with a block. Returns the round that it is for.
    pub fn built(&mut self, attempt: u64, id: Id) -> Option<Round> {
        let (_, round) = self.building.take_if(|(open, _)| *open == attempt)?;
        self.wanted.remove(&id);
        self.known.insert(id, Known::Ready(attempt));
        Some(round)
    }

    /// An attempt has ended without a block: a build, or a validation that a block which others had decided took the place of. Both are tried again.
    pub fn failed(&mut self, attempt: u64) -> bool {
        if let Some((_, id, round)) = self.validating.take_if(|(open, ..)| *open == attempt) {
            self.later.insert(id, round);
            return true;
        }
        let ended = self.building.take_if(|(open, _)| *open == attempt).is_some();
        self.resting |= ended;
        ended
    }

    /// The time has come to try again.
    pub fn retry(&mut self) {
        self.resting = false;
        self.wanted.append(&mut self.later);
    }

    /// There is news of transactions.
    pub fn news(&mut self) {
        self.resting = false;
    }

    fn preempt(&mut self) {
        if let Some((_, id, round)) = self.validating.take() {
            self.wanted.insert(id, round);
        }
    }

    /// What to validate next: the block that was proposed last, and none while a build is open. An open validation goes on but for a block of
    /// this round.
    pub fn next(&mut self, round: Round, attempt: u64) -> Want {
        if self.building.is_some() {
            return Want::Nothing;
        }
        let newest = self.wanted.iter().max_by_key(|(id, round)| (**round, **id)).map(|(id, round)| (*id, *round));
        let Some((id, of)) = newest else { return Want::Nothing };
        if self.validating.is_some_and(|(_, _, open)| open >= of || of < round) {
            return Want::Nothing;
        }
        self.preempt();
        self.validate(id, of, attempt)
    }

    /// Validates what was decided, before all else. Nothing while that is under way, or waits for the retry.
    pub fn decided(&mut self, id: Id, round: Round, attempt: u64) -> Want {
        if self.later.contains_key(&id) || self.validating.is_some_and(|(_, open, _)| open == id) {
            return Want::Nothing;
        }
        self.building = None;
        self.validate(id, round, attempt)
    }

    fn validate(&mut self, id: Id, round: Round, attempt: u64) -> Want {
        self.wanted.remove(&id);
        self.validating = Some((attempt, id, round));
        Want::Validate { attempt, id, round }
    }

    /// A validation has ended. A block that is to be decided and is not valid here is asked for again.
    pub fn judged(&mut self, attempt: u64, valid: bool, missing: bool, decided: Option<Id>) -> Judged {
        let Some((_, id, round)) = self.validating.take_if(|(open, ..)| *open == attempt) else {
            return Judged::Unknown;
        };
        if missing || !valid && decided == Some(id) {
            self.later.insert(id, round);
        }
        if missing {
            return Judged::Missing;
        }
        self.known.insert(id, if valid { Known::Ready(attempt) } else { Known::Invalid });
        Judged::Known { id, round, valid }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Address;

    fn id(n: u8) -> Id {
        Id::new(&[n; 32], Address(0)).unwrap()
    }

    fn round(n: u32) -> Round {
        Round::new(n)
    }

    fn validate(attempt: u64, n: u8, of: u32) -> Want {
        Want::Validate { attempt, id: id(n), round: round(of) }
    }

    #[test]
    fn one_attempt_is_open_at_a_time_and_a_build_goes_first() {
        let mut blocks = Blocks::default();
        blocks.proposed(id(1), round(0));
        assert_eq!(blocks.next(round(0), 1), validate(1, 1, 0));
        assert_eq!(blocks.next(round(0), 2), Want::Nothing);
        blocks.build(2, round(1));
        assert!(!blocks.can_build());
        assert_eq!(blocks.judged(1, true, false, None), Judged::Unknown);
        assert_eq!(blocks.next(round(1), 3), Want::Nothing);
        assert_eq!(blocks.built(2, id(2)), Some(round(1)));
        assert_eq!(blocks.next(round(1), 3), validate(3, 1, 0), "what the build ended is asked for again");
        assert_eq!(blocks.judged(3, true, false, None), Judged::Known { id: id(1), round: round(0), valid: true });
        assert_eq!((blocks.attempt(&id(1)), blocks.attempt(&id(2))), (Some(3), Some(2)));
    }

    #[test]
    fn a_block_of_this_round_ends_the_validation_of_an_older_one() {
        let mut blocks = Blocks::default();
        blocks.proposed(id(1), round(0));
        assert_eq!(blocks.next(round(0), 1), validate(1, 1, 0));
        blocks.proposed(id(2), round(1));
        assert_eq!(blocks.next(round(2), 2), Want::Nothing);
        assert_eq!(blocks.next(round(1), 2), validate(2, 2, 1));
        assert_eq!(blocks.judged(2, false, false, None), Judged::Known { id: id(2), round: round(1), valid: false });
        assert_eq!(blocks.next(round(1), 3), validate(3, 1, 0));
    }

    #[test]
    fn an_invalid_block_is_validated_again_when_it_is_proposed_again_and_a_valid_one_is_not() {
        let mut blocks = Blocks::default();
        for (n, valid) in [(1, false), (2, true)] {
            blocks.proposed(id(n), round(0));
            blocks.next(round(0), n.into());
            blocks.judged(n.into(), valid, false, None);
        }
        blocks.proposed(id(1), round(1));
        blocks.proposed(id(2), round(1));
        assert_eq!(blocks.next(round(1), 9), validate(9, 1, 1));
        blocks.judged(9, true, false, None);
        assert_eq!(blocks.next(round(1), 10), Want::Nothing);
    }

    #[test]
    fn what_is_missing_or_failed_waits_for_the_retry() {
        let mut blocks = Blocks::default();
        blocks.proposed(id(1), round(0));
        blocks.next(round(0), 1);
        assert_eq!(blocks.judged(1, false, true, None), Judged::Missing);
        assert_eq!(blocks.next(round(0), 2), Want::Nothing);
        blocks.build(2, round(0));
        assert!(blocks.failed(2) && !blocks.failed(2) && !blocks.can_build());
        blocks.retry();
        assert!(blocks.can_build());
        assert_eq!(blocks.next(round(0), 3), validate(3, 1, 0));
        assert!(blocks.failed(3) && blocks.can_build());
        assert_eq!(blocks.next(round(0), 4), Want::Nothing);
        blocks.retry();
        assert_eq!(blocks.next(round(0), 4), validate(4, 1, 0));
    }

    #[test]
    fn what_is_decided_is_validated_by_this_instance_until_it_is_valid() {
        let mut blocks = Blocks::default();
        blocks.remember(id(1), true);
        assert_eq!(blocks.attempt(&id(1)), None);
        assert_eq!(blocks.decided(id(1), round(0), 1), validate(1, 1, 0));
        assert_eq!(blocks.decided(id(1), round(0), 2), Want::Nothing);
        blocks.judged(1, false, false, Some(id(1)));
        assert_eq!(blocks.decided(id(1), round(0), 2), Want::Nothing);
        blocks.retry();
        assert_eq!(blocks.decided(id(1), round(0), 2), validate(2, 1, 0));
        blocks.judged(2, true, false, Some(id(1)));
        assert_eq!(blocks.attempt(&id(1)), Some(2));
    }

    #[test]
    fn a_build_is_sealed_once_and_given_up_with_its_round() {
        let mut blocks = Blocks::default();
        assert_eq!(blocks.seal(), None);
        blocks.build(1, round(0));
        assert_eq!((blocks.seal(), blocks.seal()), (Some(1), None));
        assert_eq!((blocks.outdated(round(0)), blocks.outdated(round(1))), (None, Some(1)));
        assert_eq!(blocks.built(1, id(1)), None);
    }
}

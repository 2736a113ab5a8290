//! What a buyer is like: drawn once, from the seed.

use std::time::Duration;

use crate::random::Random;

/// Which share of buyers does what, each from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares {
    /// Pay with a card that is declined, first.
    pub decline: f64,
    /// Pay with a card whose provider takes three seconds.
    pub slow: f64,
    /// Pay with a card whose provider never answers.
    pub silent: f64,
    /// Give their seats back once and choose again.
    pub give_back: f64,
    /// Leave the line.
    pub leave: f64,
    /// Vanish: from the line, when their turn comes, or while they hold seats.
    pub vanish: f64,
    /// Look away from the line for a while.
    pub away: f64,
}

impl Default for Shares {
    fn default() -> Self {
        Self {
            decline: 0.08,
            slow: 0.05,
            silent: 0.0,
            give_back: 0.05,
            leave: 0.05,
            vanish: 0.05,
            away: 0.05,
        }
    }
}

/// What a buyer is like.
#[derive(Clone, Debug)]
pub(crate) struct Character {
    /// About how long they think before they do something.
    pub(crate) think: Duration,
    /// How many seats they want.
    pub(crate) party: usize,
    /// The performance they look at first.
    pub(crate) performance: usize,
    pub(crate) pays_with: &'static str,
    pub(crate) has_another_card: bool,
    pub(crate) gives_back: bool,
    /// At which poll, likewise the next two.
    pub(crate) vanishes_in_line: Option<u32>,
    pub(crate) leaves_in_line: Option<u32>,
    pub(crate) is_away_at: Option<u32>,
    pub(crate) vanishes_inside: bool,
    pub(crate) vanishes_holding: bool,
}

/// How often a buyer who leaves the line has asked before, at most.
const POLLS_BEFORE: usize = 5;
/// Buyers whose first card is declined and who have another one.
const OTHER_CARD: f64 = 0.75;

impl Character {
    pub(crate) fn draw(
        random: &mut Random,
        shares: &Shares,
        think: Duration,
        party_max: usize,
        performances: usize,
    ) -> Self {
        let poll = |random: &mut Random| {
            u32::try_from(1 + random.below(POLLS_BEFORE)).expect("a small number")
        };
        // Each draws the same numbers, whatever comes of them: one share changes nothing else.
        let (vanishes, whence) = (random.happens(shares.vanish), random.below(3));
        let (leaves, leaves_at) = (random.happens(shares.leave), poll(random));
        let (is_away, away_at) = (random.happens(shares.away), poll(random));
        let vanishes_at = poll(random);
        Self {
            think,
            // Most come in pairs.
            party: if random.happens(0.4) { 2 } else { 1 + random.below(party_max) }.min(party_max),
            performance: random.below(performances),
            pays_with: card(random.share(), random.happens(0.5), shares),
            has_another_card: random.happens(OTHER_CARD),
            gives_back: random.happens(shares.give_back),
            vanishes_in_line: (vanishes && whence == 0).then_some(vanishes_at),
            leaves_in_line: leaves.then_some(leaves_at),
            is_away_at: is_away.then_some(away_at),
            vanishes_inside: vanishes && whence == 1,
            vanishes_holding: vanishes && whence == 2,
        }
    }
}

/// The sandbox's token for a card; `other` is one of the two of its kind.
fn card(mut draw: f64, other: bool, shares: &Shares) -> &'static str {
    let cards = [
        (shares.decline, ["tok_declined", "tok_insufficient_funds"]),
        (shares.slow, ["tok_slow", "tok_slow"]),
        (shares.silent, ["tok_timeout", "tok_lost"]),
    ];
    for (share, tokens) in cards {
        if draw < share {
            return tokens[usize::from(other)];
        }
        draw -= share;
    }
    "tok_ok"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(count: u64, shares: &Shares) -> Vec<Character> {
        let character =
            |seed| Character::draw(&mut Random::new(seed), shares, Duration::from_secs(1), 4, 3);
        (0..count).map(character).collect()
    }

    #[test]
    fn shares_are_kept() {
        let crowd = draw(10_000, &Shares { silent: 0.1, ..Shares::default() });
        let count = |is: &dyn Fn(&Character) -> bool| crowd.iter().filter(|one| is(one)).count();
        let near = |count: usize, expected: usize| count.abs_diff(expected) < 150;
        assert!(near(count(&|one| one.pays_with == "tok_slow"), 500));
        assert!(near(count(&|one| one.pays_with == "tok_declined"), 400));
        assert!(near(count(&|one| one.pays_with == "tok_lost"), 500));
        assert!(near(count(&|one| one.gives_back), 500));
        assert!(near(count(&|one| one.leaves_in_line.is_some()), 500));
        let vanish = |one: &Character| {
            one.vanishes_in_line.is_some() || one.vanishes_inside || one.vanishes_holding
        };
        assert!(near(count(&vanish), 500));
        for party in 1..=4 {
            assert!(count(&|one| one.party == party) > 1_000, "parties of {party}");
        }
        for performance in 0..3 {
            assert!(count(&|one| one.performance == performance) > 3_000);
        }
    }

    #[test]
    fn nobody_does_what_nobody_does() {
        let none = Shares {
            decline: 0.0,
            slow: 0.0,
            silent: 0.0,
            give_back: 0.0,
            leave: 0.0,
            vanish: 0.0,
            away: 0.0,
        };
        for one in draw(1_000, &none) {
            assert_eq!(one.pays_with, "tok_ok");
            assert!(!one.gives_back && !one.vanishes_inside && !one.vanishes_holding);
            assert!(one.leaves_in_line.is_none() && one.vanishes_in_line.is_none());
        }
    }
}

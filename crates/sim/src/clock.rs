//! Time: the true time of a run, the store's clock, and what each node believes.
//!
//! A node's clock does what [`engine::clock`] promises and no more: it starts at the store's clock
//! or at the last time the store knows, never steps, never goes back, and is slewed towards the
//! store's clock by half a percent at most. The store's clock may be set to anything.

use domain::time::{Millis, Timestamp};

/// Node time at the beginning of a run.
pub(crate) const START: Timestamp = Timestamp(1_800_000_000_000);

const SLEW_MAX_PPM: i64 = 5_000;
const SLEW_OVER_S: i64 = 60;

/// True time: milliseconds since the run began. Nobody but the simulator knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) u64);

impl Moment {
    pub(crate) fn plus(self, ms: Millis) -> Self {
        Self(self.0 + ms)
    }

    pub(crate) fn since(self, earlier: Self) -> Millis {
        self.0.saturating_sub(earlier.0)
    }
}

/// The clock of the machine that the store runs on; people and NTP set it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StoreClock {
    pub(crate) set_by_ms: i64,
}

impl StoreClock {
    pub(crate) fn now(self, moment: Moment) -> Timestamp {
        Timestamp(START.plus(moment.0).0.saturating_add_signed(self.set_by_ms))
    }
}

/// What a node takes for the time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NodeClock {
    base_us: u64,
    since: Moment,
    slew_ppm: i64,
    /// How much its crystal is off.
    drift_ppm: i64,
    /// Until when it stands: the machine is suspended.
    stands_until: Moment,
}

impl NodeClock {
    pub(crate) fn start(base: Timestamp, drift_ppm: i64, at: Moment) -> Self {
        Self { base_us: base.0 * 1000, since: at, slew_ppm: 0, drift_ppm, stands_until: at }
    }

    fn us(&self, moment: Moment) -> u64 {
        let elapsed_us = moment.since(self.since.max(self.stands_until)) * 1000;
        let ppm = self.slew_ppm + self.drift_ppm;
        let off = i128::from(elapsed_us) * i128::from(ppm) / 1_000_000;
        let off = i64::try_from(off).expect("a run is shorter than that");
        (self.base_us + elapsed_us).saturating_add_signed(off)
    }

    /// Node time.
    pub(crate) fn now(&self, moment: Moment) -> Timestamp {
        Timestamp(self.us(moment) / 1000)
    }

    /// Slews towards the store's clock.
    pub(crate) fn steer(&mut self, store: Timestamp, at: Moment) {
        let base_us = self.us(at);
        let behind_us = i128::from(store.0) * 1000 - i128::from(base_us);
        let behind_us = i64::try_from(behind_us).expect("clocks differ by less than that");
        self.slew_ppm = (behind_us / SLEW_OVER_S).clamp(-SLEW_MAX_PPM, SLEW_MAX_PPM);
        (self.base_us, self.since) = (base_us, at);
    }

    /// The machine is suspended until then.
    pub(crate) fn stand(&mut self, at: Moment, until: Moment) {
        (self.base_us, self.since, self.stands_until) = (self.us(at), at, until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_clock_never_steps_and_never_goes_back() {
        let mut clock = NodeClock::start(START, 200, Moment(0));
        let mut last = clock.now(Moment(0));
        for step in 1..10_000 {
            let moment = Moment(step * 10);
            match step {
                2_000 => clock.steer(Timestamp(0), moment),
                4_000 => clock.steer(START.plus(86_400_000), moment),
                6_000 => clock.stand(moment, moment.plus(5_000)),
                _ => {}
            }
            let now = clock.now(moment);
            assert!((0..=11).contains(&now.since(last)) && now >= last, "{now:?} after {last:?}");
            last = now;
        }
    }

    #[test]
    fn a_suspended_machine_does_not_count() {
        let mut clock = NodeClock::start(START, 0, Moment(0));
        clock.stand(Moment(1_000), Moment(61_000));
        assert_eq!(clock.now(Moment(60_000)), START.plus(1_000));
        assert_eq!(clock.now(Moment(62_000)), START.plus(2_000));
    }
}

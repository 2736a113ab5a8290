//! How many requests were answered, how, and in which time: counted by route.
//!
//! Each thread counts in a stripe of its own, so that two processors do not take turns at one line of
//! memory; who asks adds the stripes. A request costs one look at the clock, when it is answered, and
//! three additions: some 70 ns. Routes are those of the table, never a path that somebody sent.

use std::array;
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use engine::meters::{Histogram, TIME_BOUNDS, Tally};
use http::StatusCode;

use super::ROUTES;
use super::problem::{Cause, every};

/// Threads that count apart; more than that share.
const STRIPES: usize = 16;

/// The first digit of a status, as people read it.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The route of requests that no route of the table takes.
pub(super) const UNKNOWN: usize = ROUTES.len();

/// What is counted of buyers' requests.
#[derive(Debug)]
pub(crate) struct HttpMeters {
    stripes: Box<[Box<[RouteMeter]>]>,
    /// Every code of a problem there is, in order, and how often it was told.
    problems: Box<[(&'static str, AtomicU64)]>,
}

/// One stripe's count of one route.
#[derive(Debug)]
struct RouteMeter {
    time: Histogram,
    classes: [AtomicU64; CLASSES.len()],
}

/// What was counted of one route.
pub(crate) struct RouteCount {
    pub(crate) method: &'static str,
    /// The path, with its open parts in braces.
    pub(crate) route: &'static str,
    /// Nanoseconds until the answer was ready.
    pub(crate) time: Tally,
    /// Answers by the first digit of their status.
    pub(crate) classes: [(&'static str, u64); CLASSES.len()],
}

impl Default for HttpMeters {
    fn default() -> Self {
        let meter = |_| RouteMeter {
            time: Histogram::new(TIME_BOUNDS),
            classes: array::from_fn(|_| AtomicU64::new(0)),
        };
        let mut codes: Vec<&'static str> = every().iter().map(Cause::code).collect();
        codes.sort_unstable();
        codes.dedup();
        Self {
            stripes: (0..STRIPES).map(|_| (0..=UNKNOWN).map(meter).collect()).collect(),
            problems: codes.into_iter().map(|code| (code, AtomicU64::new(0))).collect(),
        }
    }
}

impl HttpMeters {
    /// New ones, for as long as the process lives: nobody counts who refers to them, for that count
    /// would be written by every request on every processor.
    pub(crate) fn leaked() -> &'static Self {
        Box::leak(Box::default())
    }

    /// Counts an answer to a request of a route.
    pub(super) fn answered(&self, route: usize, status: StatusCode, nanos: u64) {
        let meter = &self.stripes[stripe()][route];
        meter.time.observe(nanos);
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        meter.classes[class].fetch_add(1, Relaxed);
    }

    /// Counts a problem.
    pub(crate) fn problem(&self, code: &str) {
        let found = self.problems.binary_search_by(|(known, _)| (*known).cmp(code));
        if let Some((_, count)) = found.ok().and_then(|at| self.problems.get(at)) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// How often each problem was told.
    pub(crate) fn problems(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.problems.iter().map(|(code, count)| (*code, count.load(Relaxed)))
    }

    /// What was counted of each route.
    pub(crate) fn routes(&self) -> impl Iterator<Item = RouteCount> {
        let names = ROUTES.iter().map(|route| (route.method, route.path));
        // What else is asked for has any method, and no name of ours.
        names.chain([("other", "unknown")]).enumerate().map(|(number, (method, route))| {
            let mut time = Tally::new(TIME_BOUNDS);
            let mut classes = CLASSES.map(|class| (class, 0));
            for stripe in &self.stripes {
                let meter = &stripe[number];
                meter.time.add_to(&mut time);
                for ((_, sum), count) in classes.iter_mut().zip(&meter.classes) {
                    *sum += count.load(Relaxed);
                }
            }
            RouteCount { method, route, time, classes }
        })
    }
}

/// This thread's stripe.
fn stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static STRIPE: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    STRIPE.with(|stripe| {
        if stripe.get() == usize::MAX {
            stripe.set(NEXT.fetch_add(1, Relaxed) % STRIPES);
        }
        stripe.get()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_threads_counted_is_added() {
        let meters = HttpMeters::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * STRIPES {
                scope.spawn(|| {
                    meters.answered(0, StatusCode::OK, 1_000);
                    meters.answered(UNKNOWN, StatusCode::NOT_FOUND, 2_000_000);
                    meters.problem("not_found");
                    meters.problem("no code of ours");
                });
            }
        });
        let all = 2 * STRIPES as u64;
        let routes: Vec<RouteCount> = meters.routes().collect();
        let (first, unknown) = (&routes[0], &routes[UNKNOWN]);
        assert_eq!((first.method, first.route), ("get", "/performances"));
        assert_eq!((first.time.count(), first.time.sum), (all, all * 1_000));
        assert_eq!(first.classes[1], ("2xx", all));
        assert_eq!(unknown.classes[3], ("4xx", all));
        let told: Vec<_> = meters.problems().filter(|(_, count)| *count > 0).collect();
        assert_eq!(told, [("not_found", all)]);
    }
}

//! What the operators' listener answers, and how it is shown to people.

use std::collections::BTreeMap;

use domain::limits::Limits;
use serde::Deserialize;

use crate::table::{Side, lines};

/// Every sale.
#[derive(Debug, Deserialize)]
pub(super) struct Sales {
    sales: Vec<Sale>,
}

/// One sale.
#[derive(Debug, Deserialize)]
pub(super) struct Sale {
    sale_id: String,
    state: String,
    as_of: u64,
    opens_at: String,
    closes_at: Option<String>,
    limits: BTreeMap<String, u32>,
    joined: u64,
    waiting: u32,
    missed: u32,
    admitted: u32,
    choosing: u32,
    seats: Seats,
    performances: Vec<Performance>,
    takings: Takings,
    open_payments: u64,
    admissions_per_second: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Performance {
    performance_id: String,
    #[serde(flatten)]
    seats: Seats,
}

#[derive(Debug, Deserialize)]
struct Seats {
    free: u32,
    withheld: u32,
    held: u32,
    sold: u32,
}

#[derive(Debug, Deserialize)]
struct Takings {
    currency: String,
    approved: u64,
    confirmed: u64,
    refund_due: u64,
    refunded: u64,
}

/// A change that was made.
#[derive(Debug, Deserialize)]
pub(super) struct Changed {
    as_of: Option<u64>,
    pub(super) seats: Option<u64>,
}

impl Sales {
    /// A table, a line a sale.
    pub(super) fn to_text(&self) -> String {
        if self.sales.is_empty() {
            return "There is no sale yet.\n".to_owned();
        }
        let head = [
            "SALE", "STATE", "OPENS", "WAITING", "INSIDE", "OF", "FREE", "HELD", "SOLD", "WITHHELD",
        ];
        let rows = self.sales.iter().map(|sale| {
            let Seats { free, withheld, held, sold } = &sale.seats;
            let numbers =
                [sale.waiting, sale.admitted, sale.limit(), *free, *held, *sold, *withheld];
            let words = [sale.sale_id.clone(), sale.state.clone(), sale.opens_at.clone()];
            words.into_iter().chain(numbers.map(|number| number.to_string())).collect()
        });
        table(&head, 3, rows)
    }
}

impl Sale {
    /// Everything, in some lines.
    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        let mut say = |name: &str, words: String| line(&mut text, &format!("{name:<10}{words}"));
        say("sale", format!("{}, {}, as of batch {}", self.sale_id, self.state, self.as_of));
        let closes = self.closes_at.as_ref().map(|at| format!(", closes {at}"));
        say("opens", format!("{}{}", self.opens_at, closes.unwrap_or_default()));
        let Self { joined, waiting, missed, .. } = self;
        say("line", format!("{waiting} waiting, {missed} missed their turn, {joined} ever joined"));
        let pace = self.admissions_per_second.map(|pace| format!(", {pace:.1} admitted a second"));
        let (pace, limit) = (pace.unwrap_or_default(), self.limit());
        say("inside", format!("{} of {limit}, {} choosing{pace}", self.admitted, self.choosing));
        let Takings { currency, approved, confirmed, refund_due, refunded } = &self.takings;
        say(
            "money",
            format!(
                "{confirmed} {currency} confirmed, {approved} approved, {refund_due} to be refunded, \
             {refunded} refunded"
            ),
        );
        say("payments", format!("{} open", self.open_payments));
        text.push('\n');
        let head = ["PERFORMANCE", "FREE", "HELD", "SOLD", "WITHHELD"];
        let rows = self.performances.iter().map(|performance| {
            let Seats { free, withheld, held, sold } = &performance.seats;
            let numbers = [free, held, sold, withheld].map(ToString::to_string);
            [performance.performance_id.clone()].into_iter().chain(numbers).collect()
        });
        text += &table(&head, 1, rows);
        text.push('\n');
        text + &self.limits_to_text(None)
    }

    /// The limits with their ranges; beside those that are others than `before`, what they were.
    pub(super) fn limits_to_text(&self, before: Option<&Self>) -> String {
        let rows = Limits::default().table().into_iter().map(|(name, _, min, max)| {
            let of = |sale: &Self| sale.limits.get(name).copied();
            let now = of(self);
            let was = before.map(of).filter(|was| *was != now);
            let shown = |value: Option<u32>| value.map_or("?".to_owned(), |v| v.to_string());
            let was = was.map_or(String::new(), |was| format!("was {}", shown(was)));
            vec![name.to_owned(), shown(now), format!("{min}..{max}"), was]
        });
        table(&["LIMIT", "VALUE", "RANGE", ""], 1, rows)
    }

    /// How it is after a change, in one line.
    pub(super) fn to_line(&self, changed: &Changed) -> String {
        let Self { sale_id, state, waiting, admitted, .. } = self;
        let batch = changed.as_of.map(|batch| format!(" (batch {batch})"));
        format!(
            "{sale_id} is {state}: {waiting} waiting, {admitted} inside, {} free{}.\n",
            seats(Some(self.seats.free.into())),
            batch.unwrap_or_default()
        )
    }

    fn limit(&self) -> u32 {
        self.limits.get("active_limit").copied().unwrap_or_default()
    }
}

/// "1 seat", "12 seats".
pub(super) fn seats(count: Option<u64>) -> String {
    match count {
        Some(1) => "1 seat".to_owned(),
        Some(count) => format!("{count} seats"),
        None => "seats".to_owned(),
    }
}

/// A table under its head: the first `words` columns flush left, numbers flush right.
fn table(head: &[&str], words: usize, rows: impl Iterator<Item = Vec<String>>) -> String {
    let named = head.iter().map(ToString::to_string).collect();
    let rows: Vec<Vec<String>> = [named].into_iter().chain(rows).collect();
    let side = |column: usize| if column < words { Side::Left } else { Side::Right };
    let sides: Vec<Side> = (0..head.len()).map(side).collect();
    lines(&rows, &sides)
}

fn line(text: &mut String, words: &str) {
    text.push_str(words);
    text.push('\n');
}

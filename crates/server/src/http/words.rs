//! The words of answers: what programs compare with, and sentences for people.

use std::fmt;

use domain::payment::PaymentState;
use domain::reservation::EndReason;
use domain::sale::{Phase, PlaceView, Status};
use domain::seats::SeatCounts;
use serde::{Serialize, Serializer};

use crate::language::Language;

/// A sentence in every language; what stands in braces is taken from where it is used.
macro_rules! say {
    ($language:expr, $ko:literal, $en:literal $(,)?) => {
        match $language {
            $crate::language::Language::Ko => format!($ko),
            $crate::language::Language::En => format!($en),
        }
    };
}
pub(super) use say;

/// Where a sale stands with these of its seats, for programs: one performance may be sold out
/// before the others.
pub(crate) fn state_word(phase: Phase, seats: SeatCounts) -> &'static str {
    let sold_out = seats.free == 0 && seats.held == 0;
    match phase {
        Phase::Unscheduled | Phase::Scheduled => "scheduled",
        Phase::Closed => "closed",
        Phase::Open | Phase::Paused if sold_out => "sold_out",
        Phase::Open => "open",
        Phase::Paused => "paused",
    }
}

/// Where a place stands, for programs.
pub(super) fn status(status: Status) -> &'static str {
    match status {
        Status::Waiting { .. } => "waiting",
        Status::Admitted { .. } => "admitted",
        Status::Holding { .. } => "holding",
        Status::Paying { .. } => "paying",
        Status::Done { .. } => "done",
        Status::Ended { .. } => "ended",
    }
}

/// Why a place is over, in a sentence.
pub(crate) fn ended(reason: EndReason, l: Language) -> String {
    match reason {
        EndReason::Left => say!(l, "대기를 취소했습니다.", "You left."),
        EndReason::Absent => say!(
            l,
            "오랫동안 접속이 없어 대기 순서가 끝났습니다.",
            "You were not seen for too long."
        ),
        EndReason::TooSlow => say!(
            l,
            "정해진 시간 안에 좌석을 선택하지 않아 순서가 끝났습니다.",
            "No seat was chosen in time."
        ),
        EndReason::HoldExpired => say!(
            l,
            "정해진 시간 안에 결제하지 않아 예약이 만료되었습니다.",
            "The seats were not paid in time."
        ),
        EndReason::SoldOut => say!(l, "모든 좌석이 판매되었습니다.", "Every seat is sold."),
        EndReason::Closed => say!(l, "예매가 마감되었습니다.", "The sale was closed."),
        EndReason::Removed => {
            say!(l, "운영자가 대기 순서를 취소했습니다.", "An operator removed the place.")
        }
    }
}

/// A sentence that is written straight into the answer.
pub(super) struct Sentence<T>(pub(super) T, pub(super) Language);

/// How many seats of a performance are free (the use case's step 1).
pub(super) struct FreeSeats(pub(super) u32);

impl fmt::Display for Sentence<FreeSeats> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(FreeSeats(count), language) = self;
        match language {
            Language::Ko => write!(f, "예약 가능한 좌석 수: {count}"),
            Language::En => write!(f, "Seats available: {count}"),
        }
    }
}

impl fmt::Display for Sentence<PlaceView> {
    /// The position in line (the use case's step 3), or what else there is to say of the place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(view, language) = self;
        let text = match (view.status, language) {
            (Status::Waiting { .. } | Status::Admitted { .. }, language) => {
                let (position, total) = (view.position.unwrap_or(1), view.total);
                return match language {
                    Language::Ko => {
                        write!(f, "현재 대기 순서: {position} / 총 대기자 수: {total}")
                    }
                    Language::En => {
                        write!(f, "Current position: {position} / people in line: {total}")
                    }
                };
            }
            (Status::Ended { reason }, language) => return f.write_str(&ended(reason, *language)),
            (Status::Holding { .. }, Language::Ko) => "좌석을 잡았습니다. 시간 안에 결제해 주세요.",
            (Status::Holding { .. }, Language::En) => "The seats are yours; please pay in time.",
            (Status::Paying { .. }, Language::Ko) => "결제가 진행 중입니다.",
            (Status::Paying { .. }, Language::En) => "The payment is under way.",
            (Status::Done { .. }, Language::Ko) => CONFIRMED_KO,
            (Status::Done { .. }, Language::En) => CONFIRMED_EN,
        };
        f.write_str(text)
    }
}

const CONFIRMED_KO: &str = "예약이 완료되었습니다.";
const CONFIRMED_EN: &str = "The reservation is confirmed.";

/// The reservation is paid (the use case's step 6).
fn confirmed(language: Language) -> &'static str {
    match language {
        Language::Ko => CONFIRMED_KO,
        Language::En => CONFIRMED_EN,
    }
}

/// How a payment stands.
pub(super) fn payment(state: &PaymentState, language: Language) -> &'static str {
    match (state, language) {
        (PaymentState::Approved(_), language) => confirmed(language),
        (PaymentState::Running(_) | PaymentState::Unknown, Language::Ko) => {
            "결제 결과를 기다리고 있습니다. 좌석은 그대로 유지됩니다."
        }
        (PaymentState::Running(_) | PaymentState::Unknown, Language::En) => {
            "Waiting for the outcome of the payment. The seats stay yours meanwhile."
        }
        (PaymentState::Declined(_), Language::Ko) => "결제가 실패했습니다.",
        (PaymentState::Declined(_), Language::En) => "The payment was declined.",
        (PaymentState::RefundDue, Language::Ko) => "결제가 취소되어 환불하고 있습니다.",
        (PaymentState::RefundDue, Language::En) => "The payment is being refunded.",
        (PaymentState::Refunded(_), Language::Ko) => "환불되었습니다.",
        (PaymentState::Refunded(_), Language::En) => "The payment was refunded.",
    }
}

impl<T> Serialize for Sentence<T>
where
    Self: fmt::Display,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use domain::id::{EntryIndex, Nonce, Place, ReservationId};
    use domain::time::Timestamp;

    use super::*;

    fn view(status: Status, position: Option<u32>) -> PlaceView {
        let place = Place { entry: EntryIndex(0), nonce: Nonce(0) };
        PlaceView { place, status, position, total: 10 }
    }

    #[test]
    fn the_use_case_is_quoted_to_the_letter() {
        let waiting = view(Status::Waiting { away: false }, Some(5));
        assert_eq!(
            Sentence(waiting, Language::Ko).to_string(),
            "현재 대기 순서: 5 / 총 대기자 수: 10"
        );
        assert_eq!(Sentence(FreeSeats(75), Language::Ko).to_string(), "예약 가능한 좌석 수: 75");
        assert_eq!(confirmed(Language::Ko), "예약이 완료되었습니다.");
    }

    #[test]
    fn every_status_has_a_sentence_in_both_languages() {
        let reservation = ReservationId(1);
        let until = Timestamp(0);
        let ended = [
            EndReason::Left,
            EndReason::Absent,
            EndReason::TooSlow,
            EndReason::HoldExpired,
            EndReason::SoldOut,
            EndReason::Closed,
            EndReason::Removed,
        ];
        let mut said = std::collections::BTreeSet::new();
        let statuses = [
            Status::Admitted { until },
            Status::Holding { reservation, until },
            Status::Paying { reservation },
            Status::Done { reservation },
        ];
        let ended = ended.into_iter().map(|reason| Status::Ended { reason });
        for status in statuses.into_iter().chain(ended) {
            for language in [Language::Ko, Language::En] {
                let sentence = Sentence(view(status, Some(1)), language).to_string();
                assert_eq!(sentence.is_ascii(), language == Language::En, "{sentence}");
                assert!(said.insert(sentence.clone()), "said twice: {sentence}");
            }
        }
    }

    #[test]
    fn a_performance_is_sold_out_apart_from_its_sale() {
        let (some, none) = (SeatCounts { free: 1, ..SeatCounts::default() }, SeatCounts::default());
        let held = SeatCounts { held: 1, ..none };
        let table = [
            (Phase::Scheduled, none, "scheduled"),
            (Phase::Open, some, "open"),
            (Phase::Open, held, "open"),
            (Phase::Open, none, "sold_out"),
            (Phase::Paused, some, "paused"),
            (Phase::Paused, none, "sold_out"),
            (Phase::Closed, some, "closed"),
        ];
        for (phase, counts, word) in table {
            assert_eq!(state_word(phase, counts), word);
        }
    }
}

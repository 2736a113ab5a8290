//! The table of problems: for each, its status, what it is, and a sentence in every language with
//! the limit that was met.
//!
//! One idea: one table; a new refusal does not compile until it stands here.

use domain::Refusal;
use domain::plan::{NAME_MAX, PERFORMANCES_MAX, PlanError, SEATS_MAX};
use engine::{Failure, Warrant};
use http::StatusCode;

use super::{Cause, Edge, Fields, Flaw, Row};
use crate::http::idempotency::KEY_BYTES_MAX;
use crate::http::time::Utc;
use crate::http::words::{ended, say};
use crate::language::Language;

/// A row of the table: `row!(language, STATUS, title in Korean, title in English, detail)`.
macro_rules! row {
    ($language:expr, $status:ident, $ko:literal, $en:literal, $detail:expr $(,)?) => {
        Row {
            status: StatusCode::$status,
            title: match $language {
                Language::Ko => $ko,
                Language::En => $en,
            },
            detail: $detail,
        }
    };
}

impl Cause {
    /// What the table says of it, in one language.
    pub(super) fn row(&self, fields: &Fields, language: Language) -> Row {
        match self {
            Self::Refusal(refusal) => of_refusal(refusal, fields, language),
            Self::Failure(failure) => of_failure(*failure, fields, language),
            Self::Edge(edge) => of_edge(edge, fields, language),
        }
    }
}

fn of_refusal(refusal: &Refusal, fields: &Fields, l: Language) -> Row {
    match refusal {
        Refusal::SaleNotOpen { opens_at } => {
            let opens_at = Utc(*opens_at);
            row!(
                l,
                FORBIDDEN,
                "아직 예매가 시작되지 않았습니다",
                "The sale has not opened yet",
                say!(
                    l,
                    "예매는 {opens_at}(UTC)에 시작됩니다.",
                    "The sale opens at {opens_at} (UTC)."
                )
            )
        }
        Refusal::SaleClosed => {
            row!(
                l,
                GONE,
                "예매가 끝났습니다",
                "The sale is over",
                say!(
                    l,
                    "이 예매는 마감되어 더 이상 신청할 수 없습니다.",
                    "This sale is closed; nobody can join any more."
                )
            )
        }
        Refusal::SoldOut => row!(
            l,
            GONE,
            "매진되었습니다",
            "Sold out",
            say!(l, "모든 좌석이 판매되었습니다.", "Every seat is sold.")
        ),
        Refusal::QueueFull { line_capacity } => {
            row!(
                l,
                CONFLICT,
                "대기 인원이 가득 찼습니다",
                "The line is full",
                say!(
                    l,
                    "최대 {line_capacity}명까지 기다릴 수 있습니다. 잠시 후 다시 신청해 주세요.",
                    "At most {line_capacity} people can wait. Please try again later."
                )
            )
        }
        Refusal::UnknownPlace => {
            row!(
                l,
                UNAUTHORIZED,
                "토큰이 올바르지 않습니다",
                "The token is not valid",
                say!(
                    l,
                    "이 토큰으로는 확인할 수 있는 대기 순서가 없습니다. 토큰을 다시 발급받아 주세요.",
                    "The token names no place in line. Please get a new one."
                )
            )
        }
        Refusal::PlaceEnded { reason } => {
            row!(l, GONE, "대기 순서가 끝났습니다", "The place in line is over", ended(*reason, l))
        }
        Refusal::NotAdmitted { position, total } => {
            row!(
                l,
                FORBIDDEN,
                "아직 순서가 아닙니다",
                "It is not your turn yet",
                say!(
                    l,
                    "현재 대기 순서: {position} / 총 대기자 수: {total}",
                    "Current position: {position} / people in line: {total}"
                )
            )
        }
        Refusal::NoSeats => {
            row!(
                l,
                UNPROCESSABLE_ENTITY,
                "좌석을 선택해 주세요",
                "No seat was named",
                say!(
                    l,
                    "seat_number 또는 seat_numbers에 좌석 번호를, 아니면 best에 좌석 수를 하나 이상 적어 주세요.",
                    "Name at least one seat, in seat_number or seat_numbers, or say how many in best."
                )
            )
        }
        Refusal::TooManySeats { seats_per_reservation } => {
            row!(
                l,
                UNPROCESSABLE_ENTITY,
                "좌석이 너무 많습니다",
                "Too many seats",
                say!(
                    l,
                    "한 번에 최대 {seats_per_reservation}석까지 예약할 수 있습니다.",
                    "One reservation has at most {seats_per_reservation} seats."
                )
            )
        }
        Refusal::DuplicateSeat { .. } => {
            let seat = fields.seat_number.as_deref().unwrap_or("?");
            row!(
                l,
                UNPROCESSABLE_ENTITY,
                "같은 좌석이 두 번 있습니다",
                "The same seat twice",
                say!(l, "같은 좌석을 두 번 선택했습니다: {seat}", "A seat was named twice: {seat}")
            )
        }
        Refusal::CompanionAlone { .. } => {
            let seat = fields.seat_number.as_deref().unwrap_or("?");
            row!(
                l,
                UNPROCESSABLE_ENTITY,
                "동반자석은 휠체어석과 함께 예매해야 합니다",
                "A companion's seat goes with its wheelchair place",
                say!(
                    l,
                    "{seat} 좌석은 동반자석이므로 휠체어석과 같은 예매에 있어야 합니다.",
                    "Seat {seat} is a companion's and is held only together with its wheelchair place."
                )
            )
        }
        Refusal::SeatNotFound => {
            let seat = fields.seat_number.as_deref().unwrap_or("?");
            row!(
                l,
                NOT_FOUND,
                "없는 좌석입니다",
                "There is no such seat",
                say!(l, "이 공연에 없는 좌석입니다: {seat}", "This performance has no seat {seat}")
            )
        }
        Refusal::PerformanceRequired => {
            row!(
                l,
                UNPROCESSABLE_ENTITY,
                "공연을 골라 주세요",
                "Which performance?",
                say!(
                    l,
                    "공연이 여러 개입니다. date 또는 performance_id로 하나를 골라 주세요.",
                    "There are several performances. Name one by date or performance_id."
                )
            )
        }
        Refusal::WrongPerformance => {
            row!(
                l,
                UNPROCESSABLE_ENTITY,
                "다른 예매의 공연입니다",
                "Another sale's performance",
                say!(
                    l,
                    "이 대기 순서로는 그 공연을 예약할 수 없습니다.",
                    "This place in line is not for that performance."
                )
            )
        }
        Refusal::SeatTaken { .. } => {
            let taken = fields.taken.as_ref().map_or("?".to_owned(), |taken| taken.join(", "));
            row!(
                l,
                CONFLICT,
                "이미 선택된 좌석입니다",
                "Somebody else was faster",
                say!(
                    l,
                    "다른 분이 먼저 선택한 좌석이 있습니다: {taken}",
                    "No longer free: {taken}"
                )
            )
        }
        Refusal::GradeNotFound => {
            row!(
                l,
                NOT_FOUND,
                "없는 등급입니다",
                "There is no such grade",
                say!(l, "이 공연에는 그런 등급이 없습니다.", "This performance has no such grade.")
            )
        }
        Refusal::NoAdjacentSeats { available_count: 0, .. } => row!(
            l,
            CONFLICT,
            "나란히 앉을 좌석이 없습니다",
            "Not so many seats beside each other",
            say!(l, "남은 좌석이 없습니다.", "No such seat is left.")
        ),
        Refusal::NoAdjacentSeats { available_count, largest_adjacent } => {
            row!(
                l,
                CONFLICT,
                "나란히 앉을 좌석이 없습니다",
                "Not so many seats beside each other",
                say!(
                    l,
                    "남은 좌석 {available_count}석 가운데 나란히 앉을 수 있는 좌석은 최대 {largest_adjacent}석입니다.",
                    "Of {available_count} seats that are left, {largest_adjacent} at most stand beside each other."
                )
            )
        }
        Refusal::ReservationExists { .. } => {
            row!(
                l,
                CONFLICT,
                "이미 예약이 있습니다",
                "You have a reservation already",
                say!(
                    l,
                    "이 순서로 이미 예약한 좌석이 있습니다. 아직 결제하지 않았다면 취소하고 다시 고를 수 있습니다.",
                    "This place has a reservation already. Unpaid, it can be given back, to choose again."
                )
            )
        }
        Refusal::PriceChanged { amount } => {
            let (amount, currency) = (amount.0, fields.currency.as_deref().unwrap_or("?"));
            row!(
                l,
                CONFLICT,
                "금액이 다릅니다",
                "The price is another",
                say!(l, "결제할 금액: {amount} {currency}", "It costs {amount} {currency}.")
            )
        }
        Refusal::ReservationNotFound => {
            row!(
                l,
                NOT_FOUND,
                "예약을 찾을 수 없습니다",
                "There is no such reservation",
                say!(l, "이 토큰에는 그런 예약이 없습니다.", "This token has no such reservation.")
            )
        }
        Refusal::ReservationExpired => {
            row!(
                l,
                GONE,
                "예약이 만료되었습니다",
                "The reservation has expired",
                say!(
                    l,
                    "예약이 더 이상 유효하지 않습니다. 좌석은 다시 판매됩니다.",
                    "It was given back, or not paid in time; its seats are free again."
                )
            )
        }
        Refusal::PaymentInProgress { .. } => {
            row!(
                l,
                CONFLICT,
                "결제가 진행 중입니다",
                "A payment is under way",
                say!(
                    l,
                    "결제 결과가 나올 때까지 기다려 주세요.",
                    "Please wait for the outcome of the payment."
                )
            )
        }
        Refusal::AlreadyPaid { .. } => {
            row!(
                l,
                CONFLICT,
                "이미 결제되었습니다",
                "It is paid already",
                say!(
                    l,
                    "이 예약은 이미 결제되었습니다. 다시 결제되지 않습니다.",
                    "This reservation is paid. You are not charged again."
                )
            )
        }
        Refusal::IdempotencyMismatch => {
            row!(
                l,
                UNPROCESSABLE_ENTITY,
                "이미 사용한 키입니다",
                "The key was used before",
                say!(
                    l,
                    "같은 Idempotency-Key로 다른 요청을 보낼 수 없습니다.",
                    "The same Idempotency-Key came with another request before."
                )
            )
        }
        Refusal::PaymentNotFound => {
            row!(
                l,
                NOT_FOUND,
                "결제를 찾을 수 없습니다",
                "There is no such payment",
                say!(l, "이 토큰에는 그런 결제가 없습니다.", "This token has no such payment.")
            )
        }
        Refusal::SaleNotFound => {
            row!(
                l,
                NOT_FOUND,
                "예매를 찾을 수 없습니다",
                "There is no such sale",
                say!(l, "그런 예매가 없습니다.", "There is no such sale.")
            )
        }
        Refusal::SaleExists => {
            row!(
                l,
                CONFLICT,
                "이미 있는 예매입니다",
                "There is another such sale",
                say!(
                    l,
                    "같은 이름의 다른 예매나 공연이 이미 있습니다.",
                    "Another sale, or another sale's performance, has that name already."
                )
            )
        }
        Refusal::WrongState => {
            row!(
                l,
                CONFLICT,
                "지금은 할 수 없습니다",
                "Not in this state",
                say!(
                    l,
                    "현재 상태에서는 할 수 없는 요청입니다.",
                    "That cannot be done in the present state."
                )
            )
        }
        Refusal::NotChangeable { field } => {
            row!(
                l,
                CONFLICT,
                "더 이상 바꿀 수 없습니다",
                "That can no longer change",
                not_changeable(field, l)
            )
        }
        Refusal::SeatsInUse { .. } => {
            let taken = fields.taken.as_ref().map_or("?".to_owned(), |taken| taken.join(", "));
            row!(
                l,
                CONFLICT,
                "선점되거나 판매된 좌석입니다",
                "Seats are held or sold",
                say!(
                    l,
                    "선점되었거나 판매된 좌석이 달라집니다: {taken}. 아무것도 바뀌지 않았습니다.",
                    "The change would touch seats that are held or sold: {taken}. Nothing was changed."
                )
            )
        }
        Refusal::LimitOutOfRange { name, min, max } => {
            row!(
                l,
                UNPROCESSABLE_ENTITY,
                "한도가 범위를 벗어났습니다",
                "A limit is out of range",
                say!(
                    l,
                    "{name}의 값은 {min}에서 {max} 사이여야 합니다.",
                    "{name} must lie between {min} and {max}."
                )
            )
        }
        Refusal::BadPlan { error } => {
            row!(
                l,
                UNPROCESSABLE_ENTITY,
                "좌석 배치가 올바르지 않습니다",
                "The plan cannot be sold",
                { bad_plan(error, l) }
            )
        }
        Refusal::BadSchedule => {
            row!(
                l,
                UNPROCESSABLE_ENTITY,
                "일정이 올바르지 않습니다",
                "The schedule is impossible",
                say!(l, "예매 마감은 시작보다 늦어야 합니다.", "A sale closes after it opens.")
            )
        }
        Refusal::SeatNotFree { .. } => {
            let taken = fields.taken.as_ref().map_or("?".to_owned(), |taken| taken.join(", "));
            row!(
                l,
                CONFLICT,
                "좌석의 상태가 다릅니다",
                "Seats in another state",
                say!(
                    l,
                    "그렇게 할 수 없는 좌석이 있습니다: {taken}",
                    "That cannot be done to these seats: {taken}"
                )
            )
        }
        Refusal::PoolNotFound => {
            row!(
                l,
                NOT_FOUND,
                "없는 구분입니다",
                "There is no such pool",
                say!(
                    l,
                    "이 예매에는 그런 좌석 구분이 없습니다.",
                    "The plan has no such pool of seats."
                )
            )
        }
    }
}

fn of_failure(failure: Failure, fields: &Fields, l: Language) -> Row {
    match failure {
        Failure::Overloaded => {
            row!(
                l,
                SERVICE_UNAVAILABLE,
                "요청이 몰리고 있습니다",
                "Too many requests at once",
                match (fields.limit, fields.max) {
                    (Some(limit), Some(max)) => say!(
                        l,
                        "요청이 처리되지 않았습니다({limit}: {max}). 잠시 후 다시 시도해 주세요.",
                        "Nothing was done ({limit}: {max}). Please try again in a moment."
                    ),
                    _ => say!(
                        l,
                        "요청이 처리되지 않았습니다. 잠시 후 다시 시도해 주세요.",
                        "Nothing was done. Please try again in a moment."
                    ),
                }
            )
        }
        Failure::Unavailable => {
            row!(
                l,
                SERVICE_UNAVAILABLE,
                "지금은 처리할 수 없습니다",
                "Not possible at present",
                say!(
                    l,
                    "요청이 처리되지 않았습니다. 잠시 후 다시 시도해 주세요.",
                    "Nothing was done. Please try again in a moment."
                )
            )
        }
        Failure::OutcomeUnknown => {
            row!(
                l,
                SERVICE_UNAVAILABLE,
                "결과를 알 수 없습니다",
                "The outcome is not known",
                match fields.max {
                    Some(seconds) => say!(
                        l,
                        "{seconds}초 안에 저장되지 않았습니다. 같은 Idempotency-Key로 다시 요청하면 결과를 \
                         알 수 있습니다.",
                        "It was not written within {seconds} seconds, and may have been done or not. \
                         Repeat it with the same Idempotency-Key to know."
                    ),
                    None => say!(
                        l,
                        "같은 Idempotency-Key로 다시 요청하면 결과를 알 수 있습니다.",
                        "It may have been done or not. Repeat it with the same Idempotency-Key to know."
                    ),
                }
            )
        }
    }
}

fn of_edge(edge: &Edge, fields: &Fields, l: Language) -> Row {
    match edge {
        Edge::MalformedRequest(flaw) => {
            row!(
                l,
                BAD_REQUEST,
                "요청을 읽을 수 없습니다",
                "The request cannot be read",
                { malformed(flaw, l) }
            )
        }
        Edge::IdempotencyKeyWeak => {
            row!(
                l,
                BAD_REQUEST,
                "추측할 수 있는 키입니다",
                "The key could be guessed",
                say!(
                    l,
                    "대기 신청의 Idempotency-Key는 128비트 이상 무작위여야 합니다: UUID v4, 16진수 32자, \
                 base32 26자 또는 base64url 22자 이상.",
                    "An Idempotency-Key that joins the line has 128 random bits: a UUID v4, or at least \
                 32 characters of hex, 26 of base32 or 22 of base64url."
                )
            )
        }
        Edge::UnsupportedMediaType => {
            row!(
                l,
                UNSUPPORTED_MEDIA_TYPE,
                "JSON이 아닙니다",
                "Not JSON",
                say!(
                    l,
                    "본문은 application/json이어야 합니다.",
                    "The body must be application/json."
                )
            )
        }
        Edge::BodyTooLarge { bytes_max } => {
            row!(
                l,
                PAYLOAD_TOO_LARGE,
                "본문이 너무 큽니다",
                "The body is too large",
                say!(
                    l,
                    "본문은 최대 {bytes_max}바이트입니다.",
                    "A body has at most {bytes_max} bytes."
                )
            )
        }
        Edge::HeadTooLarge { bytes_max } => {
            row!(
                l,
                REQUEST_HEADER_FIELDS_TOO_LARGE,
                "머리글이 너무 큽니다",
                "The head is too large",
                say!(
                    l,
                    "주소와 머리글은 모두 최대 {bytes_max}바이트, 머리글은 100개까지입니다.",
                    "Address and headers have at most {bytes_max} bytes in all, in at most 100 headers."
                )
            )
        }
        Edge::BodyTooSlow { wait_s } => {
            row!(
                l,
                REQUEST_TIMEOUT,
                "본문이 늦습니다",
                "The body was too slow",
                say!(
                    l,
                    "본문은 {wait_s}초 안에 와야 합니다.",
                    "A body has to come within {wait_s} seconds."
                )
            )
        }
        Edge::NotFound => row!(
            l,
            NOT_FOUND,
            "없는 주소입니다",
            "There is nothing here",
            say!(
                l,
                "이 주소에는 아무것도 없습니다. /docs를 보세요.",
                "There is nothing at this path. See /docs."
            )
        ),
        Edge::MethodNotAllowed => {
            row!(
                l,
                METHOD_NOT_ALLOWED,
                "지원하지 않는 메서드입니다",
                "Another method is needed",
                say!(
                    l,
                    "이 주소가 받는 메서드는 Allow 헤더에 있습니다.",
                    "The header Allow names the methods of this path."
                )
            )
        }
        Edge::TokenMissing => row!(
            l,
            UNAUTHORIZED,
            "토큰이 필요합니다",
            "A token is needed",
            say!(
                l,
                "POST /queue/token으로 토큰을 받아 Authorization: Bearer 헤더로 보내 주세요.",
                "Get a token at POST /queue/token and send it as Authorization: Bearer."
            )
        ),
        Edge::TokenExpired => {
            row!(
                l,
                UNAUTHORIZED,
                "토큰이 만료되었습니다",
                "The token has expired",
                say!(
                    l,
                    "이 토큰으로 POST /queue/token을 요청하면 같은 순서의 새 토큰을 받습니다.",
                    "POST /queue/token with this token gives a fresh one for the same place."
                )
            )
        }
        Edge::AdminKeyMissing => {
            row!(
                l,
                UNAUTHORIZED,
                "운영자 키가 필요합니다",
                "The admin key is needed",
                say!(
                    l,
                    "운영자 키를 Authorization: Bearer 헤더로 보내 주세요.",
                    "Send the admin key as Authorization: Bearer."
                )
            )
        }
        Edge::AdminKeyInvalid => {
            row!(
                l,
                UNAUTHORIZED,
                "운영자 키가 올바르지 않습니다",
                "Not the admin key",
                say!(l, "이 키로는 운영할 수 없습니다.", "This is not the key of this box office.")
            )
        }
        Edge::PerformanceNotFound => {
            row!(
                l,
                NOT_FOUND,
                "공연을 찾을 수 없습니다",
                "There is no such performance",
                say!(
                    l,
                    "그런 공연이 없거나 그 날짜에 공연이 없습니다.",
                    "There is no such performance, or none on that date."
                )
            )
        }
        Edge::SectionNotFound => {
            row!(
                l,
                NOT_FOUND,
                "없는 구역입니다",
                "There is no such section",
                say!(
                    l,
                    "이 공연에는 그런 구역이 없습니다.",
                    "This performance has no such section."
                )
            )
        }
        Edge::DateAmbiguous => {
            row!(
                l,
                CONFLICT,
                "그 날짜에 공연이 여러 개입니다",
                "Several performances that day",
                say!(l, "?performance_id=로 하나를 골라 주세요.", "Name one by ?performance_id=.")
            )
        }
        Edge::PaymentDeclined => {
            let reason = fields.reason.as_deref().unwrap_or_default();
            row!(
                l,
                PAYMENT_REQUIRED,
                "결제가 실패했습니다",
                "The payment was declined",
                say!(
                    l,
                    "결제가 승인되지 않았습니다({reason}). 빠져나간 금액이 있으면 모두 돌려드립니다.",
                    "The payment was not approved ({reason}). Any money taken goes back."
                )
            )
        }
        Edge::RateLimited { per_second, burst } => {
            row!(
                l,
                TOO_MANY_REQUESTS,
                "신청이 너무 잦습니다",
                "Too many joins",
                say!(
                    l,
                    "한 주소에서는 초당 {per_second}번, 한꺼번에 {burst}번까지 신청할 수 있습니다.",
                    "One address may join {per_second} times a second, and {burst} times at once."
                )
            )
        }
    }
}

fn malformed(flaw: &Flaw, l: Language) -> String {
    match flaw {
        Flaw::Body(why) => say!(
            l,
            "본문이 이 요청에 맞는 JSON이 아닙니다: {why}",
            "The body is not the JSON that is expected: {why}"
        ),
        Flaw::Head => say!(
            l,
            "HTTP/1.1 요청이 아니거나, 요청 줄이나 머리글이 올바르지 않습니다.",
            "It is not a request of HTTP/1.1, or its first line or a header is wrong."
        ),
        Flaw::BodyMissing => say!(l, "JSON 본문이 필요합니다.", "A body in JSON is needed."),
        Flaw::BodyBroken => {
            say!(l, "본문이 끝까지 오지 않았습니다.", "The body did not come to its end.")
        }
        Flaw::Query(why) => say!(
            l,
            "주소의 ? 뒤를 읽을 수 없습니다: {why}",
            "What follows the ? cannot be read: {why}"
        ),
        Flaw::Path => say!(l, "주소가 UTF-8이 아닙니다.", "The path is not UTF-8."),
        Flaw::Date => {
            say!(l, "날짜는 YYYY-MM-DD 형식이어야 합니다.", "A date is written YYYY-MM-DD.")
        }
        Flaw::IdempotencyKey => say!(
            l,
            "Idempotency-Key는 하나만, 보이는 ASCII 문자 1~{KEY_BYTES_MAX}자로 보내 주세요.",
            "Send one Idempotency-Key of 1 to {KEY_BYTES_MAX} visible ASCII characters."
        ),
        Flaw::SeatsTwice => say!(
            l,
            "seat_number, seat_numbers, best 가운데 하나만 보내 주세요.",
            "Send one of seat_number, seat_numbers and best."
        ),
        Flaw::Instrument => say!(
            l,
            "payment.method와 payment.token은 보이는 ASCII 문자로, 각각 64자와 255자까지입니다.",
            "payment.method and payment.token are visible ASCII, of at most 64 and 255 characters."
        ),
        Flaw::CardNumber => say!(
            l,
            "카드 번호를 보내지 마세요. 결제사가 준 토큰을 보내 주세요.",
            "Never send a card number; send the payment provider's token."
        ),
        Flaw::OperatorName => {
            let bytes_max = Warrant::BY_MAX;
            say!(
                l,
                "Operator-Name은 하나만, UTF-8 한 줄 1~{bytes_max}바이트로 보내 주세요.",
                "Send one Operator-Name, a line of UTF-8 of 1 to {bytes_max} bytes."
            )
        }
        Flaw::OperatorReason => {
            let bytes_max = Warrant::BECAUSE_MAX;
            say!(
                l,
                "Operator-Reason은 하나만, UTF-8 한 줄 1~{bytes_max}바이트로 보내 주세요.",
                "Send one Operator-Reason, a line of UTF-8 of 1 to {bytes_max} bytes."
            )
        }
    }
}

/// What of a sale stays as it is, as sentences.
fn not_changeable(field: &str, l: Language) -> String {
    let why = match field {
        "sections" => say!(
            l,
            "첫 구매자가 입장한 뒤에는 좌석을 더하거나 빼거나 번호를 바꿀 수 없습니다.",
            "Once the first buyer was let in, no seat is added, removed or given another number."
        ),
        "performances" => say!(
            l,
            "공연은 목록의 끝에 더할 수만 있습니다.",
            "Performances can only be added, at the end of the list."
        ),
        "pools" => say!(
            l,
            "첫 구매자가 입장한 뒤에는 좌석 구분을 목록의 끝에 더할 수만 있습니다.",
            "Once the first buyer was let in, pools can only be added, at the end of the list."
        ),
        "opens_at" => say!(
            l,
            "예매가 시작된 뒤에는 시작 시각을 바꿀 수 없습니다.",
            "The sale has opened, so `opens_at` can no longer be another."
        ),
        _ => say!(
            l,
            "{field} 항목은 더 이상 바꿀 수 없습니다.",
            "`{field}` can no longer be changed."
        ),
    };
    let nothing = say!(l, "아무것도 바뀌지 않았습니다.", "Nothing was changed.");
    format!("{why} {nothing}")
}

/// Why a plan cannot be sold, as a sentence.
pub(crate) fn bad_plan(error: &PlanError, l: Language) -> String {
    match error {
        PlanError::PerformanceCount => say!(
            l,
            "공연은 1개에서 {PERFORMANCES_MAX}개까지입니다.",
            "A sale has 1 to {PERFORMANCES_MAX} performances."
        ),
        PlanError::PerformanceTwice(id) => {
            say!(l, "{id} 공연이 두 번 있습니다.", "Performance {id} is there twice.")
        }
        PlanError::SeatCount => say!(
            l,
            "공연마다 좌석이 있어야 하고, 모두 {SEATS_MAX}석까지입니다.",
            "Every performance has a seat, and all together have at most {SEATS_MAX}."
        ),
        PlanError::SeatTwice(seat) => {
            say!(l, "{seat} 좌석이 두 번 있습니다.", "Seat {seat} is there twice.")
        }
        PlanError::UnknownGrade(seat) => {
            say!(
                l,
                "{seat} 좌석의 등급이 없습니다.",
                "Seat {seat} has a grade that does not exist."
            )
        }
        PlanError::UnknownPool(seat) => {
            say!(l, "{seat} 좌석의 구분이 없습니다.", "Seat {seat} has a pool that does not exist.")
        }
        PlanError::Price(grade) => {
            say!(
                l,
                "{grade} 등급의 가격이 너무 높습니다.",
                "The price of grade {grade} is too high."
            )
        }
        PlanError::Name(name) => say!(
            l,
            "이름은 1~{NAME_MAX}바이트여야 합니다: {name:?}",
            "A name has 1 to {NAME_MAX} bytes: {name:?}"
        ),
        PlanError::UnknownPlace(seat) => say!(
            l,
            "휠체어석이나 동반자석으로 적힌 {seat} 좌석이 없습니다.",
            "Seat {seat} of a wheelchair place does not exist."
        ),
        PlanError::PlaceTwice(seat) => say!(
            l,
            "{seat} 좌석이 휠체어석이나 동반자석으로 두 번 적혀 있습니다.",
            "Seat {seat} is a wheelchair place or a companion's seat twice."
        ),
        PlanError::TooMany => {
            say!(l, "구역이나 등급이 너무 많습니다.", "There are too many sections or grades.")
        }
    }
}

//! What a command names: whose it is, under which key, which seats, which reservation.

use domain::Command;
use domain::command::Wish;
use domain::id::{KeyHash, PaymentId, Place, ReservationId, SeatIndex};

/// Whose command it is, where a buyer's token comes with it.
pub(crate) fn place_of(command: &Command) -> Option<Place> {
    match command {
        Command::Leave { place }
        | Command::Hold { place, .. }
        | Command::GiveBack { place, .. }
        | Command::BeginPayment { place, .. } => Some(*place),
        Command::Join { .. }
        | Command::Seen { .. }
        | Command::SettlePayment { .. }
        | Command::SettleRefund { .. }
        | Command::Tick
        | Command::Resume { .. }
        | Command::Schedule(_)
        | Command::Open
        | Command::Pause
        | Command::Unpause
        | Command::Close
        | Command::ChangeLimits(_)
        | Command::Change(_)
        | Command::Withhold { .. }
        | Command::Release { .. } => None,
    }
}

/// The key of a visit's command, and the fingerprint of what is asked under it.
pub(crate) fn key_of(command: &Command) -> Option<(KeyHash, u64)> {
    let (Command::Hold { key, .. } | Command::BeginPayment { key, .. }) = command else {
        return None;
    };
    key.map(|key| (key.hash, key.body))
}

/// Whether a repetition of this can be told from a new one.
pub(crate) fn has_key(command: &Command) -> bool {
    if let Command::Join { keys, .. } = command {
        return keys.key.is_some();
    }
    key_of(command).is_some()
}

/// The payment that is to be begun.
pub(crate) fn payment_of(command: &Command) -> Option<PaymentId> {
    let Command::BeginPayment { payment, .. } = command else { return None };
    Some(*payment)
}

/// How many seats are asked for.
pub(crate) fn count_of(command: &Command) -> Option<usize> {
    if let Command::Hold { wish, .. } = command {
        return Some(wish.count());
    }
    seats_of(command).map(<[_]>::len)
}

/// A wish that leaves it to the box office which seats it will be.
pub(crate) fn best_of(command: &Command) -> Option<&Wish> {
    let Command::Hold { wish: wish @ Wish::Best { .. }, .. } = command else { return None };
    Some(wish)
}

/// The seats that are asked for by their numbers.
pub(crate) fn seats_of(command: &Command) -> Option<&[SeatIndex]> {
    let (Command::Hold { wish: Wish::Seats { seats, .. }, .. }
    | Command::Withhold { seats, .. }
    | Command::Release { seats }) = command
    else {
        return None;
    };
    Some(seats)
}

/// The reservation that is to be given back or paid for.
pub(crate) fn reservation_of(command: &Command) -> Option<ReservationId> {
    let (Command::GiveBack { reservation, .. } | Command::BeginPayment { reservation, .. }) =
        command
    else {
        return None;
    };
    Some(*reservation)
}

//! Money: whole numbers of a currency's smallest unit.

use std::fmt;
use std::iter::Sum;

use minicbor::decode::{self, Decoder};
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};

/// An amount in the smallest unit of the sale's currency: `100` is ₩100, or $1.00.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct Money(#[n(0)] pub u64);

impl Money {
    /// The highest price of a seat; no sum over a sale comes near 64 bits.
    pub const PRICE_MAX: Self = Self(1_000_000_000_000);
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), |mut sum, amount| {
            sum += amount;
            sum
        })
    }
}

impl std::ops::AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        // No sum of a sale comes near the end; only a damaged snapshot could, and must not panic.
        self.0 = self.0.saturating_add(other.0);
    }
}

/// A currency by its ISO 4217 code, three capital letters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Currency([u8; 3]);

impl Currency {
    /// South Korean won, without a smaller unit.
    pub const KRW: Self = Self(*b"KRW");

    /// Parses three capital letters.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        let code: [u8; 3] = code.as_bytes().try_into().ok()?;
        code.iter().all(u8::is_ascii_uppercase).then_some(Self(code))
    }

    /// The code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("parse lets only ASCII letters in")
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<C> Encode<C> for Currency {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.str(self.as_str())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Currency {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        Self::parse(d.str()?).ok_or_else(|| decode::Error::message("not a currency code"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_currency_is_three_capital_letters() {
        assert_eq!(Currency::parse("KRW"), Some(Currency::KRW));
        for wrong in ["", "krw", "KR", "KRWW", "KR1", "원원원", "K W"] {
            assert_eq!(Currency::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_dearest_sale_adds_up() {
        let seats = crate::plan::SEATS_MAX as u64;
        assert_eq!(Money::PRICE_MAX.0.checked_mul(seats), Some(2_000_000_000_000_000_000));
        assert_eq!([Money(1), Money(2)].into_iter().sum::<Money>(), Money(3));
    }
}

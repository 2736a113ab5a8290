//! Names and numbers that cannot be mixed up.
//!
//! An *index* counts within one sale (entries, visits, reservations, payments, seats) and is given
//! by the rules. An *id* is random, made at the edge, and means the same thing everywhere.

use std::fmt;
use std::sync::Arc;

use minicbor::bytes::ByteArray;
use minicbor::decode::Decoder;
use minicbor::encode::{Encoder, Write};
use minicbor::{Decode, Encode};

/// The characters of an id as people see it: Crockford's base 32 in lower case.
pub const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// An id as people see it, in `N` characters; `value` must fit into `5 * N` bits.
#[must_use]
pub fn spell<const N: usize>(mut value: u128) -> [u8; N] {
    let mut text = [0; N];
    for place in text.iter_mut().rev() {
        *place = ALPHABET[(value & 31) as usize];
        value >>= 5;
    }
    text
}

macro_rules! index {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
        #[cbor(transparent)]
        pub struct $name(#[n(0)] pub u32);

        impl $name {
            /// The number as a position in memory.
            #[must_use]
            pub fn at(self) -> usize {
                self.0 as usize
            }

            /// The index of what will stand behind `len` others.
            ///
            /// # Panics
            /// When `len` passes `u32::MAX`, which the limits of a sale keep far away.
            #[must_use]
            pub fn after(len: usize) -> Self {
                Self(u32::try_from(len).expect("a sale counts in 32 bits"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

index! {
    /// The n-th to join the line of a sale, from 0; never given twice.
    EntryIndex,
    /// The n-th admission of a sale, from 0.
    VisitIndex,
    /// The n-th reservation of a sale, from 0.
    ReservationIndex,
    /// The n-th payment of a sale, from 0.
    PaymentIndex,
    /// A seat of a sale, from 0, over all its performances in plan order.
    SeatIndex,
}

macro_rules! wide {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u128);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:032x})"), self.0)
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: Write>(
                &self,
                e: &mut Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(&self.0.to_be_bytes())?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(
                d: &mut Decoder<'b>,
                ctx: &mut C,
            ) -> Result<Self, minicbor::decode::Error> {
                let bytes: ByteArray<16> = d.decode_with(ctx)?;
                Ok(Self(u128::from_be_bytes(bytes.into())))
            }
        }
    )+};
}

wide! {
    /// A payment, to us and to the provider, whose idempotency key it is. Random.
    PaymentId,
    /// The hash of an `Idempotency-Key`; the key itself is a secret and stays at the edge.
    KeyHash,
    /// The hash of what identifies a buyer, where the organiser asks for that; opaque here.
    HolderKey,
}

/// What a file is known by: the SHA-256 of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileHash(pub [u8; 32]);

impl<C> Encode<C> for FileHash {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for FileHash {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        let bytes: ByteArray<32> = d.decode_with(ctx)?;
        Ok(Self(bytes.into()))
    }
}

/// A reservation, as buyers and operators name it. Random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct ReservationId(#[n(0)] pub u64);

/// What ties a queue token to one entry of one history: a random number kept with the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Nonce(#[n(0)] pub u32);

/// An entry as a token names it: who speaks in a buyer's command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Place {
    /// Which entry.
    #[n(0)]
    pub entry: EntryIndex,
    /// The entry's nonce, as the token says it.
    #[n(1)]
    pub nonce: Nonce,
}

/// A short text as people see it: a title, a row, a seat number, a provider's reason.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl std::ops::Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<T: Into<Arc<str>>> From<T> for Name {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! text {
    ($name:ident, $read:expr) => {
        impl<C> Encode<C> for $name {
            fn encode<W: Write>(
                &self,
                e: &mut Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.str(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                $read(d.str()?).ok_or_else(|| minicbor::decode::Error::message("not a slug"))
            }
        }
    };
}

text!(Name, |text: &str| Some(Self(text.into())));

macro_rules! slug {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses 1 to 64 of `a-z`, `0-9` and `-`.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                let sound = (1..=64).contains(&text.len())
                    && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
                sound.then(|| Self(text.into()))
            }

            /// The text as it was parsed.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        text!($name, Self::parse);
    )+};
}

slug! {
    /// A sale's name, given by the organiser: `spring-tour`.
    SaleId,
    /// A performance's name, given by the organiser, unique in the store: `spring-tour-seoul-1`.
    PerformanceId,
}

pub(crate) mod list {
    //! A shared list in the journal or a snapshot, for `#[cbor(with)]`.
    use std::sync::Arc;

    use minicbor::decode::{self, Decoder};
    use minicbor::encode::{self, Encoder, Write};
    use minicbor::{Decode, Encode};

    pub(crate) fn encode<C, T: Encode<C>, W: Write>(
        list: &Arc<[T]>,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.encode_with(list.as_ref(), ctx)?.ok()
    }

    pub(crate) fn decode<'b, C, T: Decode<'b, C>>(
        d: &mut Decoder<'b>,
        ctx: &mut C,
    ) -> Result<Arc<[T]>, decode::Error> {
        let list: Vec<T> = d.decode_with(ctx)?;
        Ok(list.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_short_and_plain() {
        for sound in ["a", "spring-tour-2026", &"x".repeat(64)] {
            assert_eq!(SaleId::parse(sound).unwrap().as_str(), sound);
        }
        for wrong in ["", "Spring", "a b", "a/b", "봄", &"x".repeat(65)] {
            assert_eq!(SaleId::parse(wrong), None, "{wrong:?}");
            let bytes = minicbor::to_vec(wrong).unwrap();
            assert!(minicbor::decode::<SaleId>(&bytes).is_err(), "{wrong:?} from a journal");
        }
    }

    #[test]
    fn a_wide_id_is_sixteen_bytes_and_no_other_number_of_them() {
        let id = PaymentId(u128::MAX - 5);
        let bytes = minicbor::to_vec(id).unwrap();
        assert_eq!(minicbor::decode::<PaymentId>(&bytes).unwrap(), id);
        let short = minicbor::to_vec(minicbor::bytes::ByteVec::from(vec![1; 15])).unwrap();
        assert!(minicbor::decode::<PaymentId>(&short).is_err());
    }
}

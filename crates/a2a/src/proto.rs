//! How ProtoJSON may be written, beyond what serde reads by itself.
//!
//! `null` stands for a field's default, numbers may come as text, enums as integers, bytes in either alphabet of base64
//! with or without padding. Raw values are checked once, so that what is carried on as text can be read by everybody.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use bivouac_protocol::Json;
use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Unexpected, Visitor},
};
use std::fmt;

/// How deep lists and objects may lie in each other within a raw value; other readers stop near a hundred.
pub(crate) const MAX_DATA_DEPTH: usize = 64;

/// Reads a field whose `null` means its default.
pub(crate) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Reads a text of which the empty one means that there is none.
pub(crate) fn some_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty()))
}

/// Reads a 32-bit integer, which may be written as text or with a fraction of zero.
pub(crate) fn int32<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i32>, D::Error> {
    deserializer.deserialize_any(Int32)
}

/// Reads a 32-bit integer without presence: unset is zero.
pub(crate) fn int32_or_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    int32(deserializer).map(Option::unwrap_or_default)
}

/// A 32-bit integer as text, such as in a query.
pub(crate) fn int32_of_text(text: &str) -> Option<i32> {
    text.parse().ok().or_else(|| text.parse().ok().and_then(int32_of_float))
}

fn int32_of_float(value: f64) -> Option<i32> {
    let whole = value.fract() == 0.0 && value >= f64::from(i32::MIN) && value <= f64::from(i32::MAX);
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and within the type's range")]
    whole.then_some(value as i32)
}

struct Int32;

impl Visitor<'_> for Int32 {
    type Value = Option<i32>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a 32-bit integer, as a number or as text")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        i32::try_from(value).map(Some).map_err(|_| E::invalid_value(Unexpected::Signed(value), &self))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        i32::try_from(value).map(Some).map_err(|_| E::invalid_value(Unexpected::Unsigned(value), &self))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        int32_of_float(value).map(Some).ok_or_else(|| E::invalid_value(Unexpected::Float(value), &self))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        int32_of_text(value).map(Some).ok_or_else(|| E::invalid_value(Unexpected::Str(value), &self))
    }
}

/// Base64 that takes what the standard alphabet writes, padded or not, with whatever bits trail.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Reads bytes as base64 in the standard or the URL-safe alphabet, padded or not.
pub(crate) fn bytes_of_text(text: &str) -> Option<Bytes> {
    let standard = text.replace('-', "+").replace('_', "/");
    LENIENT.decode(standard).ok().map(Bytes::from)
}

/// Writes bytes as base64 in the standard alphabet, padded.
pub(crate) fn text_of_bytes(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads any JSON value that is there, `null` too, and keeps its text.
pub(crate) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    value(deserializer).map(Some)
}

/// Reads any JSON value and keeps its text.
pub(crate) fn value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
    let json = Json::deserialize(deserializer)?;
    check_value(json.text()).map_err(D::Error::custom)?;
    Ok(json)
}

/// Whether a JSON text is one that every reader takes: within [`MAX_DATA_DEPTH`], its strings and numbers well formed.
pub(crate) fn check_value(text: &str) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Strict { depth: MAX_DATA_DEPTH }.deserialize(&mut deserializer)?;
    deserializer.end()
}

/// Walks a value and keeps nothing of it.
struct Strict {
    depth: usize,
}

impl Strict {
    fn inside<E: Error>(&self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| {
            E::custom(format_args!("lists and objects lie deeper than {MAX_DATA_DEPTH} in each other: send it flatter"))
        })?;
        Ok(Self { depth })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(self.inside()?)?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key_seed(Self { depth: self.depth })?.is_some() {
            map.next_value_seed(self.inside()?)?;
        }
        Ok(())
    }
}

/// Writes an integer that is only there when it is set.
pub(crate) fn is_zero(value: &i32) -> bool {
    *value == 0
}

/// Writes a flag that is only there when it is up.
pub(crate) fn is_false(value: &bool) -> bool {
    !*value
}

/// An enum of the protocol: written by name, read by name or number.
macro_rules! proto_enum {
    ($(#[$meta:meta])* $name:ident, $what:literal { $($(#[$doc:meta])* $variant:ident = $number:literal, $text:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The value's name, as it is written.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The value's number.
            #[must_use]
            pub const fn number(self) -> i32 {
                match self { $(Self::$variant => $number,)* }
            }

            /// The value of that name.
            #[must_use]
            pub fn of_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)* _ => None }
            }

            /// The value of that number.
            #[must_use]
            pub const fn of_number(number: i64) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct ByNameOrNumber;
                impl serde::de::Visitor<'_> for ByNameOrNumber {
                    type Value = $name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("the name or the number of a ", $what))
                    }
                    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<$name, E> {
                        $name::of_name(name).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(name), &self))
                    }
                    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<$name, E> {
                        $name::of_number(number)
                            .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Signed(number), &self))
                    }
                    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<$name, E> {
                        i64::try_from(number)
                            .ok()
                            .and_then($name::of_number)
                            .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Unsigned(number), &self))
                    }
                }
                deserializer.deserialize_any(ByNameOrNumber)
            }
        }
    };
}
pub(crate) use proto_enum;

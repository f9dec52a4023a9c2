//! Parts of JSON that forms of other people are made of.

use super::items::ItemFaultKind;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

impl From<serde_json::Error> for ItemFaultKind {
    fn from(error: serde_json::Error) -> ItemFaultKind {
        // Where in the item it is would be taken for where in the body.
        let what = error.to_string();
        let what = what.split(" at line ").next().unwrap_or_default().to_owned();
        ItemFaultKind::Json { what }
    }
}

/// Reads a value.
pub(super) fn value<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, serde_json::Error> {
    serde_json::from_str(json)
}

/// Reads an object. serde alone would take an array, too: the fields in their order.
pub(super) fn object<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, serde_json::Error> {
    match json.trim_ascii_start().starts_with('{') {
        true => serde_json::from_str(json),
        false => Err(Error::custom("this is no object")),
    }
}

/// Hands each element of an array to `take`, until one fails; `null` and nothing are empty.
pub(super) fn elements<'a>(
    array: Option<&'a RawValue>,
    take: impl FnMut(&'a RawValue) -> Result<(), ItemFaultKind>,
) -> Result<(), ItemFaultKind> {
    struct Elements<F>(F);
    impl<'de, F: FnMut(&'de RawValue) -> Result<(), ItemFaultKind>> Visitor<'de> for Elements<F> {
        type Value = Result<(), ItemFaultKind>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut array: A) -> Result<Self::Value, A::Error> {
            let mut taken = Ok(());
            // It is read to its end, as serde wants.
            while let Some(element) = array.next_element()? {
                if taken.is_ok() {
                    taken = (self.0)(element);
                }
            }
            Ok(taken)
        }
    }
    let Some(array) = array else { return Ok(()) };
    let mut json = serde_json::Deserializer::from_str(array.get());
    json.deserialize_seq(Elements(take))?
}

/// A string, borrowed from the body unless it has escapes.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Text<'a>(pub Cow<'a, str>);

impl<'a> Text<'a> {
    pub fn or_empty(text: Option<Text<'a>>) -> Cow<'a, str> {
        text.map_or(Cow::Borrowed(""), |text| text.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text<'a>, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// A whole number, written as a number or as a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole(i128);

impl Whole {
    /// As a narrower one.
    pub fn get<T: TryFrom<i128>>(self) -> Result<T, ItemFaultKind> {
        let what = || format!("the whole number {} is out of range", self.0);
        T::try_from(self.0).map_err(|_| ItemFaultKind::Json { what: what() })
    }
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Whole, D::Error> {
        struct WholeVisitor;
        impl Visitor<'_> for WholeVisitor {
            type Value = Whole;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number, as such or as a string")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Whole, E> {
                Ok(Whole(number.into()))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Whole, E> {
                Ok(Whole(number.into()))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Whole, E> {
                // `1e3` is one; beyond 2^53 a float may stand for another than was meant.
                match number.fract() == 0.0 && number.abs() <= 2_f64.powi(53) {
                    true => Ok(Whole(number as i128)),
                    false => Err(E::custom(format_args!("{number} is no whole number"))),
                }
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Whole, E> {
                let whole = text.parse().map_err(|_| E::custom("a string that is no whole number"));
                whole.map(Whole)
            }
        }
        deserializer.deserialize_any(WholeVisitor)
    }
}

/// A float, written as a number or as a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Double(pub f64);

impl Double {
    pub fn or_zero(double: Option<Double>) -> f64 {
        double.map_or(0.0, |double| double.0)
    }
}

impl<'de> Deserialize<'de> for Double {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Double, D::Error> {
        struct DoubleVisitor;
        impl Visitor<'_> for DoubleVisitor {
            type Value = Double;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, as such or as a string")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Double, E> {
                Ok(Double(number as f64))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Double, E> {
                Ok(Double(number as f64))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Double, E> {
                Ok(Double(number))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Double, E> {
                match text {
                    "NaN" => Ok(Double(f64::NAN)),
                    "Infinity" => Ok(Double(f64::INFINITY)),
                    "-Infinity" => Ok(Double(f64::NEG_INFINITY)),
                    _ if text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => {
                        let number = text.parse();
                        number.map(Double).map_err(|_| E::custom("a string that is no number"))
                    }
                    _ => Err(E::custom("a string that is no number")),
                }
            }
        }
        deserializer.deserialize_any(DoubleVisitor)
    }
}

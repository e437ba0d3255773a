//! Reading JSON as the clients of this dialect write it, straight into typed structs.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::DecodeError;

/// Declares a struct that is read from a JSON object: keys match whatever their case, `null` leaves a field at its
/// default, unknown keys are skipped, and a known key may come only once.
macro_rules! object {
    ($(#[$doc:meta])* struct $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        struct $name { $($(#[$field_doc])* $field: $type,)* }

        impl $crate::dtm::json::Object for $name {
            const KEYS: &'static [&'static str] = &[$(stringify!($field)),*];

            fn read<'de, A: serde::de::MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
                $(if key == stringify!($field) {
                    self.$field = map.next_value::<Option<$type>>()?.unwrap_or_default();
                })*
                Ok(())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_map($crate::dtm::json::ObjectVisitor::new())
            }
        }
    };
}
pub(super) use object;

/// What [`object!`] implements.
pub(super) trait Object: Default {
    /// The known keys, in lower case.
    const KEYS: &'static [&'static str];

    /// Reads the value of one of them.
    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error>;
}

/// Reads an [`Object`].
pub(super) struct ObjectVisitor<T>(PhantomData<T>);

impl<T> ObjectVisitor<T> {
    pub(super) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<'de, T: Object> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        const { assert!(T::KEYS.len() <= 64, "`seen` has one bit per key") };
        let mut object = T::default();
        let mut seen = 0_u64;
        while let Some(known) = map.next_key_seed(KnownKey(T::KEYS))? {
            let Some(index) = known else {
                map.next_value_seed(Skip(SKIPPED_DEPTH_MAX))?;
                continue;
            };
            let key = T::KEYS[index];
            if seen & (1 << index) != 0 {
                return Err(Error::custom(format_args!("{key} is given twice")));
            }
            seen |= 1 << index;
            object.read(key, &mut map).map_err(|e| Error::custom(format_args!("{key}: {e}")))?;
        }
        Ok(object)
    }
}

/// Finds a key among the known ones, whatever its case.
struct KnownKey(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for KnownKey {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KnownKey {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|known| known.eq_ignore_ascii_case(key)))
    }
}

/// Lists and objects within each other in a value that nobody looks at; with the body's own object there are 64.
const SKIPPED_DEPTH_MAX: usize = 63;

/// Reads any value of at most this depth and throws it away.
#[derive(Clone, Copy)]
struct Skip(usize);

impl Skip {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| E::custom("too many lists and objects within each other"))
    }
}

impl<'de> DeserializeSeed<'de> for Skip {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Skip {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
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

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while seq.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while map.next_key::<IgnoredAny>()?.is_some() {
            map.next_value_seed(inner)?;
        }
        Ok(())
    }
}

/// A list of which at most `MAX` entries are kept and all are counted; `null` among them is the default.
#[derive(Debug)]
pub(super) struct List<T, const MAX: usize> {
    kept: Vec<T>,
    count: usize,
}

impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        Self { kept: Vec::new(), count: 0 }
    }
}

impl<T, const MAX: usize> List<T, MAX> {
    /// The entries, if there are not too many; `what` names the list.
    pub(super) fn entries(self, what: &'static str) -> Result<Vec<T>, DecodeError> {
        within(what, self.count, MAX)?;
        Ok(self.kept)
    }
}

fn within(what: &'static str, count: usize, max: usize) -> Result<(), DecodeError> {
    if count > max { Err(DecodeError::TooMany { what, count, max }) } else { Ok(()) }
}

impl<'de, T: Deserialize<'de> + Default, const MAX: usize> Deserialize<'de> for List<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

struct ListVisitor<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Default, const MAX: usize> Visitor<'de> for ListVisitor<T, MAX> {
    type Value = List<T, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut list = List::default();
        while list.count < MAX {
            let Some(entry) = seq.next_element::<Option<T>>()? else { return Ok(list) };
            list.kept.push(entry.unwrap_or_default());
            list.count += 1;
        }
        while seq.next_element_seed(Skip(SKIPPED_DEPTH_MAX))?.is_some() {
            list.count += 1;
        }
        Ok(list)
    }
}

/// A map of texts in the order given, of which at most `MAX` are kept and all are counted; `[]` is an empty one.
#[derive(Debug, Default)]
pub(super) struct TextMap<const MAX: usize> {
    kept: Vec<(String, String)>,
    count: usize,
}

impl<const MAX: usize> TextMap<MAX> {
    /// The entries, if there are not too many; `what` names the map.
    pub(super) fn entries(self, what: &'static str) -> Result<Vec<(String, String)>, DecodeError> {
        within(what, self.count, MAX)?;
        Ok(self.kept)
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for TextMap<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextMapVisitor::<MAX>)
    }
}

struct TextMapVisitor<const MAX: usize>;

impl<'de, const MAX: usize> Visitor<'de> for TextMapVisitor<MAX> {
    type Value = TextMap<MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with text values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut texts = TextMap::default();
        while texts.count < MAX {
            let Some((key, text)) = map.next_entry::<String, Option<String>>()? else { return Ok(texts) };
            if texts.kept.iter().any(|(known, _)| *known == key) {
                return Err(Error::custom(format_args!("{key} is given twice")));
            }
            texts.kept.push((key, text.unwrap_or_default()));
            texts.count += 1;
        }
        while map.next_key::<IgnoredAny>()?.is_some() {
            map.next_value_seed(Skip(SKIPPED_DEPTH_MAX))?;
            texts.count += 1;
        }
        Ok(texts)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        match seq.next_element_seed(Skip(SKIPPED_DEPTH_MAX))? {
            None => Ok(TextMap::default()),
            Some(_) => Err(Error::custom("a list that is not empty, expected an object")),
        }
    }
}

/// A text, or a whole number or truth value as text: some clients write branch ids so. A fraction is refused, since its
/// digits could not be kept.
#[derive(Debug, Default)]
pub(super) struct Scalar(pub(super) String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a whole number or a truth value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar(text.to_owned()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar(number.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Scalar, E> {
        Ok(Scalar(number.to_string()))
    }
}

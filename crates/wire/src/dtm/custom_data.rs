//! The text field in which a saga says in what order its steps run, and a message how long it waits.

use std::fmt;
use std::time::Duration;

use escrow_txn::{Pattern, limits};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::json::{List, object};
use super::{CUSTOM_DATA_BYTES_MAX, DecodeError};

/// What `custom_data` says to the coordinator.
#[derive(Debug, Default)]
pub(super) struct CustomData {
    /// Saga: steps run side by side.
    pub(super) concurrent: bool,
    /// Saga: for each step, the earlier steps it waits for.
    pub(super) orders: Vec<Vec<u16>>,
    /// Message: how long after its creation the first delivery may leave.
    pub(super) delay: Option<Duration>,
}

object! {
    /// Of a saga: `{"concurrent":true,"orders":{"2":[0,1]}}`.
    struct OfSaga {
        concurrent: bool,
        orders: Orders,
    }
}

object! {
    /// Of a message: `{"delay":60}`, in seconds.
    struct OfMessage {
        delay: u32,
    }
}

impl CustomData {
    /// Reads the text of a saga or message; that of the others is free.
    pub(super) fn parse(pattern: Pattern, text: &str) -> Result<Self, DecodeError> {
        if text.len() > CUSTOM_DATA_BYTES_MAX {
            return Err(DecodeError::TooLarge { what: "custom_data", bytes: text.len(), max: CUSTOM_DATA_BYTES_MAX });
        }
        if text.is_empty() {
            return Ok(Self::default());
        }
        match pattern {
            Pattern::Saga => {
                let custom = read::<OfSaga>(pattern, text)?;
                Ok(Self { concurrent: custom.concurrent, orders: custom.orders.steps()?, delay: None })
            }
            Pattern::Message => {
                let custom = read::<OfMessage>(pattern, text)?;
                Ok(Self { delay: super::transaction::seconds(custom.delay), ..Self::default() })
            }
            Pattern::Tcc | Pattern::Xa => Ok(Self::default()),
        }
    }
}

fn read<'a, T: Deserialize<'a> + Default>(pattern: Pattern, text: &'a str) -> Result<T, DecodeError> {
    let custom = serde_json::from_str::<Option<T>>(text);
    custom.map(Option::unwrap_or_default).map_err(|source| DecodeError::InvalidCustomData { pattern, source })
}

type Earlier = List<u16, { limits::ORDERS_MAX }>;

/// The orders of a saga's steps: from the number of a step, counted from 0, to those it waits for. PHP writes a map whose
/// keys are 0, 1, 2, ... as a list.
#[derive(Debug, Default)]
struct Orders(Vec<Earlier>);

impl Orders {
    fn set<E: Error>(&mut self, step: usize, earlier: Option<Earlier>) -> Result<(), E> {
        if step >= limits::BRANCHES_MAX {
            return Err(E::custom(format_args!("step {step} is past the {} allowed", limits::BRANCHES_MAX)));
        }
        if self.0.len() <= step {
            self.0.resize_with(step + 1, Earlier::default);
        }
        self.0[step] = earlier.unwrap_or_default();
        Ok(())
    }

    fn steps(self) -> Result<Vec<Vec<u16>>, DecodeError> {
        self.0.into_iter().map(|earlier| earlier.entries("the list of a step in orders")).collect()
    }
}

impl<'de> Deserialize<'de> for Orders {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OrdersVisitor)
    }
}

struct OrdersVisitor;

impl<'de> Visitor<'de> for OrdersVisitor {
    type Value = Orders;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object from step numbers to lists of step numbers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Orders, A::Error> {
        let mut orders = Orders::default();
        let mut seen = std::collections::BTreeSet::new();
        while let Some((key, earlier)) = map.next_entry::<String, Option<Earlier>>()? {
            let step = key.parse().map_err(|_| A::Error::custom("a key is no step number"))?;
            if !seen.insert(step) {
                return Err(A::Error::custom(format_args!("step {step} is given twice")));
            }
            orders.set(step, earlier)?;
        }
        Ok(orders)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Orders, A::Error> {
        let mut orders = Orders::default();
        let mut step = 0;
        while let Some(earlier) = seq.next_element::<Option<Earlier>>()? {
            orders.set(step, earlier)?;
            step += 1;
        }
        Ok(orders)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saga(text: &str) -> Result<CustomData, DecodeError> {
        CustomData::parse(Pattern::Saga, text)
    }

    #[test]
    fn a_saga_names_its_orders_by_text_keys_or_as_a_list() {
        for text in [
            r#"{"concurrent":true,"orders":{"2":[0,1],"1":[0]}}"#,
            r#"{"Orders":{"01":[0],"2":[0,1]},"CONCURRENT":true,"else":[{}]}"#,
            r#"{"concurrent":true,"orders":[[],[0],[0,1]]}"#,
            r#"{"concurrent":true,"orders":[null,[0],[0,1]]}"#,
        ] {
            let custom = saga(text).unwrap();
            assert!(custom.concurrent, "{text}");
            assert_eq!(custom.orders, [vec![], vec![0], vec![0, 1]], "{text}");
        }
    }

    #[test]
    fn what_says_nothing_is_the_default() {
        for text in ["", "null", "{}", r#"{"concurrent":null,"orders":null}"#, r#"{"orders":[]}"#, r#"{"orders":{}}"#] {
            let custom = saga(text).unwrap();
            assert!(!custom.concurrent && custom.orders.is_empty(), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_for_sagas_and_messages_and_free_for_the_others() {
        for text in ["x", "[]", r#"{"concurrent":1}"#, r#"{"orders":{"a":[0]}}"#, r#"{"orders":{"1":[-1]}}"#, "{} {}"] {
            assert_eq!(saga(text).unwrap_err().code(), "invalid_custom_data", "{text}");
        }
        for text in ["x", r#"{"delay":1.5}"#, r#"{"delay":-1}"#, r#"{"delay":"1"}"#] {
            let refused = CustomData::parse(Pattern::Message, text).unwrap_err();
            assert_eq!(refused.code(), "invalid_custom_data", "{text}");
        }
        CustomData::parse(Pattern::Tcc, "x").unwrap();
        CustomData::parse(Pattern::Xa, "x").unwrap();
    }

    #[test]
    fn the_orders_of_one_step_cannot_be_given_twice() {
        assert!(saga(r#"{"orders":{"1":[0],"01":[]}}"#).unwrap_err().to_string().contains("step 1 is given twice"));
    }

    #[test]
    fn a_step_number_past_the_limit_is_refused_before_room_is_made_for_it() {
        assert!(saga(r#"{"orders":{"18446744073709551615":[0]}}"#).is_err());
        assert!(saga(r#"{"orders":{"1000":[0]}}"#).is_err());
        assert_eq!(saga(r#"{"orders":{"999":[0]}}"#).unwrap().orders.len(), 1_000);
    }

    #[test]
    fn one_step_cannot_wait_for_more_than_all_steps_may() {
        let of = |count: usize| saga(&format!(r#"{{"orders":{{"1":[{}]}}}}"#, vec!["0"; count].join(",")));
        assert_eq!(of(limits::ORDERS_MAX).unwrap().orders[1].len(), limits::ORDERS_MAX);
        assert_eq!(of(limits::ORDERS_MAX + 1).unwrap_err().code(), "too_large");
    }

    #[test]
    fn a_message_says_its_delay_in_seconds() {
        let delay = |text| CustomData::parse(Pattern::Message, text).unwrap().delay;
        assert_eq!(delay(r#"{"delay":3}"#), Some(Duration::from_secs(3)));
        assert_eq!(delay(r#"{"delay":0}"#), None);
        assert_eq!(delay("{}"), None);
    }
}

use std::fmt;
use std::sync::Arc;

use crate::limits;

/// Why a text cannot be an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidId {
    /// Ids are not empty.
    #[error("is empty")]
    Empty,
    /// Ids have a bounded length.
    #[error("is longer than {max} characters")]
    TooLong {
        /// The longest length allowed, in characters.
        max: usize,
    },
    /// Ids travel in URLs, headers and logs, so control characters are refused.
    #[error("contains a control character")]
    ControlCharacter,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a text over as an id.
            ///
            /// # Errors
            /// [`InvalidId`] says which rule the text breaks: not empty, not too long, no control characters.
            pub fn parse(text: impl AsRef<str>) -> Result<Self, InvalidId> {
                let text = text.as_ref();
                if text.is_empty() {
                    return Err(InvalidId::Empty);
                }
                if text.len() > $max && text.chars().count() > $max {
                    return Err(InvalidId::TooLong { max: $max });
                }
                if text.chars().any(char::is_control) {
                    return Err(InvalidId::ControlCharacter);
                }
                Ok(Self(text.into()))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

text_id!(
    /// The id of a global transaction: chosen by the initiator, unique for the whole retention period.
    Gid,
    limits::ID_CHARS_MAX
);
text_id!(
    /// The id of one branch within its transaction.
    BranchId,
    limits::ID_CHARS_MAX
);
text_id!(
    /// The name of a topic, which messages can be addressed to.
    TopicName,
    limits::ID_CHARS_MAX
);
text_id!(
    /// What people know a transaction by, such as an order number. Not unique.
    BusinessKey,
    limits::BUSINESS_KEY_CHARS_MAX
);

impl BranchId {
    /// The id of step `index` (from 0) of a saga or message: two digits of the number counted from 1.
    pub fn of_step(index: usize) -> Self {
        Self(format!("{:02}", index + 1).into())
    }

    /// The id of subscriber `index` (from 0) of a topic that this step is addressed to.
    pub fn of_subscriber(&self, index: usize) -> Self {
        Self(format!("{self}-{:02}", index + 1).into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn any_printable_character_may_stand_in_a_gid() {
        for text in ["a", "gid with '  ' quotes", "订单-1", &"x".repeat(128), &"单".repeat(128)] {
            assert_eq!(Gid::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn an_empty_long_or_control_text_is_no_id() {
        assert_eq!(Gid::parse(""), Err(InvalidId::Empty));
        assert_eq!(Gid::parse("x".repeat(129)), Err(InvalidId::TooLong { max: 128 }));
        assert_eq!(Gid::parse("a\u{7}"), Err(InvalidId::ControlCharacter));
    }

    #[test]
    fn every_kind_of_id_ends_at_its_limit() {
        let characters = |count: usize| "单".repeat(count);
        assert!(BranchId::parse(characters(limits::ID_CHARS_MAX)).is_ok());
        assert_eq!(
            BranchId::parse(characters(limits::ID_CHARS_MAX + 1)),
            Err(InvalidId::TooLong { max: limits::ID_CHARS_MAX })
        );
        assert!(BusinessKey::parse(characters(limits::BUSINESS_KEY_CHARS_MAX)).is_ok());
        assert_eq!(
            BusinessKey::parse(characters(limits::BUSINESS_KEY_CHARS_MAX + 1)),
            Err(InvalidId::TooLong { max: limits::BUSINESS_KEY_CHARS_MAX })
        );
    }

    proptest! {
        #[test]
        fn a_text_is_an_id_as_it_is_or_not_at_all(text in any::<String>()) {
            let bad = text.is_empty() || text.chars().count() > limits::ID_CHARS_MAX || text.chars().any(char::is_control);
            prop_assert_eq!(Gid::parse(&text).map(|gid| gid.to_string()).ok(), (!bad).then_some(text));
        }
    }

    #[test]
    fn step_ids_have_two_digits_and_grow_past_them() {
        assert_eq!(BranchId::of_step(0).as_str(), "01");
        assert_eq!(BranchId::of_step(99).as_str(), "100");
        assert_eq!(BranchId::of_step(0).of_subscriber(11).as_str(), "01-12");
    }
}

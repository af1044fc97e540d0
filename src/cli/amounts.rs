//! `KEY=AMOUNT` words.

use serde_json::{Value, json};

use crate::policy::{Key, LeaseId, Mistake};

/// How much of one limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyAmount {
    key: Key,
    amount: u64,
}

impl KeyAmount {
    /// Reads `KEY=AMOUNT`.
    pub(super) fn parse(word: &str) -> Result<Self, String> {
        let Some((key, amount)) = word.rsplit_once('=') else {
            return Err(format!("`{word}` names no amount; write `KEY=AMOUNT`, for example `{word}=1`"));
        };
        let key = Key::parse(key).map_err(|mistake| mistake.under("KEY").to_string())?;
        let amount = amount.parse().map_err(|_| format!("`AMOUNT` is `{amount}`; use a whole number from 0"))?;
        Ok(Self { key, amount })
    }
}

/// The amounts as requests carry them.
pub(super) fn to_json(amounts: &[KeyAmount]) -> Value {
    amounts.iter().map(|of| json!({"key": of.key.as_str(), "amount": of.amount})).collect()
}

/// Reads a lease id.
pub(super) fn parse_lease_id(word: &str) -> Result<LeaseId, String> {
    LeaseId::parse(word).map_err(|mistake: Mistake| mistake.under("lease_id").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_amounts() {
        let words = ["global:llm:openai:gpt-4o:rpm=1", "a/b@c+d=18446744073709551615"];
        let amounts = words.map(|word| KeyAmount::parse(word).expect("a good word"));
        assert_eq!(
            to_json(&amounts),
            json!([
                {"key": "global:llm:openai:gpt-4o:rpm", "amount": 1},
                {"key": "a/b@c+d", "amount": u64::MAX},
            ])
        );
        assert_eq!(to_json(&[]), json!([]));
    }

    #[test]
    fn a_wrong_word_says_what_to_write() {
        for (word, told) in [
            ("rpm", "`rpm` names no amount; write `KEY=AMOUNT`, for example `rpm=1`"),
            ("rpm=many", "`AMOUNT` is `many`; use a whole number from 0"),
            ("rpm=-1", "`AMOUNT` is `-1`; use a whole number from 0"),
            ("=1", "`KEY` is empty; name the limit, for example `global:llm:openai:gpt-4o:rpm`"),
            ("a=b=1", "`KEY` has `=` at byte 1; use only letters, digits and `.` `_` `:` `/` `@` `+` `-`"),
        ] {
            assert_eq!(KeyAmount::parse(word), Err(told.to_owned()));
        }
        assert!(parse_lease_id("x").is_err_and(|told| told.starts_with("`lease_id` is `x`, which is no ULID;")));
    }
}

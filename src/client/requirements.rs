//! What a call of an LLM reserves, by the names that its limits have by convention.

use crate::policy::{Amounts, InvalidRequest, Key, Mistake};

/// How many tokens a prompt has at most.
pub trait PromptEstimator: Send + Sync {
    /// No fewer than the provider will count. `model` is its own name for it.
    fn tokens_max(&self, model: &str, prompt: &str) -> u64;
}

/// A token for each byte: more than any tokenizer makes of a text that works on bytes, as those of the large providers
/// do. What a provider adds around messages is not in it.
#[derive(Clone, Copy, Debug, Default)]
pub struct PromptBytes;

impl PromptEstimator for PromptBytes {
    fn tokens_max(&self, _: &str, prompt: &str) -> u64 {
        u64::try_from(prompt.len()).unwrap_or(u64::MAX)
    }
}

/// One call of an LLM, as far as its limits need to know it.
#[derive(Clone, Copy, Debug)]
pub struct LlmCall<'a> {
    /// Whose model, such as `openai`.
    pub provider: &'a str,
    /// Which, such as `gpt-4o`.
    pub model: &'a str,
    /// For whom, if tenants have limits of their own.
    pub tenant: Option<&'a str>,
    /// All that is sent.
    pub prompt: &'a str,
    /// The most that may be answered.
    pub max_output_tokens: u64,
}

/// What `call` reserves: one request, one call at once and its tokens of `global:llm:<provider>:<model>:{rpm,tpm,
/// concurrency}`, and its tokens of `tenant:<tenant>:llm:daily_tokens`.
///
/// # Errors
/// A name that cannot stand in a key, or that would make it the key of something else.
pub fn llm_requirements(call: &LlmCall<'_>, estimator: &dyn PromptEstimator) -> Result<Amounts, InvalidRequest> {
    let tokens = estimator.tokens_max(call.model, call.prompt).saturating_add(call.max_output_tokens).max(1);
    let [rpm, tpm, concurrency] = call.model_keys()?;
    let amounts = [(rpm, 1), (tpm, tokens), (concurrency, 1)];
    let tenant = call.tenant_key()?.map(|key| (key, tokens));
    Amounts::to_reserve(amounts.into_iter().chain(tenant)).map_err(InvalidRequest)
}

/// What `call` has used once it is answered: so many tokens of each of its limits that count tokens.
///
/// # Errors
/// As [`llm_requirements`].
pub fn llm_actuals(call: &LlmCall<'_>, tokens: u64) -> Result<Amounts, InvalidRequest> {
    let [_, tpm, _] = call.model_keys()?;
    let keys = std::iter::once(tpm).chain(call.tenant_key()?);
    Amounts::used(keys.map(|key| (key, tokens))).map_err(InvalidRequest)
}

impl LlmCall<'_> {
    fn model_keys(&self) -> Result<[Key; 3], InvalidRequest> {
        let names = [("provider", Some(self.provider)), ("model", Some(self.model)), ("tenant", self.tenant)];
        let mistakes = names.into_iter().filter_map(|(field, name)| Some(check_segment(name?).err()?.under(field)));
        let mistakes: Vec<Mistake> = mistakes.collect();
        if !mistakes.is_empty() {
            return Err(InvalidRequest(mistakes));
        }
        let (provider, model) = (self.provider, self.model);
        let key = |limit: &str| key("model", &format!("global:llm:{provider}:{model}:{limit}"));
        Ok([key("rpm")?, key("tpm")?, key("concurrency")?])
    }

    fn tenant_key(&self) -> Result<Option<Key>, InvalidRequest> {
        self.tenant.map(|tenant| key("tenant", &format!("tenant:{tenant}:llm:daily_tokens"))).transpose()
    }
}

/// Of names that are fine each, too long together.
fn key(field: &str, text: &str) -> Result<Key, InvalidRequest> {
    Key::parse(text).map_err(|mistake| {
        let problem = format!("makes a key that {}", mistake.problem);
        InvalidRequest(vec![Mistake::new(field, problem, "use a shorter name")])
    })
}

/// One segment of a key. With a colon in it, one name could pass for another: `a:llm` is not to be a tenant.
fn check_segment(text: &str) -> Result<(), Mistake> {
    if text.contains(':') {
        return Err(Mistake::new("", format!("is `{text}`, which has a `:`"), "write `-` or `/` in its place"));
    }
    Key::parse(text).map(drop).map_err(|mistake| {
        let hint = if text.is_empty() { "name it".to_owned() } else { mistake.hint };
        Mistake { hint, ..mistake }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: LlmCall<'_> = LlmCall {
        provider: "openai",
        model: "gpt-4o",
        tenant: Some("acme"),
        prompt: "héllo",
        max_output_tokens: 2_048,
    };

    fn named(call: &LlmCall<'_>) -> Vec<(String, u128)> {
        let amounts = llm_requirements(call, &PromptBytes).expect("good names");
        amounts.iter().map(|amount| (amount.key.to_string(), amount.amount)).collect()
    }

    fn problem(call: &LlmCall<'_>) -> String {
        llm_requirements(call, &PromptBytes).expect_err("a bad name").to_string()
    }

    #[test]
    fn a_call_reserves_what_it_may_use_at_most() {
        let expected = [
            ("global:llm:openai:gpt-4o:rpm", 1),
            ("global:llm:openai:gpt-4o:tpm", 2_054),
            ("global:llm:openai:gpt-4o:concurrency", 1),
            ("tenant:acme:llm:daily_tokens", 2_054),
        ];
        assert_eq!(named(&CALL), expected.map(|(key, amount)| (key.to_owned(), amount)));
        assert_eq!(named(&LlmCall { tenant: None, ..CALL }).len(), 3);
        let most = LlmCall { max_output_tokens: u64::MAX, ..CALL };
        assert_eq!(named(&most)[1].1, u128::from(u64::MAX));
        let nothing = LlmCall { prompt: "", max_output_tokens: 0, ..CALL };
        assert_eq!(named(&nothing)[1].1, 1, "a limit cannot be asked for nothing");
    }

    #[test]
    fn what_was_used_is_said_of_every_limit_that_counts_tokens() {
        let actuals = llm_actuals(&CALL, 99).expect("good names");
        let actuals: Vec<_> = actuals.iter().map(|actual| (actual.key.as_str(), actual.amount)).collect();
        assert_eq!(actuals, [("global:llm:openai:gpt-4o:tpm", 99), ("tenant:acme:llm:daily_tokens", 99)]);
    }

    #[test]
    fn a_tokenizer_of_the_host_counts_instead() {
        struct Words;
        impl PromptEstimator for Words {
            fn tokens_max(&self, model: &str, prompt: &str) -> u64 {
                assert_eq!(model, "gpt-4o");
                prompt.split(' ').count() as u64
            }
        }
        let call = LlmCall { prompt: "three little words", max_output_tokens: 10, ..CALL };
        let amounts = llm_requirements(&call, &Words).expect("good names");
        assert_eq!(amounts.iter().nth(1).map(|amount| amount.amount), Some(13));
    }

    #[test]
    fn no_name_passes_for_another_key() {
        let forged = LlmCall { tenant: Some("acme:llm:daily_tokens"), ..CALL };
        assert_eq!(
            problem(&forged),
            "`tenant` is `acme:llm:daily_tokens`, which has a `:`; write `-` or `/` in its place"
        );
        assert_eq!(
            problem(&LlmCall { provider: "", model: "a b", ..CALL }),
            "`provider` is empty; name it | `model` has ` ` at byte 1; use only letters, digits and `.` `_` `:` `/` \
             `@` `+` `-`"
        );
        let long = "m".repeat(250);
        assert_eq!(
            problem(&LlmCall { model: &long, ..CALL }),
            "`model` makes a key that is 272 bytes long; use a shorter name"
        );
    }
}

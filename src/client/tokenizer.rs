//! Counts prompts as OpenAI does, feature `tokenizer`.

use tiktoken_rs::tokenizer::get_tokenizer;
use tiktoken_rs::{CoreBPE, bpe_for_model};

use super::requirements::PromptEstimator;

/// What comes before every answer.
const ANSWER_TOKENS: u64 = 3;
/// What comes with every message: its frame (3, and 4 for one old model), its role, and the mark of a name.
const MESSAGE_TOKENS: u64 = 6;
/// What is longer is counted in bytes: to count a megabyte of blanks takes a second, and more of them a stack that the
/// tokenizer does not have.
const BYTES_MAX: usize = 512 << 10;

/// The tokens of a text as the models of OpenAI count them, and what they add around messages. The text of other
/// models, and more than half a mebibyte of it, is counted as [`PromptBytes`](super::PromptBytes) does.
///
/// A prompt of several messages has [`Self::SEPARATOR`] between them, because each is counted for itself. Names and the
/// definitions of tools are text too. Images and the like are not: a host that sends them adds what they are charged.
#[derive(Clone, Copy, Debug, Default)]
pub struct PromptTokens;

impl PromptTokens {
    /// What stands between two messages of a prompt. A text has no such character of its own.
    pub const SEPARATOR: char = '\u{1e}';
}

impl PromptEstimator for PromptTokens {
    fn tokens_max(&self, model: &str, prompt: &str) -> u64 {
        let tokenizer = tokenizer(model).filter(|_| prompt.len() <= BYTES_MAX);
        let tokens_of = |message: &str| {
            // Marks such as `<|endoftext|>` are text in a message, which is more tokens than the mark is.
            let tokens = tokenizer.map_or(message.len(), |tokenizer| tokenizer.count_ordinary(message));
            u64::try_from(tokens).unwrap_or(u64::MAX)
        };
        let messages = prompt.split(Self::SEPARATOR).map(|message| tokens_of(message).saturating_add(MESSAGE_TOKENS));
        messages.fold(ANSWER_TOKENS, u64::saturating_add)
    }
}

/// It is made when it is first asked for, and kept.
fn tokenizer(model: &str) -> Option<&'static CoreBPE> {
    get_tokenizer(model).and_then(|_| bpe_for_model(model).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{LlmCall, PromptBytes, llm_requirements};
    use proptest::prelude::*;
    use tiktoken_rs::{ChatCompletionRequestMessage, num_tokens_from_messages};

    const AROUND: u64 = ANSWER_TOKENS + MESSAGE_TOKENS;

    #[test]
    fn texts_are_counted_as_the_model_does() {
        let (long, sum, greeting) = ("antidisestablishmentarianism", "2 + 2 = 4", "お誕生日おめでとう");
        for (model, tokens) in [("gpt-4o", [6, 7, 8]), ("gpt-5-mini", [6, 7, 8]), ("gpt-4", [6, 7, 9])] {
            let counted = [long, sum, greeting].map(|text| PromptTokens.tokens_max(model, text) - AROUND);
            assert_eq!(counted, tokens, "{model}, as OpenAI tells");
        }
        assert_eq!(PromptTokens.tokens_max("gpt-4o", ""), AROUND);
    }

    #[test]
    fn what_the_tokenizer_does_not_know_is_counted_in_bytes() {
        for model in ["claude-sonnet", "gemini-2.5-pro", "openai/gpt-4o", ""] {
            assert_eq!(PromptTokens.tokens_max(model, "héllo"), PromptBytes.tokens_max(model, "héllo") + AROUND);
        }
    }

    #[test]
    fn marks_in_a_text_are_text() {
        let one = PromptTokens.tokens_max("gpt-4o", "<|endoftext|>") - AROUND;
        assert!(1 < one, "{one}");
    }

    #[test]
    fn however_long_and_strange_a_text_is_it_is_counted() {
        for piece in [" ", "\n", "a", "^", "'", "漢", " \n"] {
            let longest = piece.repeat(BYTES_MAX / piece.len());
            assert!(PromptTokens.tokens_max("gpt-4o", &longest) <= longest.len() as u64);
            let longer = piece.repeat(BYTES_MAX / piece.len() + 1);
            assert_eq!(PromptTokens.tokens_max("gpt-4o", &longer), longer.len() as u64 + AROUND);
        }
    }

    #[test]
    fn a_reservation_is_that_much_smaller() {
        let prompt = "word ".repeat(1_000);
        let call =
            LlmCall { provider: "openai", model: "gpt-4o", tenant: None, prompt: &prompt, max_output_tokens: 100 };
        let tokens = |estimator: &dyn PromptEstimator| {
            let amounts = llm_requirements(&call, estimator).expect("good names");
            amounts.iter().nth(1).map(|amount| amount.amount)
        };
        assert_eq!((tokens(&PromptBytes), tokens(&PromptTokens)), (Some(5_100), Some(1_110)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// By the rule that OpenAI has published for messages.
        #[test]
        fn no_fewer_than_the_messages_have(
            texts in proptest::collection::vec("[^\u{1e}]{0,80}", 1..8),
            role in 0_usize..4,
            model in 0_usize..4,
            name in proptest::option::of("[a-z_]{1,12}"),
        ) {
            let model = ["gpt-4o", "gpt-4", "o3-mini", "gpt-3.5-turbo-0301"][model];
            let role = ["system", "user", "assistant", "tool"][role];
            let message = |text: &String| ChatCompletionRequestMessage {
                role: role.to_owned(),
                content: Some(text.clone()),
                name: name.clone(),
                ..Default::default()
            };
            let messages: Vec<_> = texts.iter().map(message).collect();
            let counted = num_tokens_from_messages(model, &messages).expect("a known model") as u64;
            let said = |text: &String| text.clone() + &name.as_ref().map_or_else(String::new, |name| format!("\n{name}"));
            let prompt = texts.iter().map(said).collect::<Vec<_>>().join("\u{1e}");
            prop_assert!(counted <= PromptTokens.tokens_max(model, &prompt));
        }
    }
}

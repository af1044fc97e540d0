//! An answer of the provider: server-sent events that tell, as they come, how many tokens it was up to then.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use futures_util::stream;
use serde_json::{Value, json};

use super::super::scenario::AnswerPlan;
use super::Desk;
use super::books::Visit;

/// An answer has so many chunks after its start.
const CHUNKS: u32 = 5;
/// A stream that breaks off by itself does so before this one.
const CUT_BEFORE: u32 = 3;

/// An answer on its way.
pub(super) struct Answer {
    desk: Arc<Desk>,
    visit: Visit,
    plan: AnswerPlan,
    prompt_tokens: u64,
    answer_tokens: u64,
    chunks: u32,
    is_over: bool,
}

impl Answer {
    /// Of a call that was let in.
    pub(super) fn new(desk: Arc<Desk>, visit: Visit, plan: AnswerPlan, prompt_tokens: u64) -> Self {
        Self { desk, visit, plan, prompt_tokens, answer_tokens: 0, chunks: 0, is_over: false }
    }

    pub(super) fn into_body(self) -> Body {
        Body::from_stream(stream::unfold(self, |mut answer| async move {
            let chunk = answer.next().await?;
            Some((chunk, answer))
        }))
    }

    async fn next(&mut self) -> Option<Result<String, io::Error>> {
        if self.is_over {
            return None;
        }
        tokio::time::sleep(self.plan.time / (CHUNKS + 1)).await;
        let at = self.chunks;
        self.chunks += 1;
        if self.desk.is_down() || (self.plan.is_cut && at == CUT_BEFORE) {
            self.is_over = true;
            let used = (at != 0).then(|| self.used());
            self.visit.cut(used);
            return Some(Err(io::Error::other("the stream breaks off")));
        }
        if at == 0 {
            let usage = json!({ "input_tokens": self.prompt_tokens, "output_tokens": 0 });
            return Some(Ok(event(&json!({ "type": "message_start", "message": { "usage": usage } }))));
        }
        self.answer_tokens = self.plan.tokens * u64::from(at) / u64::from(CHUNKS);
        let text = "word ".repeat(16);
        let delta = json!({ "type": "content_block_delta", "delta": { "type": "text_delta", "text": text } });
        let usage = json!({ "type": "message_delta", "usage": { "output_tokens": self.answer_tokens } });
        let mut events = event(&delta) + &event(&usage);
        if at == CHUNKS {
            self.is_over = true;
            // Before the last byte: who has read it may come again at once.
            let used = self.used();
            self.visit.answered(used);
            events += &event(&json!({ "type": "message_stop" }));
        }
        Some(Ok(events))
    }

    fn used(&self) -> u64 {
        self.prompt_tokens + self.answer_tokens
    }
}

fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().expect("each event has a type"))
}

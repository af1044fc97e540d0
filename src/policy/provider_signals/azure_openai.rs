//! Azure OpenAI: as OpenAI, with resets in whole seconds; behind API Management a used-up quota is a 403.

use super::body::Body;
use super::openai;
use super::verdict::{Finding, Said};

pub(super) fn judge(status: u16, body: &Body<'_>, said: &mut Said) {
    openai::judge(body, said);
    if status == 403 && said.finding == Finding::Nothing && body.message().to_ascii_lowercase().contains("quota") {
        said.finding = Finding::LimitedOrNever("quota_exceeded");
    }
}

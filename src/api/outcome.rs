//! How a call ended, as a client tells it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::wire::{Checks, Text};
use crate::policy::{CallReport, Fault, Mistake, Outcome, Provider, ProviderResponse, SIGNAL_WAIT_MAX};

/// The fields of an outcome.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OutcomeFields<'a> {
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    error: Option<Fault>,
    #[serde(default)]
    latency_ms: Option<u64>,
    #[serde(default)]
    retry_after_ms: Option<u64>,
    #[serde(borrow, default)]
    provider: Option<Text<'a>>,
    /// What the provider's answer carried; only those that speak of limits matter.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The provider's answer, or the beginning of it, where it is an error.
    #[serde(borrow, default)]
    body: Option<Text<'a>>,
}

impl OutcomeFields<'_> {
    /// Checks every field, and reads what the provider said at wall time `now_unix_ms`.
    pub(super) fn check_into(&self, checks: &mut Checks, now_unix_ms: u64) -> Option<CallReport> {
        let told = checks.take("outcome", self.check_told());
        let status = checks.take("outcome.status", self.status.map(check_status).transpose());
        let provider = checks.take("outcome.provider", self.check_provider());
        told?;
        let (status, provider) = status.zip(provider)?;
        let report = match status {
            Some(status) => self.read_response(provider, status, now_unix_ms),
            None => CallReport { provider, ..CallReport::default() },
        };
        let outcome = Outcome {
            fault: self.error,
            latency: self.latency_ms.map(Duration::from_millis),
            retry_after: report.outcome.retry_after.or(self.told_wait()),
            ..report.outcome
        };
        Some(CallReport { outcome, ..report })
    }

    /// The wait that the client read out of the answer by itself; it holds whatever the status is.
    fn told_wait(&self) -> Option<Duration> {
        let told = self.retry_after_ms.map(Duration::from_millis);
        told.filter(|wait| !wait.is_zero() && *wait <= SIGNAL_WAIT_MAX)
    }

    fn read_response(&self, provider: Provider, status: u16, now_unix_ms: u64) -> CallReport {
        let told_wait = self.retry_after_ms.filter(|wait_ms| *wait_ms != 0).map(|wait_ms| wait_ms.to_string());
        let told_wait = told_wait.as_deref().map(|wait_ms| ("retry-after-ms", wait_ms));
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        // First, because only so many headers are read.
        let headers: Vec<_> = told_wait.into_iter().chain(headers).collect();
        let body = self.body.as_ref().map_or("", Text::as_str).as_bytes();
        CallReport::of_response(provider, &ProviderResponse { status, headers: &headers, body }, now_unix_ms)
    }

    fn check_told(&self) -> Result<(), Mistake> {
        if self.status.is_none() && self.error.is_none() {
            let hint = "give the HTTP `status`, or an `error` if there was none, or both if the answer broke off";
            return Err(Mistake::new("", "says neither `status` nor `error`", hint));
        }
        Ok(())
    }

    fn check_provider(&self) -> Result<Provider, Mistake> {
        let Some(name) = &self.provider else { return Ok(Provider::Other) };
        let provider = Provider::parse(name.as_str());
        if provider.name() == name.as_str() {
            return Ok(provider);
        }
        let shown: String = name.as_str().chars().take(40).collect();
        let names = Provider::ALL.map(|provider| format!("`{}`", provider.name())).join(", ");
        Err(Mistake::new("", format!("is `{shown}`, which is none that is known"), format!("use one of {names}")))
    }
}

fn check_status(status: u16) -> Result<u16, Mistake> {
    match status {
        100..=599 => Ok(status),
        _ => Err(Mistake::new("", format!("is {status}, which is no HTTP status"), "use 100 to 599")),
    }
}

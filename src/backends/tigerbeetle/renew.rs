//! Renewing: a hold cannot be prolonged, so that each slot of a lease is given back and taken again in one chain. Who
//! comes second finds it done.

use tigerbeetle_unofficial::core::error::CreateTransferErrorKind;

use super::books::{Books, Trouble};
use super::lease::{Held, HoldTerms, LeaseRecord, NANOS_PER_SECOND};
use super::settlement::again;
use crate::policy::{Kind, LeaseError, Moment, Renew};

/// How often a lease may turn out to be renewed by another server at the same time.
const TRIES: usize = 4;

impl Books {
    /// Extends the concurrency holds of a live lease, all or none; says when its last hold will end.
    pub(super) async fn renew(&self, request: &Renew) -> Result<Moment, LeaseError> {
        self.try_renew(request).await.map_err(|trouble| LeaseError::Backend(trouble.text()))?
    }

    async fn try_renew(&self, request: &Renew) -> Result<Result<Moment, LeaseError>, Trouble> {
        let Some(mut lease) = self.find_lease(request.lease_id).await? else { return Ok(Err(LeaseError::Finished)) };
        let (begun_ns, mut is_news) = (self.session.cluster_ns(), false);
        for _ in 0..TRIES {
            let now_ns = self.session.cluster_ns();
            let slots: Vec<usize> = (0..lease.holds.len())
                .filter(|at| lease.holds[*at].code.is_slot() && self.is_counted(&lease.holds[*at]))
                .collect();
            if !lease.is_live(now_ns) || slots.iter().any(|at| !lease.holds[*at].is_live(now_ns)) {
                return Ok(Err(LeaseError::Finished));
            }
            let is_renewed = |hold: &Held| begun_ns + self.wanted_ns(hold, request) <= hold.expires_at_ns;
            if is_news && slots.iter().all(|at| is_renewed(&lease.holds[*at])) {
                return Ok(Ok(self.ends_at(lease))); // Somebody did the same since this was asked for.
            }
            let mut chain = Vec::with_capacity(2 * slots.len());
            let mut renewed = Vec::with_capacity(slots.len());
            for at in &slots {
                let hold = &lease.holds[*at];
                let terms = HoldTerms { seconds: self.seconds(hold, request, now_ns), ..again(hold) };
                chain.push(self.chart.void(lease.id, hold.transfer));
                let id = self.chart.ids.part(lease.id, "renew", hold.transfer);
                chain.push(self.chart.hold(lease.id, id, u32::try_from(*at).expect("at most 32 holds"), &terms));
                renewed.push((*at, id, terms));
            }
            if chain.is_empty() {
                // Nothing is written that would find the lease completed by another server.
                match self.read_lease(lease.id).await? {
                    Some(read) => (lease, is_news) = (read, true),
                    None => return Ok(Err(LeaseError::Finished)),
                }
                continue;
            }
            let written = self.write_chain(Vec::new(), chain).await?;
            match written.cause {
                None => {
                    for (at, id, terms) in renewed {
                        lease.holds[at] = terms.taken_at(id, written.cluster_ns);
                    }
                    return Ok(Ok(self.ends_at(lease)));
                }
                Some((_, CreateTransferErrorKind::PendingTransferExpired)) => return Ok(Err(LeaseError::Finished)),
                // Renewed or completed by somebody else meanwhile.
                Some(_) => match self.read_lease(lease.id).await? {
                    Some(read) => (lease, is_news) = (read, true),
                    None => return Ok(Err(LeaseError::Finished)),
                },
            }
        }
        Err(Trouble::Fault("the lease changes faster than it can be renewed".to_owned()))
    }

    /// Whether the limit of a hold is still in use: one that was deleted has nothing to lose. One that this server does
    /// not know, or would have to ask for, is.
    fn is_counted(&self, hold: &Held) -> bool {
        let limit = self.limits.with_tag(hold.tag).filter(|_| hold.code.is_charged());
        let terms = limit.and_then(|limit| limit.terms(&self.chart, self.clock.now()));
        terms.is_none_or(|terms| terms.accounts.limit == hold.account)
    }

    /// As long as is asked for; never shorter than before.
    fn seconds(&self, hold: &Held, request: &Renew, now_ns: u64) -> u32 {
        let left = hold.expires_at_ns.saturating_sub(now_ns).div_ceil(NANOS_PER_SECOND);
        u32::try_from(self.wanted_seconds(hold, request).max(left).max(1)).expect("a period of at most a hundred years")
    }

    fn wanted_ns(&self, hold: &Held, request: &Renew) -> u64 {
        self.wanted_seconds(hold, request) * NANOS_PER_SECOND
    }

    /// What is asked for; at most, and by default, the limit's own timeout.
    fn wanted_seconds(&self, hold: &Held, request: &Renew) -> u64 {
        let own = match self.charged_limit(hold).map(|(_, terms)| terms.standing.kind) {
            Some(Kind::Concurrency { timeout }) => timeout.get(),
            _ => hold.timeout_seconds.into(),
        };
        request.timeout.map_or(own, |timeout| timeout.get().min(own))
    }

    /// Keeps what is known of a lease now, and says when its last hold ends.
    fn ends_at(&self, lease: LeaseRecord) -> Moment {
        let ends_at = self.session.moment_of(lease.expires_at_ns());
        self.leases.put(lease);
        ends_at
    }
}

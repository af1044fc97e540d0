//! `tollgate load`: makes load on a server, or on a Tollgate in this process, and says how it fared.

mod local;
mod remote;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use self::remote::Remote;
use super::serve::parse_backend;
use super::server::ServerArgs;
use super::{Exit, Failure, output};
use crate::client::{BatchSettings, Batcher, Limiter};
use crate::config::BackendKind;
use crate::load::{self, BatchSizes, Finished, Listed, Metered, Plan, PlanFields, Reach, Report, Unloadable, Workload};
use crate::policy::Mistake;

/// How to load what.
#[derive(Args)]
pub(super) struct LoadArgs {
    /// Load a running server, or a Tollgate in this process
    #[arg(long, value_enum, default_value_t = Mode::Http)]
    mode: Mode,
    /// Where a Tollgate in this process keeps its books; memory unless it is said
    #[arg(long, value_parser = parse_backend)]
    backend: Option<BackendKind>,
    /// The settings of a Tollgate in this process, as for `serve`, but for their limits
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How long calls are begun: `500ms`, `60s`, `5m`
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = parse_duration)]
    duration: Duration,
    /// How many callers make calls, each one after the other
    #[arg(long, default_value_t = 50, value_name = "CALLERS")]
    concurrency: u64,
    /// How many providers are called: keys that differ in their last segment are one [default: all, or 3]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1_000))]
    providers: Option<u16>,
    /// How many instances of each template are called
    #[arg(long, default_value_t = 100, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    keys: u32,
    /// The most requests that travel together; 1 sends each on its own
    #[arg(long, default_value_t = 1, value_name = "REQUESTS")]
    batch_size: u64,
    /// How many of 100 calls go to the first provider and the first instances
    #[arg(long, default_value_t = 0, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(0..=100))]
    hot_key: u32,
    /// How long a granted call runs, and how long a caller stays away after a denial
    #[arg(long, default_value_t = 0, value_name = "MS")]
    think_ms: u64,
    /// Begin so many calls per second, whether or not those before have ended (open loop)
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<u64>,
    /// Check every grant against its limits, and exit with 1 if one was too much
    #[arg(long)]
    verify: bool,
    /// The most grants that are remembered for the check, in 200 bytes each at most; without all of them it is no pass
    #[arg(long, default_value_t = 1_000_000, value_name = "GRANTS")]
    history: u64,
    #[command(flatten)]
    server: ServerArgs,
}

/// Where the limits are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    Http,
    Local,
}

pub(super) async fn run(args: LoadArgs) -> Result<Exit, Failure> {
    let plan = args.plan()?;
    let report = match args.mode {
        Mode::Http => load_server(&args, plan).await?,
        Mode::Local => load_here(&args, plan).await?,
    };
    if args.server.json {
        output::print_json(&serde_json::to_value(&report).expect("figures and texts are JSON"))?;
    } else {
        output::print(&report.text())?;
    }
    Ok(if report.is_passed() { Exit::Done } else { Exit::Failed })
}

async fn load_server(args: &LoadArgs, plan: Plan) -> Result<Report, Failure> {
    let sizes = BatchSizes::default();
    let limiters = remote::limiters(&args.server, &plan, &sizes)?;
    let remote = Remote::find(&args.server).await?;
    let workload = args.workload(remote.limits.clone())?;
    let finished = until_stopped(plan, workload, &limiters).await?;
    let mut report = finished.report("http", remote.backend.clone(), &sizes);
    report.http_5xx = remote.errors_since().await;
    if args.verify {
        report.verify = Some(finished.audit(remote.limits_now().await.ok().as_deref()));
    }
    Ok(report)
}

async fn load_here(args: &LoadArgs, plan: Plan) -> Result<Report, Failure> {
    let sizes = BatchSizes::default();
    let providers = args.providers.map(usize::from);
    let tollgate = local::start(args.config.as_deref(), args.backend, providers, &plan).await?;
    let workload = args.workload(local::listed(&tollgate).await?)?;
    let finished = until_stopped(plan, workload, &[local::limiter(&tollgate, &plan, &sizes)]).await?;
    let mut report = finished.report("local", tollgate.status().backend.kind.to_owned(), &sizes);
    if args.verify {
        report.verify = Some(finished.audit(local::listed(&tollgate).await.ok().as_deref()));
    }
    tollgate.shutdown().await;
    tollgate.ended().await;
    Ok(report)
}

/// Has requests travel together, if the plan says so.
fn batched(limiter: Metered, plan: &Plan) -> Arc<dyn Limiter> {
    if plan.batch_size() == 1 {
        return Arc::new(limiter);
    }
    let settings = BatchSettings { size: plan.batch_size(), ..BatchSettings::default() };
    Arc::new(Batcher::new(Arc::new(limiter), &settings))
}

/// The load. One signal ends it early, a second one at once.
async fn until_stopped(plan: Plan, workload: Workload, limiters: &[Arc<dyn Limiter>]) -> Result<Finished, Failure> {
    let mut interrupt =
        signal(SignalKind::interrupt()).map_err(|error| Failure::runtime(format!("cannot hear signals: {error}")))?;
    let (tell_stop, stop) = oneshot::channel();
    let stopped_at_once = async {
        interrupt.recv().await;
        let _ = tell_stop.send(()); // It has ended by itself.
        interrupt.recv().await;
    };
    let shows_progress = std::io::stderr().is_terminal();
    tokio::select! {
        finished = load::run(plan, workload, limiters, shows_progress, async { drop(stop.await) }) => Ok(finished),
        () = stopped_at_once => Err(Failure::runtime("stopped by a second signal before all calls had ended")),
    }
}

impl LoadArgs {
    fn plan(&self) -> Result<Plan, Failure> {
        if self.mode == Mode::Http {
            let local = [("--backend", self.backend.is_some()), ("--config", self.config.is_some())];
            if let Some((flag, _)) = local.iter().find(|(_, is_given)| *is_given) {
                let message = format!("`{flag}` is for `--mode local`: a server keeps its books where it was told to");
                return Err(Failure::usage(message).with_hint("start the server with it, or use `--mode local`"));
            }
        }
        let fields = PlanFields {
            duration: self.duration,
            concurrency: self.concurrency,
            rate: self.rate,
            think_ms: self.think_ms,
            batch_size: self.batch_size,
            history: if self.verify { self.history.max(1) } else { 0 },
        };
        fields.check().map_err(|mistakes| {
            let details = mistakes.iter().map(Mistake::to_string).collect();
            Failure::usage("this load cannot be made").with_details(details)
        })
    }

    fn workload(&self, limits: Vec<Listed>) -> Result<Workload, Failure> {
        let reach = Reach {
            providers: self.providers.map(usize::from),
            instances: self.keys as usize,
            hot_percent: self.hot_key,
        };
        Workload::new(limits, reach).map_err(|why| match why {
            Unloadable::NoLimits => {
                Failure::usage("the server has no limits").with_hint("define some with `tollgate limits put`")
            }
            Unloadable::TooFewProviders { wanted, found } => Failure::usage(format!("`--providers` is {wanted}"))
                .with_hint(format!("use 1 to {found}: as many have limits")),
        })
    }
}

/// Reads `500ms`, `60s`, `5m`, or whole seconds.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: Option<u64> = number.parse().ok();
    let duration = match unit {
        "ms" => number.map(Duration::from_millis),
        "" | "s" => number.map(Duration::from_secs),
        "m" => number.and_then(|minutes| minutes.checked_mul(60)).map(Duration::from_secs),
        _ => None,
    };
    duration.ok_or_else(|| "it is no time; write it as `500ms`, `60s` or `5m`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: LoadArgs,
    }

    fn plan(words: &str) -> Result<Plan, Failure> {
        Line::try_parse_from(["load"].into_iter().chain(words.split(' '))).expect("a good line").args.plan()
    }

    #[test]
    fn times_have_units() {
        let times = ["500ms", "60s", "5m", "7"].map(|text| parse_duration(text).expect("a time"));
        assert_eq!(times, [500, 60_000, 300_000, 7_000].map(Duration::from_millis));
        for text in ["", "s", "5h", "-1s", "1.5s", "99999999999999999999s", "18446744073709551615m"] {
            assert!(parse_duration(text).is_err_and(|told| told.starts_with("it is no time; write it as")), "{text}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        assert_eq!(
            plan("--backend memory").expect_err("it is for another mode").to_string(),
            "error: `--backend` is for `--mode local`: a server keeps its books where it was told to\n\
             hint: start the server with it, or use `--mode local`\n"
        );
        assert!(plan("--config a.toml").is_err_and(|failure| failure.to_string().starts_with("error: `--config` is")));
        assert!(plan("--mode local --backend memory --verify --rate 5").is_ok());
        assert_eq!(
            plan("--concurrency 0 --rate 0").expect_err("mistakes").to_string(),
            "error: this load cannot be made\n  `--concurrency` is 0; use 1 to 10000\n  `--rate` is 0; use 1 to 1000000\n"
        );
    }
}

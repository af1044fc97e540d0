//! `[backend]`: where the books are kept, and how they are reached.

use std::net::{Ipv4Addr, SocketAddr};

use toml::de::DeValue;

use super::scalar::{Scalar, shown};
use super::section::Section;
use super::sections::COUNT;
use super::settings::{BackendSettings, MemorySettings, TigerBeetleSettings};
use super::{BackendKind, Config};
use crate::policy::Mistake;

/// A decision is not worth waiting for longer than a minute.
const DEADLINE_MS: std::ops::RangeInclusive<u64> = 1..=60_000;
const IN_FLIGHT: std::ops::RangeInclusive<u64> = 1..=1_000_000;
/// As many as a cluster has at most.
const REPLICAS_MAX: usize = 6;

/// A number of 128 bits, which TOML has no integers for.
struct Wide(u128);

impl Scalar for Wide {
    const NOUN: &str = "a whole number of up to 128 bits";
    const TOML_HINT: &str = "write a whole number from 0 on; a long one in double quotes";
    const TEXT_HINT: &str = "set it to a whole number, in digits only";

    fn of_toml(value: &DeValue<'_>) -> Option<Self> {
        match value.as_integer() {
            Some(integer) => u128::from_str_radix(integer.as_str(), integer.radix()).ok().map(Self),
            None => Self::of_text(value.as_str()?),
        }
    }

    fn of_text(text: &str) -> Option<Self> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| is_plain).map(Self)
    }
}

/// A list of texts; in a variable with commas between them.
struct Texts(Vec<String>);

impl Scalar for Texts {
    const NOUN: &str = "a list of texts";
    const TOML_HINT: &str = "write texts in square brackets, for example [\"10.0.0.1:3000\", \"10.0.0.2:3000\"]";
    const TEXT_HINT: &str = "set it to addresses with commas between them";

    fn of_toml(value: &DeValue<'_>) -> Option<Self> {
        let texts = value.as_array()?.iter().map(|text| text.get_ref().as_str().map(str::to_owned));
        texts.collect::<Option<_>>().map(Self)
    }

    fn of_text(text: &str) -> Option<Self> {
        Some(Self(text.split(',').map(|text| text.trim().to_owned()).collect()))
    }
}

/// Reads the section into the part of `config` that it is about.
pub(super) fn read_backend(section: &mut Section<'_, '_>, config: &mut Config) {
    let kind = section.choice("kind", &BackendKind::CHOICES).unwrap_or_default();
    section.section("memory", |section| read_memory(section, &mut config.runtime.memory));
    section.section("tigerbeetle", |section| read_tigerbeetle(section, &mut config.tigerbeetle));
    config.choose_backend(kind);
}

fn read_memory(section: &mut Section<'_, '_>, memory: &mut MemorySettings) {
    memory.max_instances = section.count("max_instances", COUNT, memory.max_instances);
    memory.max_leases = section.count("max_leases", COUNT, memory.max_leases);
}

fn read_tigerbeetle(section: &mut Section<'_, '_>, settings: &mut TigerBeetleSettings) {
    let cluster_id = section.value("cluster_id", |Wide(number)| Ok(number));
    settings.cluster_id = cluster_id.unwrap_or(settings.cluster_id);
    if let Some(addresses) = section.value("addresses", |Texts(texts)| addresses(&texts)) {
        settings.addresses = addresses;
    }
    let ledger = section.integer("ledger", 1..=u64::from(u32::MAX));
    settings.ledger = ledger.and_then(|ledger| u32::try_from(ledger).ok()).unwrap_or(settings.ledger);
    settings.deadline = section.millis("deadline_ms", DEADLINE_MS, settings.deadline);
    settings.in_flight_max = section.count("in_flight_max", IN_FLIGHT, settings.in_flight_max);
}

fn addresses(texts: &[String]) -> Result<Vec<SocketAddr>, Mistake> {
    if !(1..=REPLICAS_MAX).contains(&texts.len()) {
        let problem = format!("has {} addresses", texts.len());
        return Err(Mistake::new("", problem, format!("give 1 to {REPLICAS_MAX}, in the order of the replicas")));
    }
    let mut addresses: Vec<SocketAddr> = Vec::with_capacity(texts.len());
    for text in texts {
        let address = address(text)?;
        if addresses.contains(&address) {
            let problem = format!("has `{address}` twice");
            return Err(Mistake::new("", problem, "name each replica once, in the order of the replicas"));
        }
        addresses.push(address);
    }
    Ok(addresses)
}

/// An IP address and a port, or a port of this machine.
fn address(text: &str) -> Result<SocketAddr, Mistake> {
    let port = text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let address = port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).or_else(|| text.parse().ok());
    address.filter(|address| address.port() != 0).ok_or_else(|| {
        let problem = format!("has `{}`, which is no address", shown(text));
        Mistake::new(
            "",
            problem,
            "write an IP address and a port, for example `10.0.0.1:3000`; names are not looked up",
        )
    })
}

impl Config {
    /// Keeps the books there, whatever the file says. How they are reached stands in the file all the same.
    pub fn choose_backend(&mut self, kind: BackendKind) {
        self.runtime.backend = match kind {
            BackendKind::Memory => BackendSettings::Memory,
            BackendKind::TigerBeetle => BackendSettings::TigerBeetle(self.tigerbeetle.clone()),
        };
    }

    /// Refuses a backend that was left out of this build. To be asked once flags have overridden it.
    ///
    /// # Errors
    /// A [`Mistake`] that names both ways out.
    pub fn check_backend(&self) -> Result<(), Mistake> {
        match self.runtime.backend {
            BackendSettings::TigerBeetle(_) if !cfg!(feature = "tigerbeetle") => {
                let problem = "is `tigerbeetle`, which this build does not have";
                Err(Mistake::new("backend.kind", problem, "build with `--features tigerbeetle`, or use `memory`"))
            }
            BackendSettings::Memory | BackendSettings::TigerBeetle(_) => Ok(()),
        }
    }
}

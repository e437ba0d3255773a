//! Settings: typed in, checked, ready.

mod load;
mod raw;

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use escrow_engine::EngineConfig;
use escrow_txn::{Defaults, limits};
use escrow_wire::dtm;
use http::Uri;
use http::uri::Scheme;

use crate::codes::Code;
use crate::sizes::Sizes;
use crate::stores::StoreChoice;

pub use load::{ConfigFile, Sources};
pub use raw::{DEFAULT_TOML, RawAlert, RawConfig, RawDrive, RawHttp, RawLimits, RawLog, RawTransactions};

/// Bytes of a MiB.
const MIB: usize = 1024 * 1024;

/// The settings in force, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The directory that holds everything, unless another store is named.
    pub data: PathBuf,
    /// Where transactions are kept; `None`: in `data`.
    pub store: Option<StoreChoice>,
    /// Names under which clients reach this coordinator, in lower case.
    pub allowed_hosts: Vec<String>,
    /// How long a stop waits for what is on its way.
    pub shutdown_grace: Duration,
    /// How to log.
    pub log: LogConfig,
    /// What clients may do to connections.
    pub http: HttpConfig,
    /// How large a transaction may be.
    pub sizes: Sizes,
    /// How to drive. The owner is not set here but by the start.
    pub engine: EngineConfig,
    /// Who is told of operations in trouble; `None`: nobody.
    pub alert: Option<AlertConfig>,
}

/// Who is told of operations in trouble, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertConfig {
    /// `alert.web_hook`; never empty.
    pub web_hook: String,
    /// `alert.retry_limit`.
    pub after_failures: u32,
}

/// How to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// One line of text or one JSON object per event.
    pub format: LogFormat,
    /// What is worth a line.
    pub level: tracing::Level,
}

/// See [`LogConfig::format`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Limits and deadlines of connections; the settings of the same names say what each is.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// `http.connections_max`.
    pub connections_max: usize,
    /// `http.connections_per_peer_max`.
    pub connections_per_peer_max: usize,
    /// `http.first_byte_ms`.
    pub first_byte: Duration,
    /// `http.header_ms`.
    pub header: Duration,
    /// `http.body_ms`.
    pub body: Duration,
    /// `http.reply_ms`.
    pub reply: Duration,
    /// `http.idle_ms`.
    pub idle: Duration,
    /// `http.bytes_per_second_min`.
    pub bytes_per_second_min: usize,
    /// `http.large_mib_max`, in bytes.
    pub large_bytes_max: usize,
    /// `http.header_bytes_max`.
    pub header_bytes_max: usize,
    /// `http.headers_max`.
    pub headers_max: usize,
    /// `http.url_bytes_max`.
    pub url_bytes_max: usize,
    /// `http.body_bytes_max`.
    pub body_bytes_max: usize,
}

impl HttpConfig {
    /// Bytes that a body has to bring, or a reply has to get rid of, in this time.
    pub(crate) fn bytes_due(&self, time: Duration) -> usize {
        usize::try_from(time.as_millis() * self.bytes_per_second_min as u128 / 1000).unwrap_or(usize::MAX)
    }
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file is no TOML, or sets what does not exist, or sets it to the wrong kind of value.
    #[error("{origin}: {}", error.to_string().trim_end())]
    Shape {
        /// The file, or where else the settings come from.
        origin: String,
        /// Where and what. Shown above, so it is no source: whoever prints the sources too would say it twice.
        error: Box<toml::de::Error>,
    },
    /// A text from the environment or a flag is no value for its setting.
    #[error("{origin}: {key} cannot be {value:?}: it must be {expected}")]
    Text {
        /// The variable or flag.
        origin: String,
        /// The setting.
        key: String,
        /// The text.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A number is out of its range.
    #[error("{key} cannot be {value}: it must be {min} to {max}")]
    OutOfRange {
        /// The setting.
        key: &'static str,
        /// Its value.
        value: u64,
        /// The least value allowed.
        min: u64,
        /// The greatest value allowed.
        max: u64,
    },
    /// A text means nothing here.
    #[error("{key} cannot be {value:?}: it must be {expected}")]
    Invalid {
        /// The setting.
        key: &'static str,
        /// Its value.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
}

impl ConfigError {
    /// A name for this kind of error that does not change.
    pub fn code(&self) -> &'static str {
        Code::INVALID_CONFIG.as_str()
    }
}

impl Config {
    /// Reads all sources and checks what they come to.
    ///
    /// # Errors
    /// [`ConfigError`], for the first thing that is wrong.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        Self::try_from(RawConfig::load(sources)?)
    }
}

impl TryFrom<RawConfig> for Config {
    type Error = ConfigError;

    fn try_from(raw: RawConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            listen: parse("listen", &raw.listen, "an IP address with a port, such as 127.0.0.1:36789")?,
            data: data_directory(&raw.data)?,
            store: store(&raw.store)?,
            allowed_hosts: raw.allowed_hosts.iter().map(|host| host_name(host)).collect::<Result<_, _>>()?,
            shutdown_grace: seconds("shutdown_grace_seconds", raw.shutdown_grace_seconds, 0..=3600)?,
            log: log(&raw.log)?,
            http: http(&raw.http)?,
            sizes: sizes(&raw.limits)?,
            engine: engine(&raw.transactions, &raw.drive)?,
            alert: alert(&raw.alert)?,
        })
    }
}

fn sizes(raw: &RawLimits) -> Result<Sizes, ConfigError> {
    // What the rules allow is the most that a setting may.
    let up_to = |name, value, max: usize| count(name, value, 1..=max as u64);
    Ok(Sizes {
        id_chars_max: up_to("limits.id_chars_max", raw.id_chars_max, limits::ID_CHARS_MAX)?,
        steps_max: up_to("limits.steps_max", raw.steps_max, limits::BRANCHES_MAX)?,
        url_bytes_max: up_to("limits.url_bytes_max", raw.url_bytes_max, limits::URL_BYTES_MAX)?,
        payload_bytes_max: up_to("limits.payload_bytes_max", raw.payload_bytes_max, limits::PAYLOAD_BYTES_MAX)?,
        payloads_bytes_max: up_to("limits.payloads_bytes_max", raw.payloads_bytes_max, limits::PAYLOADS_BYTES_MAX)?,
        branch_headers_max: up_to("limits.branch_headers_max", raw.branch_headers_max, limits::BRANCH_HEADERS_MAX)?,
    })
}

fn log(raw: &RawLog) -> Result<LogConfig, ConfigError> {
    let format = match raw.format.as_str() {
        "text" => LogFormat::Text,
        "json" => LogFormat::Json,
        other => return Err(invalid("log.format", other, "text or json")),
    };
    let level = parse("log.level", &raw.level, "error, warn, info, debug or trace")?;
    Ok(LogConfig { format, level })
}

fn http(raw: &RawHttp) -> Result<HttpConfig, ConfigError> {
    const DEADLINE_MS: RangeInclusive<u64> = 10..=600_000;
    Ok(HttpConfig {
        connections_max: count("http.connections_max", raw.connections_max, 1..=1_000_000)?,
        connections_per_peer_max: count("http.connections_per_peer_max", raw.connections_per_peer_max, 1..=1_000_000)?,
        first_byte: millis("http.first_byte_ms", raw.first_byte_ms, DEADLINE_MS)?,
        header: millis("http.header_ms", raw.header_ms, DEADLINE_MS)?,
        body: millis("http.body_ms", raw.body_ms, DEADLINE_MS)?,
        reply: millis("http.reply_ms", raw.reply_ms, DEADLINE_MS)?,
        idle: millis("http.idle_ms", raw.idle_ms, 10..=3_600_000)?,
        bytes_per_second_min: count("http.bytes_per_second_min", raw.bytes_per_second_min, 1..=1_048_576)?,
        large_bytes_max: count("http.large_mib_max", raw.large_mib_max, 16..=1_000_000)? * MIB,
        header_bytes_max: count("http.header_bytes_max", raw.header_bytes_max, 1024..=65_536)?,
        headers_max: count("http.headers_max", raw.headers_max, 8..=100)?,
        url_bytes_max: count("http.url_bytes_max", raw.url_bytes_max, 256..=65_536)?,
        body_bytes_max: count("http.body_bytes_max", raw.body_bytes_max, 1024..=dtm::BODY_BYTES_MAX as u64)?,
    })
}

fn engine(transactions: &RawTransactions, drive: &RawDrive) -> Result<EngineConfig, ConfigError> {
    const DAY: RangeInclusive<u64> = 1..=86_400;
    let retention_days = in_range("transactions.retention_days", transactions.retention_days, 0..=36_500)?;
    Ok(EngineConfig {
        defaults: Defaults {
            request_timeout: seconds(
                "transactions.request_timeout_seconds",
                transactions.request_timeout_seconds,
                1..=3600,
            )?,
            retry_interval: seconds("transactions.retry_interval_seconds", transactions.retry_interval_seconds, DAY)?,
            timeout_to_fail: seconds(
                "transactions.timeout_to_fail_seconds",
                transactions.timeout_to_fail_seconds,
                1..=31_536_000,
            )?,
            retry_cap: seconds("transactions.retry_cap_seconds", transactions.retry_cap_seconds, DAY)?,
        },
        wait_result_max: seconds(
            "transactions.wait_result_max_seconds",
            transactions.wait_result_max_seconds,
            1..=300,
        )?,
        retention: (retention_days > 0).then(|| Duration::from_secs(retention_days * 24 * 60 * 60)),
        active_max: count("drive.active_max", drive.active_max, 1..=10_000_000)?,
        active_bytes_max: count("drive.active_mib_max", drive.active_mib_max, 16..=1_000_000)? * MIB,
        claimed_max: count("drive.claimed_max", drive.claimed_max, 1..=drive.active_max)?,
        calls_max: count("drive.calls_max", drive.calls_max, 1..=100_000)?,
        lane_calls_max: count("drive.calls_per_host_max", drive.calls_per_host_max, 1..=drive.calls_max)?,
        lane_queue_max: count("drive.calls_queued_per_host_max", drive.calls_queued_per_host_max, 1..=10_000_000)?,
        ..EngineConfig::default()
    })
}

fn alert(raw: &RawAlert) -> Result<Option<AlertConfig>, ConfigError> {
    let after_failures = count("alert.retry_limit", raw.retry_limit, 1..=1_000)?;
    if raw.web_hook.is_empty() {
        return Ok(None);
    }
    let is_callable =
        |uri: &Uri| uri.scheme() == Some(&Scheme::HTTP) && uri.host().is_some_and(|host| !host.is_empty());
    if !raw.web_hook.parse().is_ok_and(|uri| is_callable(&uri)) {
        return Err(invalid("alert.web_hook", &raw.web_hook, "an http:// URL, or empty"));
    }
    let after_failures = u32::try_from(after_failures).unwrap_or(u32::MAX);
    Ok(Some(AlertConfig { web_hook: raw.web_hook.clone(), after_failures }))
}

fn data_directory(text: &str) -> Result<PathBuf, ConfigError> {
    if text.is_empty() { Err(invalid("data", text, "the path of a directory")) } else { Ok(PathBuf::from(text)) }
}

fn store(text: &str) -> Result<Option<StoreChoice>, ConfigError> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| invalid("store", text, "sqlite:FILE or local:DIR, or empty"))
}

/// A host name as browsers and clients write it into a request: no scheme, no port.
fn host_name(text: &str) -> Result<String, ConfigError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    let has_port = text.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    if text.is_empty() || !text.chars().all(legal) || has_port {
        return Err(invalid("allowed_hosts", text, "a host name or an IP address, without a port; [::1] for IPv6"));
    }
    Ok(text.to_ascii_lowercase())
}

fn in_range(key: &'static str, value: u64, range: RangeInclusive<u64>) -> Result<u64, ConfigError> {
    if range.contains(&value) {
        Ok(value)
    } else {
        Err(ConfigError::OutOfRange { key, value, min: *range.start(), max: *range.end() })
    }
}

fn seconds(key: &'static str, value: u64, range: RangeInclusive<u64>) -> Result<Duration, ConfigError> {
    in_range(key, value, range).map(Duration::from_secs)
}

fn millis(key: &'static str, value: u64, range: RangeInclusive<u64>) -> Result<Duration, ConfigError> {
    in_range(key, value, range).map(Duration::from_millis)
}

fn count(key: &'static str, value: u64, range: RangeInclusive<u64>) -> Result<usize, ConfigError> {
    let max = *range.end();
    let value = in_range(key, value, range)?;
    usize::try_from(value).map_err(|_| ConfigError::OutOfRange { key, value, min: 0, max })
}

fn parse<T: std::str::FromStr>(key: &'static str, text: &str, expected: &'static str) -> Result<T, ConfigError> {
    text.parse().map_err(|_| invalid(key, text, expected))
}

fn invalid(key: &'static str, value: impl Display, expected: &'static str) -> ConfigError {
    ConfigError::Invalid { key, value: value.to_string(), expected }
}

#[cfg(test)]
mod tests;

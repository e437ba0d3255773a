use serde::{Deserialize, Serialize};

/// The settings with their defaults, and what each of them means.
pub const DEFAULT_TOML: &str = include_str!("../../../../config/default.toml");

/// The settings as they were typed. No field has a default here: [`DEFAULT_TOML`] has them all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // `config/default.toml` says what each setting is, and its unit.
pub struct RawConfig {
    pub listen: String,
    pub data: String,
    pub store: String,
    pub allowed_hosts: Vec<String>,
    pub shutdown_grace_seconds: u64,
    pub log: RawLog,
    pub http: RawHttp,
    pub transactions: RawTransactions,
    pub limits: RawLimits,
    pub drive: RawDrive,
    pub alert: RawAlert,
}

/// The section `log`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct RawLog {
    pub format: String,
    pub level: String,
}

/// The section `http`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct RawHttp {
    pub connections_max: u64,
    pub connections_per_peer_max: u64,
    pub first_byte_ms: u64,
    pub header_ms: u64,
    pub body_ms: u64,
    pub reply_ms: u64,
    pub idle_ms: u64,
    pub bytes_per_second_min: u64,
    pub large_mib_max: u64,
    pub header_bytes_max: u64,
    pub headers_max: u64,
    pub url_bytes_max: u64,
    pub body_bytes_max: u64,
}

/// The section `limits`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct RawLimits {
    pub id_chars_max: u64,
    pub steps_max: u64,
    pub url_bytes_max: u64,
    pub payload_bytes_max: u64,
    pub payloads_bytes_max: u64,
    pub branch_headers_max: u64,
}

/// The section `transactions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct RawTransactions {
    pub request_timeout_seconds: u64,
    pub retry_interval_seconds: u64,
    pub timeout_to_fail_seconds: u64,
    pub retry_cap_seconds: u64,
    pub wait_result_max_seconds: u64,
    pub retention_days: u64,
}

/// The section `drive`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct RawDrive {
    pub active_max: u64,
    pub active_mib_max: u64,
    pub claimed_max: u64,
    pub calls_max: u64,
    pub calls_per_host_max: u64,
    pub calls_queued_per_host_max: u64,
}

/// The section `alert`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct RawAlert {
    pub web_hook: String,
    pub retry_limit: u64,
}

impl RawConfig {
    /// The settings as a file would hold them.
    ///
    /// # Errors
    /// None that is known: all of these values can be written as TOML.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }
}

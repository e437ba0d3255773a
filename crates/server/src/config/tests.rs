use super::*;

fn with_file(text: &str) -> Sources {
    Sources { file: Some(ConfigFile { name: "escrow.toml".to_owned(), text: text.to_owned() }), ..Sources::default() }
}

fn with_variables(variables: &[(&str, &str)]) -> Sources {
    let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Sources { environment, ..Sources::default() }
}

fn refusal(sources: &Sources) -> String {
    Config::load(sources).unwrap_err().to_string()
}

#[test]
fn the_default_file_is_complete_and_passes_its_own_checks() {
    // `RawConfig` has no defaults of its own, so a setting that the file lacks fails here, and so does one too many.
    let config = Config::load(&Sources::default()).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:36789");
    assert_eq!(config.shutdown_grace, Duration::from_secs(10));
    let defaults = EngineConfig::default();
    assert_eq!(config.alert, None);
    assert_eq!(config.engine.defaults, defaults.defaults);
    assert_eq!(config.engine.retention, defaults.retention);
    assert_eq!(config.engine.wait_result_max, defaults.wait_result_max);
    assert_eq!(
        (config.engine.active_max, config.engine.active_bytes_max, config.engine.claimed_max, config.engine.calls_max),
        (defaults.active_max, defaults.active_bytes_max, defaults.claimed_max, defaults.calls_max)
    );
    assert_eq!(
        (config.engine.lane_calls_max, config.engine.lane_queue_max),
        (defaults.lane_calls_max, defaults.lane_queue_max)
    );
}

#[test]
fn every_setting_is_explained_by_a_comment_above_it_or_its_neighbour() {
    let mut explained = false;
    for line in DEFAULT_TOML.lines().map(str::trim) {
        match line {
            "" => explained = false,
            line if line.starts_with('#') => explained = true,
            line if line.starts_with('[') => {}
            line => assert!(explained, "{line}"),
        }
    }
}

#[test]
fn the_printed_settings_are_the_settings() {
    let raw = RawConfig::load(&with_file("allowed_hosts = [\"escrow\"]\n[http]\nidle_ms = 70")).unwrap();
    let printed = raw.to_toml().unwrap();
    assert_eq!(RawConfig::load(&with_file(&printed)).unwrap(), raw);
}

#[test]
fn flags_win_over_the_environment_and_the_environment_over_the_file() {
    let mut sources =
        with_file("listen = '127.0.0.1:1'\n[transactions]\nretry_cap_seconds = 7\nretry_interval_seconds = 7");
    let listen = |sources: &Sources| Config::load(sources).unwrap().listen.port();
    assert_eq!(listen(&sources), 1);
    sources.environment.insert("ESCROW_LISTEN".to_owned(), "127.0.0.1:2".to_owned());
    sources.environment.insert("ESCROW_TRANSACTIONS_RETRY_CAP_SECONDS".to_owned(), "8".to_owned());
    assert_eq!(listen(&sources), 2);
    sources.flags.push(("listen", "127.0.0.1:3".to_owned()));
    assert_eq!(listen(&sources), 3);
    let defaults = Config::load(&sources).unwrap().engine.defaults;
    assert_eq!((defaults.retry_cap.as_secs(), defaults.retry_interval.as_secs()), (8, 7));
}

#[test]
fn a_list_in_the_environment_is_separated_by_commas() {
    let config = Config::load(&with_variables(&[("ESCROW_ALLOWED_HOSTS", "Escrow, escrow.example,")])).unwrap();
    assert_eq!(config.allowed_hosts, ["escrow", "escrow.example"]);
}

#[test]
fn a_name_that_does_not_exist_is_named() {
    let refused = refusal(&with_file("[http]\nidle = 3"));
    assert!(refused.starts_with("escrow.toml: ") && refused.contains("`idle`"), "{refused}");
    let refused = refusal(&with_file("lisen = '127.0.0.1:1'"));
    assert!(refused.contains("`lisen`"), "{refused}");
    let sources = with_variables(&[("ESCROW_HTTP_IDLE", "3"), ("ESCROW_LISTEN", "127.0.0.1:1"), ("HOME", "/")]);
    assert_eq!(sources.unknown_variables(), ["ESCROW_HTTP_IDLE"]);
}

#[test]
fn a_value_of_the_wrong_kind_is_named() {
    let refused = refusal(&with_file("[http]\nidle_ms = 'long'"));
    assert!(refused.starts_with("escrow.toml: ") && refused.contains("idle_ms"), "{refused}");
    assert!(refusal(&with_file("listen = ")).starts_with("escrow.toml: "));
    let sources = with_variables(&[("ESCROW_HTTP_IDLE_MS", "long")]);
    assert_eq!(refusal(&sources), "ESCROW_HTTP_IDLE_MS: http.idle_ms cannot be \"long\": it must be a whole number");
    let flags = vec![("transactions.retry_cap_seconds", "x".to_owned())];
    assert_eq!(
        refusal(&Sources { flags, ..Sources::default() }),
        "command line: transactions.retry_cap_seconds cannot be \"x\": it must be a whole number"
    );
}

#[test]
fn a_value_out_of_range_names_key_value_and_range() {
    let table = [
        ("shutdown_grace_seconds = 3601", "shutdown_grace_seconds cannot be 3601: it must be 0 to 3600"),
        ("[http]\nidle_ms = 9", "http.idle_ms cannot be 9: it must be 10 to 3600000"),
        ("[http]\nheaders_max = 101", "http.headers_max cannot be 101: it must be 8 to 100"),
        ("[http]\nbody_bytes_max = 8388609", "http.body_bytes_max cannot be 8388609: it must be 1024 to 8388608"),
        ("[drive]\nactive_max = 5\nclaimed_max = 6", "drive.claimed_max cannot be 6: it must be 1 to 5"),
        ("[drive]\ncalls_max = 5", "drive.calls_per_host_max cannot be 64: it must be 1 to 5"),
        ("[transactions]\nretry_cap_seconds = 0", "transactions.retry_cap_seconds cannot be 0: it must be 1 to 86400"),
        ("[log]\nlevel = 'loud'", "log.level cannot be \"loud\": it must be error, warn, info, debug or trace"),
        ("[log]\nformat = 'xml'", "log.format cannot be \"xml\": it must be text or json"),
        ("[alert]\nretry_limit = 0", "alert.retry_limit cannot be 0: it must be 1 to 1000"),
        (
            "[alert]\nweb_hook = 'https://alerts/x'",
            "alert.web_hook cannot be \"https://alerts/x\": it must be an http:// URL, or empty",
        ),
        (
            "[alert]\nweb_hook = 'alerts/x'",
            "alert.web_hook cannot be \"alerts/x\": it must be an http:// URL, or empty",
        ),
        ("data = ''", "data cannot be \"\": it must be the path of a directory"),
        ("store = 'a.db'", "store cannot be \"a.db\": it must be sqlite:FILE or local:DIR, or empty"),
        (
            "listen = 'localhost:1'",
            "listen cannot be \"localhost:1\": it must be an IP address with a port, such as 127.0.0.1:36789",
        ),
        (
            "allowed_hosts = ['a:1']",
            "allowed_hosts cannot be \"a:1\": it must be a host name or an IP address, without a port; [::1] for IPv6",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(refusal(&with_file(text)), expected);
    }
}

#[test]
fn a_web_hook_is_told_of_the_third_failure_unless_another_is_said() {
    let alert = |settings: &str| Config::load(&with_file(&format!("[alert]\n{settings}"))).unwrap().alert.unwrap();
    let default = alert("web_hook = 'http://alerts:81/x?y'");
    assert_eq!((default.web_hook.as_str(), default.after_failures), ("http://alerts:81/x?y", 3));
    assert_eq!(alert("web_hook = 'http://alerts/'\nretry_limit = 1").after_failures, 1);
}

#[test]
fn a_store_is_named_by_any_source_and_none_is_the_data_directorys() {
    assert_eq!(Config::load(&Sources::default()).unwrap().store, None);
    let config = Config::load(&with_variables(&[("ESCROW_STORE", "sqlite:/x/y.db")])).unwrap();
    assert_eq!(config.store, Some(StoreChoice::Sqlite("/x/y.db".into())));
    let config = Config::load(&with_file("store = 'local:kept'")).unwrap();
    assert_eq!(config.store, Some(StoreChoice::Local("kept".into())));
}

#[test]
fn a_retention_of_zero_days_is_for_ever() {
    assert_eq!(Config::load(&with_file("[transactions]\nretention_days = 0")).unwrap().engine.retention, None);
}

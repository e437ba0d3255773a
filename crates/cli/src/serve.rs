//! `escrow serve`: runs the coordinator until it is told to stop.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use escrow_server::config::{ConfigError, ConfigFile, LogConfig, LogFormat, RawConfig, Sources};
use escrow_server::stores::{BackupError, CopyError, OpenStoreError};
use escrow_server::{Config, ServeError, Server, StartError};
use futures_util::future::OptionFuture;
use tokio::sync::oneshot;

/// Where settings are looked for if no file is named.
const DEFAULT_FILE: &str = "escrow.toml";
/// What the names of variables for settings begin with.
const VARIABLE_PREFIX: &str = "ESCROW_";
/// Variables of that prefix which are for other commands.
const OTHER_VARIABLES: [&str; 1] = ["ESCROW_SERVER"];

/// Run the coordinator.
///
/// It listens on 127.0.0.1:36789 and keeps everything in ./escrow-data unless told otherwise. SIGTERM and Ctrl-C stop it:
/// it finishes what is on its way, for 10 seconds at most; the next start takes up what is left. Settings also come from
/// ./escrow.toml and from the environment; --print-config shows what is in force.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Listen here; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Keep everything in this directory.
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Keep transactions in this store instead: local:DIR or sqlite:FILE.
    #[arg(long, value_name = "STORE")]
    store: Option<String>,
    /// Read settings from this file instead of ./escrow.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the settings in force, and do not start.
    #[arg(long)]
    print_config: bool,
    /// Stop when the standard input ends, as it does when the parent process does.
    #[arg(long)]
    exit_on_stdin_close: bool,
    /// The longest interval between retries.
    #[arg(long, value_name = "N")]
    retry_cap_seconds: Option<u64>,
    /// How long a stop waits for what is on its way.
    #[arg(long, value_name = "N")]
    shutdown_grace_seconds: Option<u64>,
    /// text or json, to standard error.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

/// Runs the coordinator until a signal, the end of standard input if asked for, or a failure.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let sources = sources(&args)?;
    let raw = RawConfig::load(&sources)?;
    let config = Config::try_from(raw.clone())?;
    if args.print_config {
        write!(io::stdout().lock(), "{}", raw.to_toml()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    start_logs(config.log);
    for name in sources.unknown_variables() {
        tracing::warn!(name, "this environment variable is no setting");
    }
    // Before the start: a signal that comes during it must end it in good order too.
    let stop = stop_signal(args.exit_on_stdin_close)?;
    let server = Server::start(config).await?;
    announce(&server)?;
    server.run(stop).await?;
    Ok(ExitCode::SUCCESS)
}

/// The stable code of what kept a coordinator from starting or ended it, or kept a command from working on a store;
/// `docs/errors/` has a page for each.
pub(crate) fn error_code(error: &anyhow::Error) -> Option<&'static str> {
    let of_config = error.downcast_ref().map(ConfigError::code);
    let of_start = || error.downcast_ref().map(StartError::code);
    let of_end = || error.downcast_ref().map(ServeError::code);
    let of_copy = || error.downcast_ref().map(CopyError::code);
    let of_store = || error.downcast_ref().map(OpenStoreError::code);
    let of_backup = || error.downcast_ref().map(BackupError::code);
    of_config.or_else(of_start).or_else(of_end).or_else(of_copy).or_else(of_store).or_else(of_backup)
}

fn sources(args: &Args) -> anyhow::Result<Sources> {
    let number = |value: Option<u64>| value.map(|value| value.to_string());
    let flags = [
        ("listen", args.listen.clone()),
        ("data", args.data.clone()),
        ("store", args.store.clone()),
        ("transactions.retry_cap_seconds", number(args.retry_cap_seconds)),
        ("shutdown_grace_seconds", number(args.shutdown_grace_seconds)),
        ("log.format", args.log_format.clone()),
        ("log.level", args.log_level.clone()),
    ];
    let flags = flags.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    Ok(Sources { file: config_file(args.config.as_deref())?, environment: environment()?, flags })
}

/// The file that was named, which has to be there, or the default one if it is.
fn config_file(named: Option<&Path>) -> anyhow::Result<Option<ConfigFile>> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(ConfigFile { name: path.display().to_string(), text })),
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// The only place that reads the environment.
fn environment() -> anyhow::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| name.starts_with(VARIABLE_PREFIX)) else { continue };
        if !OTHER_VARIABLES.contains(&name) {
            let value = value.into_string().map_err(|_| anyhow::anyhow!("{name} is not valid UTF-8"))?;
            found.insert(name.to_owned(), value);
        }
    }
    Ok(found)
}

fn start_logs(log: LogConfig) {
    let logs = tracing_subscriber::fmt()
        .with_max_level(log.level)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    match log.format {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().init(),
    }
}

/// Says on standard output where the coordinator is, for people and for programs that started it. Nobody has to listen.
fn announce(server: &Server) -> io::Result<()> {
    let data = std::path::absolute(server.data()).unwrap_or_else(|_| server.data().to_owned());
    let greeting = format!("listening on http://{}\ndata in {}\n", server.address(), data.display());
    let mut out = io::stdout().lock();
    match out.write_all(greeting.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// Ends when the process is asked to stop. It listens from now on, not only when it is waited for.
pub(crate) fn stop_signal(on_stdin_close: bool) -> anyhow::Result<impl Future<Output = ()>> {
    let context = "cannot listen for signals";
    #[cfg(unix)]
    let asked = {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).context(context)?;
        let mut interrupt = signal(SignalKind::interrupt()).context(context)?;
        async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
    };
    #[cfg(windows)]
    let asked = {
        let mut interrupt = tokio::signal::windows::ctrl_c().context(context)?;
        async move {
            interrupt.recv().await;
        }
    };
    let closed = if on_stdin_close { Some(stdin_closed()?) } else { None };
    Ok(async move {
        tokio::select! {
            () = asked => {}
            Some(_) = OptionFuture::from(closed) => {}
        }
    })
}

/// Hears when the standard input ends.
fn stdin_closed() -> io::Result<oneshot::Receiver<()>> {
    let (closed, when_closed) = oneshot::channel();
    // A thread that nobody joins: a read of standard input cannot be broken off, and must not hold up the exit.
    std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        let mut scrap = [0; 1024];
        while matches!(io::stdin().read(&mut scrap), Ok(1..)) {}
        let _ = closed.send(());
    })?;
    Ok(when_closed)
}

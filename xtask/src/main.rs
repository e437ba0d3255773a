//! Every chore of the project, started as `cargo xtask <command>`.
//!
//! This crate depends on no crate of ours: what it needs of them, it runs through `cargo`.

// A chore talks to the person who started it.
#![allow(clippy::print_stdout)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod bench;
mod cargo;
mod ci;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <command>

  ci                          format, tidy, lints, docs, all tests, quick benchmark; stops at the first failure
  tidy                        the rules of the repository that no compiler checks
  sim --seed N [--seeds M]    replay the simulation from seed N (M seeds, N onwards)
  bench [--quick] [--peers]   what a transaction costs; --quick: does it work at all (bench --help: all arguments)
";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Ci,
    Tidy,
    /// The arguments go to the simulation unread: it has its own usage.
    Sim(Vec<String>),
    /// As those of the benchmark do.
    Bench(Vec<String>),
    Help,
}

impl Command {
    /// Reads the arguments after the program's name; `None` if they make no command.
    fn parse(args: &[String]) -> Option<Self> {
        let (name, rest) = args.split_first()?;
        match (name.as_str(), rest) {
            ("ci", []) => Some(Self::Ci),
            ("tidy", []) => Some(Self::Tidy),
            ("sim", rest) => Some(Self::Sim(rest.to_vec())),
            ("bench", rest) => Some(Self::Bench(rest.to_vec())),
            ("help" | "--help" | "-h", _) => Some(Self::Help),
            _ => None,
        }
    }

    fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Ci => ci::run(),
            Self::Tidy => tidy::run(),
            Self::Sim(args) => {
                let mut command = vec!["run", "--quiet", "--package", "escrow-sim", "--"];
                command.extend(args.iter().map(String::as_str));
                cargo::run(&command)
            }
            Self::Bench(args) => bench::run(&args),
            Self::Help => {
                print!("{USAGE}");
                Ok(())
            }
        }
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(command) = Command::parse(&args) else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    match command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Command;

    fn parse(line: &str) -> Option<Command> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Command::parse(&args)
    }

    #[test]
    fn known_commands_are_recognised() {
        assert_eq!(parse("ci"), Some(Command::Ci));
        assert_eq!(parse("tidy"), Some(Command::Tidy));
        assert_eq!(parse("--help"), Some(Command::Help));
        let args = vec!["--seed".to_owned(), "7".to_owned()];
        assert_eq!(parse("sim --seed 7"), Some(Command::Sim(args)));
        assert_eq!(parse("bench --quick"), Some(Command::Bench(vec!["--quick".to_owned()])));
    }

    #[test]
    fn anything_else_gets_the_usage() {
        assert_eq!(parse(""), None);
        assert_eq!(parse("deploy"), None);
        assert_eq!(parse("tidy --fix"), None);
    }
}

//! Runs a plan: all targets of a workload side by side, their rounds interleaved.

mod verdict;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::backlog;
use crate::lateness;
use crate::load::{Load, Pace};
use crate::measure::{self, Measurement};
use crate::participant::Participants;
use crate::plan::{Part, Plan, RunArgs};
use crate::process;
use crate::report::{self, Machine, Origin, Results, Spread};
use crate::target::{Programs, Running, Target};
use crate::workload::Workload;
use verdict::Finding;

/// A run in progress.
struct Run {
    plan: Plan,
    programs: Programs,
    participants: Participants,
    results: Results,
}

/// Share of the capacity beside which lateness is measured.
const LATENESS_PERCENT: u32 = 50;

/// Runs what the arguments ask for and writes the results.
///
/// # Errors
/// The arguments are wrong, results cannot be written, or they show that something does not work: then they are written all the same.
pub(crate) async fn run(args: &RunArgs) -> anyhow::Result<()> {
    let programs = programs(args)?;
    let mut notes = Vec::new();
    let plan = Plan::new(args, &programs, &mut notes)?;
    let folder = args.out.clone().unwrap_or_else(|| default_folder(&programs.bench));
    let machine = Machine::this(&std::env::temp_dir());
    if cfg!(debug_assertions) {
        notes.push("a development build: it shows that everything works; its figures are not to be quoted".to_owned());
    }
    match process::cores() {
        Some(cores) => process::pin_self(cores.load).context("cannot pin the load to its core")?,
        None => notes.push("one core for everything: load and coordinator take it from each other".to_owned()),
    }
    announce(&plan, &folder, &notes);

    let origin = Origin::now(&plan, &programs);
    let results = Results {
        origin,
        machine,
        measurements: Vec::new(),
        lateness: Vec::new(),
        backlog: Vec::new(),
        failures: Vec::new(),
        notes,
    };
    let mut run = Run { plan, programs, participants: Participants::start().await?, results };
    for workload in run.plan.workloads.clone() {
        run.loads(workload).await;
    }
    if run.plan.has(Part::Lateness) {
        let outcome = run.lateness().await;
        run.own("lateness", outcome);
    }
    if run.plan.has(Part::Backlog) {
        let outcome = run.backlog().await;
        run.own("backlog", outcome);
    }
    run.finish(&folder)
}

impl Run {
    /// All loads of one workload, closed loops first: they say what the open ones are shares of.
    async fn loads(&mut self, workload: Workload) {
        let levels = (self.plan.closed_clients(), self.plan.open_percents().to_vec());
        if levels.0.is_empty() && levels.1.is_empty() {
            return;
        }
        let targets = self.start(workload).await;
        for clients in levels.0 {
            for round in 1..=self.plan.rounds {
                for running in &targets {
                    self.measure(running, workload, Pace::Closed { clients }, None, round).await;
                }
            }
        }
        for percent in levels.1 {
            for round in 1..=self.plan.rounds {
                for running in &targets {
                    let Some(capacity) = self.capacity(workload, running.target()) else { continue };
                    let pace = Pace::Open { per_second: self.plan.share(capacity, percent) };
                    self.measure(running, workload, pace, Some(percent), round).await;
                }
            }
        }
        for running in targets {
            running.stop().await;
        }
    }

    /// Starts all targets that know this workload, each on a fresh store. One that does not start is found fault with and left out.
    async fn start(&mut self, workload: Workload) -> Vec<Running> {
        let mut started = Vec::new();
        for target in self.plan.targets.clone().into_iter().filter(|target| Plan::knows(target, workload)) {
            match Running::start(&target, &self.programs).await {
                Ok(running) => started.push(running),
                Err(error) => self.fault(&target, format!("{target} does not start: {error:#}")),
            }
        }
        started
    }

    async fn measure(
        &mut self,
        running: &Running,
        workload: Workload,
        pace: Pace,
        percent_of_capacity: Option<u32>,
        round: u32,
    ) {
        let Plan { warmup, length, .. } = self.plan;
        let load = Load { target: running.address(), dialect: running.dialect(), workload, pace, warmup, length };
        let measured = measure::measure(running, &load, &self.participants, round).await;
        match measured {
            Ok(measurement) => {
                let measurement = Measurement { percent_of_capacity, ..measurement };
                println!("{}", progress(&measurement));
                for finding in verdict::judge(running.target(), &measurement) {
                    self.find(finding);
                }
                self.results.measurements.push(measurement);
            }
            Err(error) => self.fault(running.target(), format!("{}: {error:#}", running.target())),
        }
    }

    /// How late Escrow on the embedded store is, under half the sagas that it can make.
    async fn lateness(&mut self) -> anyhow::Result<()> {
        let running = Running::start(&Target::Embedded, &self.programs).await?;
        let capacity = match self.capacity(Workload::Saga, &Target::Embedded) {
            Some(capacity) => capacity,
            None => self.measured_capacity(&running).await?,
        };
        let rate = self.plan.share(capacity, LATENESS_PERCENT);
        println!("lateness, beside {rate:.0} sagas/s");
        let lateness = lateness::measure(&running, &self.participants, rate, self.plan.lateness).await;
        running.stop().await;
        for one in lateness? {
            println!(
                "{:?}: {} samples, p50 {:.1} ms, p99 {:.1} ms late",
                one.kind, one.samples, one.p50_ms, one.p99_ms
            );
            verdict::judge_lateness(&one).into_iter().for_each(|finding| self.find(finding));
            self.results.lateness.push(one);
        }
        Ok(())
    }

    /// For a run that makes no closed loop of sagas.
    async fn measured_capacity(&self, running: &Running) -> anyhow::Result<f64> {
        let Plan { warmup, length, .. } = self.plan;
        let pace = Pace::Closed { clients: self.plan.capacity_clients() };
        let (target, dialect, workload) = (running.address(), running.dialect(), Workload::Saga);
        let load = Load { target, dialect, workload, pace, warmup, length };
        let measured = measure::measure(running, &load, &self.participants, 1).await?;
        ensure!(measured.finished > 0, "no saga finished");
        Ok(measured.per_second)
    }

    /// What a saga costs beside many others, on the embedded store.
    async fn backlog(&mut self) -> anyhow::Result<()> {
        println!("backlog: stores are filled and measured, point by point");
        let points = backlog::measure(&self.plan, &self.programs, &self.participants).await?;
        for point in points {
            println!(
                "{} unfinished, {} finished: {:.1} µs CPU, {:.2} times the empty store's",
                point.unfinished, point.finished, point.cpu_us, point.ratio
            );
            verdict::judge_backlog(&point).into_iter().for_each(|finding| self.find(finding));
            self.results.backlog.push(point);
        }
        Ok(())
    }

    /// A part that concerns Escrow alone has failed as a whole.
    fn own(&mut self, part: &str, outcome: anyhow::Result<()>) {
        if let Err(error) = outcome {
            self.find(Finding::Failure(format!("{part}: {error:#}")));
        }
    }

    /// Transactions a second that a target can make: the median of its closed loop at [`Plan::capacity_clients`], but no more than
    /// the null coordinator made there, since then the load is at its own limit.
    fn capacity(&self, workload: Workload, target: &Target) -> Option<f64> {
        let of = |name: &str| {
            let pace = Pace::Closed { clients: self.plan.capacity_clients() };
            let rounds =
                self.results.measurements.iter().filter(|one| {
                    one.workload == workload && one.target == name && one.pace == pace && one.finished > 0
                });
            Spread::of(rounds.map(|one| one.per_second)).map(|spread| spread.median)
        };
        let own = of(&target.to_string())?;
        Some(of(&Target::Null.to_string()).map_or(own, |null| own.min(null)))
    }

    /// Something that a target should have done: our own failure, or a note about a peer.
    fn fault(&mut self, target: &Target, what: String) {
        self.find(match target {
            Target::Null | Target::Embedded | Target::Sqlite => Finding::Failure(what),
            Target::Dtmrs(_) | Target::Dtm(_) => Finding::Note(what),
        });
    }

    fn find(&mut self, finding: Finding) {
        match finding {
            Finding::Failure(what) => {
                println!("FAILED: {what}");
                self.results.failures.push(what);
            }
            Finding::Note(what) => {
                println!("note: {what}");
                self.results.notes.push(what);
            }
        }
    }

    fn finish(self, folder: &Path) -> anyhow::Result<()> {
        let tables = report::write(&self.results, folder)?;
        if !self.plan.quick {
            println!("\n{tables}");
        }
        println!("results: {}", folder.display());
        let failures = &self.results.failures;
        if !failures.is_empty() {
            bail!("{} failures, the first: {}", failures.len(), failures[0]);
        }
        Ok(())
    }
}

/// The programs of a run. Installs the peer that cargo can install, if it is asked for.
fn programs(args: &RunArgs) -> anyhow::Result<Programs> {
    let mut programs = Programs::find()?;
    if let Some(escrow) = &args.escrow {
        programs.escrow.clone_from(escrow);
    }
    if !programs.escrow.is_file() {
        bail!("{}: there is no such file; --escrow says where the program is", programs.escrow.display());
    }
    if args.peers {
        programs.install_dtmrs()?;
    }
    Ok(programs)
}

/// A folder of this run's own among what cargo builds: `target/bench/…` beside `target/release/escrow-bench`.
fn default_folder(bench: &Path) -> PathBuf {
    let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H-%M-%SZ").to_string();
    bench.ancestors().nth(2).unwrap_or(Path::new("target")).join("bench").join(time)
}

fn announce(plan: &Plan, folder: &Path, notes: &[String]) {
    notes.iter().for_each(|note| println!("note: {note}"));
    let names: Vec<String> = plan.targets.iter().map(Target::to_string).collect();
    println!("targets: {}", names.join("; "));
    println!("this takes about {}; results go to {}", minutes(plan.estimate()), folder.display());
}

fn minutes(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds => format!("{} minutes", seconds.div_ceil(60)),
    }
}

fn progress(measurement: &Measurement) -> String {
    let Measurement { per_second, cpu_us, p99_us, .. } = measurement;
    let p99_ms = *p99_us as f64 / 1e3;
    format!("{}: {per_second:.0} txn/s, {cpu_us:.1} µs CPU, p99 {p99_ms:.1} ms", verdict::load_name(measurement))
}

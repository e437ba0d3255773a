//! What processes cost, and on which cores they run.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context;
use rustix::process::Signal;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// What a process and all its descendants have used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Processor time, of user and system, in steps of the kernel's clock tick (10 ms). It never falls while the root lives.
    pub(crate) cpu: Duration,
    /// Memory of each process' own, and of what they may share (files, shared memory) as much as the one with most of it has.
    pub(crate) resident_bytes: u64,
}

impl std::ops::Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { cpu: self.cpu + other.cpu, resident_bytes: self.resident_bytes + other.resident_bytes }
    }
}

/// Of this process and everything it has started, looked up afresh: a database forks a process per connection.
///
/// The time of descendants that have ended counts, since whoever waited for them has inherited it. Lost is only that of a process whose
/// parent ended before it, since it is nobody's descendant any more. Nothing if there is no such process.
pub(crate) fn usage(root: u32) -> Usage {
    let mut ticks = 0;
    let mut memory = Memory::default();
    for process in family(root) {
        ticks += process.ticks;
        memory = memory.with(Memory::of(process.pid));
    }
    let ticks_per_second = rustix::param::clock_ticks_per_second();
    Usage { cpu: Duration::from_millis(ticks * 1_000 / ticks_per_second), resident_bytes: memory.own + memory.shared }
}

/// This process and all its living descendants, itself first. Empty if there is no such process.
pub(crate) fn descendants(root: u32) -> Vec<u32> {
    family(root).into_iter().map(|process| process.pid).collect()
}

/// The cores of a benchmark's two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cores {
    /// For load and participants: the lowest core.
    pub(crate) load: usize,
    /// For the coordinator and its database: the next one.
    pub(crate) coordinator: usize,
}

/// The cores to pin to; `None` if this process may use only one, where there is nothing to separate.
///
/// The first call decides for the life of the process, since pinning changes what the kernel answers: ask before the first
/// [`pin_self`].
pub(crate) fn cores() -> Option<Cores> {
    static CORES: OnceLock<Option<Cores>> = OnceLock::new();
    *CORES.get_or_init(|| {
        let allowed = sched_getaffinity(None).ok()?;
        two_lowest((0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core)))
    })
}

fn two_lowest(mut allowed: impl Iterator<Item = usize>) -> Option<Cores> {
    Some(Cores { load: allowed.next()?, coordinator: allowed.next()? })
}

/// Keeps the calling thread, and all threads and processes that it will start, on this core.
///
/// # Errors
/// This process may not use that core.
pub(crate) fn pin_self(core: usize) -> io::Result<()> {
    let mut only = CpuSet::new();
    if core >= CpuSet::MAX_CPU {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    only.set(core);
    Ok(sched_setaffinity(None, &only)?)
}

/// Becomes this program, on this core, to be killed when the process that started it ends. Returns only if that fails.
pub(crate) fn exec_pinned(core: usize, program: &str, args: &[String]) -> anyhow::Error {
    let pinned = || -> anyhow::Result<()> {
        pin_self(core).with_context(|| format!("cannot use core {core}"))?;
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).context("cannot tie it to its parent")
    };
    match pinned() {
        Ok(()) => {
            anyhow::Error::new(Command::new(program).args(args).exec()).context(format!("cannot start {program}"))
        }
        Err(error) => error,
    }
}

/// A line of the kernel's table of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    pid: u32,
    parent: u32,
    /// Its own, and those of descendants that it waited for.
    ticks: u64,
}

impl Process {
    /// Reads `/proc/PID/stat`; `None` if it is not of that form.
    fn parse(pid: u32, stat: &str) -> Option<Self> {
        // The second field, the name, is in parentheses and may hold anything, also spaces and parentheses.
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // Behind the name: state, parent at 1; utime, stime, cutime, cstime from 11.
        let ticks = fields.get(11..15)?.iter().map(|ticks| ticks.parse::<u64>()).sum::<Result<u64, _>>().ok()?;
        Some(Self { pid, parent: fields.get(1)?.parse().ok()?, ticks })
    }
}

/// A process and its descendants as of now, itself first. Processes that end meanwhile are left out.
fn family(root: u32) -> Vec<Process> {
    let mut children: HashMap<u32, Vec<Process>> = HashMap::new();
    let mut found = Vec::new();
    for process in all_processes() {
        if process.pid == root {
            found.push(process);
        } else {
            children.entry(process.parent).or_default().push(process);
        }
    }
    let mut next = 0;
    while let Some(parent) = found.get(next) {
        let theirs = children.remove(&parent.pid).unwrap_or_default();
        found.extend(theirs);
        next += 1;
    }
    found
}

fn all_processes() -> impl Iterator<Item = Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        Process::parse(pid, &fs::read_to_string(entry.path().join("stat")).ok()?)
    })
}

/// Resident bytes of a family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Memory {
    own: u64,
    shared: u64,
}

impl Memory {
    /// Of one process; nothing if it has ended.
    fn of(pid: u32) -> Self {
        fs::read_to_string(format!("/proc/{pid}/status")).map(|status| Self::parse(&status)).unwrap_or_default()
    }

    fn parse(status: &str) -> Self {
        let mut found = Self::default();
        for (name, value) in status.lines().filter_map(|line| line.split_once(':')) {
            let bytes = || value.trim().trim_end_matches(" kB").parse::<u64>().map_or(0, |kib| kib * 1_024);
            match name {
                "RssAnon" => found.own += bytes(),
                "RssFile" | "RssShmem" => found.shared += bytes(),
                _ => {}
            }
        }
        found
    }

    fn with(self, other: Self) -> Self {
        Self { own: self.own + other.own, shared: self.shared.max(other.shared) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Child, ChildStdin, ChildStdout, Stdio};

    use super::*;

    /// A shell that does one command per line and says when it is done with it.
    struct Shell {
        child: Child,
        commands: ChildStdin,
        replies: BufReader<ChildStdout>,
    }

    impl Shell {
        fn start() -> Self {
            let mut command = Command::new("sh");
            command.args(["-c", r#"while read -r line; do eval "$line"; echo done; done"#]);
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let commands = child.stdin.take().unwrap();
            let replies = BufReader::new(child.stdout.take().unwrap());
            Self { child, commands, replies }
        }

        fn run(&mut self, command: &str) {
            writeln!(self.commands, "{command}").unwrap();
            let mut reply = String::new();
            self.replies.read_line(&mut reply).unwrap();
            assert_eq!(reply, "done\n");
        }

        fn usage(&self) -> Usage {
            usage(self.child.id())
        }
    }

    impl Drop for Shell {
        fn drop(&mut self) {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }

    /// Counts up: some 100 ms of processor time, in one process.
    const WORK: &str = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
    const TICK: Duration = Duration::from_millis(10);

    #[test]
    fn the_usage_of_a_process_grows_with_its_work() {
        let mut shell = Shell::start();
        let before = shell.usage();
        shell.run(WORK);
        let after = shell.usage();
        assert!(after.cpu > before.cpu + TICK, "{before:?} {after:?}");
        assert!(after.resident_bytes > 100_000, "{after:?}");
    }

    #[test]
    fn the_work_of_a_child_counts_while_it_lives_and_when_it_has_ended() {
        let mut shell = Shell::start();
        let before = shell.usage();
        // The child holds on to a file of its own until it is told to end; its work is done when the file can be read.
        let dir = tempfile::tempdir().unwrap();
        let (end, worked) = (dir.path().join("end"), dir.path().join("worked"));
        shell.run(&format!("mkfifo {} {}", end.display(), worked.display()));
        shell.run(&format!("({WORK}; echo > {}; read -r _ < {}) &", worked.display(), end.display()));
        fs::read(&worked).unwrap();
        let living = shell.usage();
        assert!(living.cpu > before.cpu + TICK, "{before:?} {living:?}");
        assert!(descendants(shell.child.id()).len() > 1);

        fs::write(&end, "\n").unwrap();
        shell.run("wait");
        assert_eq!(descendants(shell.child.id()), [shell.child.id()]);
        assert!(shell.usage().cpu >= living.cpu, "{living:?} {:?}", shell.usage());
    }

    #[test]
    fn a_process_that_is_not_there_has_used_nothing() {
        assert_eq!(usage(u32::MAX), Usage::default());
        assert!(descendants(u32::MAX).is_empty());
    }

    #[test]
    fn a_name_in_the_process_table_may_hold_anything() {
        let stat = "7 (a) b (c) S 3 7 7 0 -1 4194304 1 2 3 4 100 20 3 1 20 0 1 0 99 4096 8";
        assert_eq!(Process::parse(7, stat), Some(Process { pid: 7, parent: 3, ticks: 124 }));
        assert_eq!(Process::parse(7, "7 (a) S 3 7"), None);
    }

    #[test]
    fn shared_memory_of_a_family_counts_once() {
        let one = Memory::parse(
            "Name:\tpostgres\nVmRSS:\t  70 kB\nRssAnon:\t  10 kB\nRssFile:\t  20 kB\nRssShmem:\t  40 kB\n",
        );
        assert_eq!(one, Memory { own: 10 * 1_024, shared: 60 * 1_024 });
        let other = Memory { own: 5, shared: 7 };
        assert_eq!(one.with(other), Memory { own: 10 * 1_024 + 5, shared: 60 * 1_024 });
    }

    #[test]
    fn the_two_lowest_cores_are_taken_and_one_is_not_enough() {
        assert_eq!(two_lowest([2, 5, 7].into_iter()), Some(Cores { load: 2, coordinator: 5 }));
        assert_eq!(two_lowest([2].into_iter()), None);
    }

    #[test]
    fn a_pinned_thread_may_use_that_core_only() {
        let allowed = sched_getaffinity(None).unwrap();
        let core = (0..CpuSet::MAX_CPU).rfind(|&core| allowed.is_set(core)).unwrap();
        let pinned = std::thread::spawn(move || {
            pin_self(core).unwrap();
            sched_getaffinity(None).unwrap()
        });
        let pinned = pinned.join().unwrap();
        assert_eq!((pinned.count(), pinned.is_set(core)), (1, true));
        assert!(pin_self(CpuSet::MAX_CPU).is_err());
    }

    #[test]
    fn a_program_that_is_not_there_cannot_be_become() {
        let allowed = sched_getaffinity(None).unwrap();
        let core = (0..CpuSet::MAX_CPU).find(|&core| allowed.is_set(core)).unwrap();
        // In a thread of its own: it stays pinned.
        let error = std::thread::spawn(move || exec_pinned(core, "/nowhere/program", &[])).join().unwrap();
        assert!(format!("{error:#}").contains("/nowhere/program"), "{error:#}");
    }
}

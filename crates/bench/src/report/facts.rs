//! What has to be known about a run besides its numbers: machine, versions, durability, command.

use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::plan::Plan;
use crate::target::{Programs, Target};

/// The machine that a run was made on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
    /// File system and device of the coordinators' data.
    pub(crate) filesystem: String,
}

/// Where a run came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// When it began, in UTC.
    pub(crate) date: String,
    /// As it was typed.
    pub(crate) command: String,
    /// `release` or `development`.
    pub(crate) build: String,
    /// Rounds, lengths and the like, in words.
    pub(crate) loads: String,
    /// Of programs and tools, by name.
    pub(crate) versions: Vec<(String, String)>,
    /// What each target promises before it acknowledges, by name.
    pub(crate) durability: Vec<(String, String)>,
}

/// What stands for a fact that this machine does not tell.
const UNKNOWN: &str = "unknown";

impl Machine {
    /// This one. `data` is where coordinators keep their data.
    pub(crate) fn this(data: &Path) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Self {
            processor: field(&read("/proc/cpuinfo"), "model name").unwrap_or(UNKNOWN.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_bytes: field(&read("/proc/meminfo"), "MemTotal").and_then(|text| kibibytes(&text)).unwrap_or(0),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            filesystem: filesystem(&read("/proc/self/mountinfo"), data).unwrap_or(UNKNOWN.to_owned()),
        }
    }

    pub(crate) fn facts(&self) -> Vec<(String, String)> {
        let memory = self.memory_bytes as f64 / 1_073_741_824.0;
        let machine = format!("{}, {} cores, {memory:.1} GiB", self.processor, self.cores);
        let facts = [("machine", machine), ("kernel", self.kernel.clone()), ("data on", self.filesystem.clone())];
        facts.map(|(name, fact)| (name.to_owned(), fact)).into()
    }
}

impl Origin {
    /// Of a run that begins now.
    pub(crate) fn now(plan: &Plan, programs: &Programs) -> Self {
        let development = cfg!(debug_assertions);
        let durability = plan.targets.iter().map(|target| (target.to_string(), target.durability().to_owned()));
        Self {
            date: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
            command: command(),
            build: if development { "development" } else { "release" }.to_owned(),
            loads: loads(plan),
            versions: versions(plan, programs),
            durability: durability.collect(),
        }
    }

    pub(crate) fn facts(&self) -> Vec<(String, String)> {
        let facts = [
            ("date", self.date.clone()),
            ("command", format!("`{}`", self.command)),
            ("build", self.build.clone()),
            ("loads", self.loads.clone()),
        ];
        let facts = facts.map(|(name, fact)| (name.to_owned(), fact));
        facts.into_iter().chain(self.versions.iter().cloned()).collect()
    }
}

/// Rounds and lengths, in words.
fn loads(plan: &Plan) -> String {
    let Plan { rounds, length, warmup, per_second_max, .. } = plan;
    let limit = per_second_max.map_or(String::new(), |most| format!("; open loops at {most} a second at most"));
    format!(
        "{rounds} rounds, interleaved over the targets; each {} s after {} s of warm-up; capacity at {} clients{limit}",
        length.as_secs_f64(),
        warmup.as_secs_f64(),
        plan.capacity_clients(),
    )
}

/// The arguments of this process, under the name that a person types.
fn command() -> String {
    let args = std::env::args().skip(2);
    ["cargo xtask bench".to_owned()].into_iter().chain(args).collect::<Vec<_>>().join(" ")
}

/// Of the source, the compiler, and what each target is; a program that several targets share stands there once.
fn versions(plan: &Plan, programs: &Programs) -> Vec<(String, String)> {
    let commit = output("git", &["rev-parse", "--short=12", "HEAD"]).unwrap_or(UNKNOWN.to_owned());
    let changed =
        output("git", &["status", "--porcelain", "--untracked-files=no"]).is_some_and(|list| !list.is_empty());
    let rustc = output("rustc", &["--version"]).unwrap_or(UNKNOWN.to_owned());
    let mut versions = vec![
        ("commit".to_owned(), if changed { format!("{commit}, with changes") } else { commit }),
        ("compiler".to_owned(), rustc),
    ];
    for target in plan.targets.iter().filter(|target| **target != Target::Null) {
        let version = target.version(programs);
        if !versions.iter().any(|(_, known)| *known == version) {
            versions.push(("version".to_owned(), version));
        }
    }
    versions
}

/// The first line that a tool prints; `None` if it is missing or fails.
fn output(tool: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(tool).args(args).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.lines().next().unwrap_or_default().to_owned())
}

/// What follows `name` and a colon in its first line.
fn field(text: &str, name: &str) -> Option<String> {
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
}

fn kibibytes(text: &str) -> Option<u64> {
    text.strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

/// Type and device of the mount that `path` is on: of the mounts above it the deepest, of several there the last.
fn filesystem(mountinfo: &str, path: &Path) -> Option<String> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mounts = mountinfo.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let point = Path::new(before.split(' ').nth(4)?);
        let mut words = after.split(' ');
        let (kind, device) = (words.next()?, words.next()?);
        path.starts_with(point).then(|| (point.components().count(), format!("{kind} on {device}")))
    });
    mounts.max_by_key(|(depth, _)| *depth).map(|(_, words)| words)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:20 / /proc rw - proc proc rw
24 22 0:21 / /tmp/ram rw,nosuid shared:2 - tmpfs tmpfs rw,size=1g
25 22 254:1 / /tmp/ra rw - xfs /dev/vdb rw
";

    #[test]
    fn the_deepest_mount_above_a_path_is_its_file_system() {
        let at = |path: &str| filesystem(MOUNTS, Path::new(path));
        assert_eq!(at("/no/such/folder").as_deref(), Some("ext4 on /dev/vda"));
        assert_eq!(at("/tmp/ram/data").as_deref(), Some("tmpfs on tmpfs"));
        assert_eq!(at("/tmp/rain").as_deref(), Some("ext4 on /dev/vda"));
        assert_eq!(filesystem("", Path::new("/")), None);
    }

    #[test]
    fn facts_are_read_as_the_kernel_writes_them() {
        let cpuinfo = "processor\t: 0\nmodel name\t: A Processor @ 2.00GHz\n\nprocessor\t: 1\nmodel name\t: B\n";
        assert_eq!(field(cpuinfo, "model name").as_deref(), Some("A Processor @ 2.00GHz"));
        assert_eq!(field(cpuinfo, "serial"), None);
        let memory = field("MemTotal:        8000000 kB\n", "MemTotal").and_then(|text| kibibytes(&text));
        assert_eq!(memory, Some(8_192_000_000));
    }
}

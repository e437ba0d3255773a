//! Results, as tables and plots for people and as JSON for programs.

mod facts;
mod figures;
mod markdown;
mod plot;
#[cfg(test)]
pub(crate) mod sample;
mod summary;
mod table;

use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::backlog::BacklogPoint;
use crate::lateness::Lateness;
use crate::measure::Measurement;

pub(crate) use facts::{Machine, Origin};
pub(crate) use summary::Spread;

/// The target that all others are compared with, by its name.
const NULL: &str = "null";

/// Everything that a run found, with what has to be known to judge it or to repeat it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) origin: Origin,
    pub(crate) machine: Machine,
    pub(crate) measurements: Vec<Measurement>,
    /// Of Escrow on the embedded store.
    pub(crate) lateness: Vec<Lateness>,
    /// Of Escrow on the embedded store; the curve of unfinished ones first.
    pub(crate) backlog: Vec<BacklogPoint>,
    /// What is wrong with the run: it ends with an error.
    pub(crate) failures: Vec<String>,
    /// What a reader has to know besides.
    pub(crate) notes: Vec<String>,
}

/// The file that holds [`Results`].
const JSON: &str = "results.json";
/// Its tables, for people.
const TABLES: &str = "results.md";

/// Writes `results.json`, `results.md` and the plots into `folder`, and returns the tables.
///
/// # Errors
/// The folder or a file cannot be written.
pub(crate) fn write(results: &Results, folder: &Path) -> anyhow::Result<String> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut json = serde_json::to_string_pretty(results).context("results cannot be written as JSON")?;
    json.push('\n');
    save(folder, JSON, &json)?;
    let plots = plot::all(results)?;
    for plot in &plots {
        save(folder, plot.file, &plot.svg)?;
    }
    let tables = table::page(results, &plots);
    save(folder, TABLES, &tables)?;
    Ok(tables)
}

/// Writes tables and plots anew from the `results.json` in `folder`.
///
/// # Errors
/// There is none, it is of another form, or a file cannot be written.
pub(crate) fn rewrite(folder: &Path) -> anyhow::Result<String> {
    let path = folder.join(JSON);
    let json = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let results = serde_json::from_str(&json).with_context(|| format!("{} is of another form", path.display()))?;
    write(&results, folder)
}

fn save(folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let path = folder.join(name);
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

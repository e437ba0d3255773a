//! What the plots show.

mod figure;

use super::summary::{self, Level, Row, Spread};
use super::{Results, table};
use crate::backlog::BacklogPoint;
use crate::workload::Workload;
use figure::{Axis, AxisKind, Figure, Panel, Series};

/// A picture.
#[derive(Clone, Debug)]
pub(crate) struct Plot {
    /// Its file's name.
    pub(crate) file: &'static str,
    pub(crate) title: &'static str,
    pub(crate) svg: String,
}

/// All that the results have the numbers for.
///
/// # Errors
/// One cannot be drawn.
pub(crate) fn all(results: &Results) -> anyhow::Result<Vec<Plot>> {
    let plots = [
        ("cpu.svg", "Coordinator CPU per transaction", cpu(results)),
        ("latency.svg", "Latency against offered load", latency(results)),
        ("backlog.svg", "CPU per saga beside a backlog", backlog(results)),
    ];
    let drawn = plots.into_iter().filter(|(_, _, panels)| !panels.is_empty()).map(|(file, title, panels)| {
        let svg = Figure { title, panels }.draw()?;
        Ok(Plot { file, title, svg })
    });
    drawn.collect()
}

/// Processor time by clients, of the closed loops.
fn cpu(results: &Results) -> Vec<Panel> {
    let clients = |row: &Row| match row.level {
        Level::Clients(clients) => Some(clients as f64),
        Level::Percent(_) => None,
    };
    panels(results, (AxisKind::Given, "clients"), "µs per transaction", clients, |row| row.cpu_us)
}

/// The slowest hundredth of the open loops, by what was asked for.
fn latency(results: &Results) -> Vec<Panel> {
    let asked = |row: &Row| row.asked_per_second.map(|asked| asked.median);
    panels(results, (AxisKind::Logarithmic, "offered transactions per second"), "p99 in ms", asked, |row| row.p99_ms)
}

/// Processor time as a multiple of that on an empty store, by how many others there are.
fn backlog(results: &Results) -> Vec<Panel> {
    let panel = |title: &str, count: fn(&BacklogPoint) -> u64| {
        let points = results.backlog.iter().filter(|point| count(point) > 0).map(|point| {
            (count(point) as f64, Spread { median: point.ratio, low: point.ratio_low, high: point.ratio_high })
        });
        let series = vec![Series { name: "escrow, embedded".to_owned(), points: points.collect() }];
        let x = Axis { kind: AxisKind::Given, title: format!("{} transactions in the store", title.to_lowercase()) };
        let y = Axis { kind: AxisKind::Linear, title: "× CPU on an empty store".to_owned() };
        Panel { title: title.to_owned(), x, y, series }
    };
    let panels = [panel("Unfinished", |point| point.unfinished), panel("Finished", |point| point.finished)];
    panels.into_iter().filter(|panel| panel.series.iter().any(|series| !series.points.is_empty())).collect()
}

/// One panel per workload, one series per target.
fn panels(
    results: &Results,
    (x_kind, x_title): (AxisKind, &str),
    y_title: &str,
    x: impl Fn(&Row) -> Option<f64>,
    y: impl Fn(&Row) -> Option<Spread>,
) -> Vec<Panel> {
    let panels = Workload::ALL.into_iter().map(|workload| {
        let mut series: Vec<Series> = Vec::new();
        for row in summary::rows(&results.measurements, workload) {
            let (Some(x), Some(y)) = (x(&row), y(&row)) else { continue };
            match series.last_mut().filter(|last| last.name == row.target) {
                Some(last) => last.points.push((x, y)),
                None => series.push(Series { name: row.target, points: vec![(x, y)] }),
            }
        }
        let axis = |kind, title: &str| Axis { kind, title: title.to_owned() };
        let (x, y) = (axis(x_kind, x_title), axis(AxisKind::Logarithmic, y_title));
        Panel { title: table::name(workload), x, y, series }
    });
    panels.filter(|panel| !panel.series.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn plots_are_svg_with_titles_units_and_the_names_of_all_series() {
        let plots = all(&sample::results()).unwrap();
        let files: Vec<&str> = plots.iter().map(|plot| plot.file).collect();
        assert_eq!(files, ["cpu.svg", "latency.svg", "backlog.svg"]);
        for plot in &plots {
            assert_well_formed(&plot.svg);
            assert!(plot.svg.contains(plot.title));
        }
        for words in ["null", "escrow, embedded", "dtmrs, SQLite", "clients", "µs per transaction", "Saga, two steps"]
        {
            assert!(plots[0].svg.contains(words), "{words}");
        }
        for words in ["escrow, embedded", "p99 in ms", "offered transactions per second"] {
            assert!(plots[1].svg.contains(words), "{words}");
        }
        for words in ["escrow, embedded", "× CPU on an empty store", "unfinished transactions in the store", "1M"] {
            assert!(plots[2].svg.contains(words), "{words}");
        }
    }

    #[test]
    fn without_numbers_there_is_no_plot() {
        let results = Results { measurements: Vec::new(), backlog: Vec::new(), ..sample::results() };
        assert!(all(&results).unwrap().is_empty());
    }

    /// Every element that begins also ends, in the right order, within one `svg`.
    fn assert_well_formed(svg: &str) {
        let mut open: Vec<&str> = Vec::new();
        let mut roots = 0;
        for tag in svg.split('<').skip(1) {
            let (tag, _) = tag.split_once('>').expect("a tag ends");
            let name = tag.split([' ', '/', '\n']).find(|name| !name.is_empty()).unwrap();
            match (tag.strip_prefix('/'), tag.strip_suffix('/')) {
                (Some(closed), _) => assert_eq!(open.pop(), Some(closed)),
                (None, None) if !tag.starts_with('?') => {
                    roots += usize::from(open.is_empty() && name == "svg");
                    open.push(name);
                }
                _ => {}
            }
        }
        assert!(open.is_empty() && roots == 1, "{open:?}");
    }
}

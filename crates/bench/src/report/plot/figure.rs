//! How plots are drawn: panels side by side under one title and one legend, on white, so that they can be read on any page.

use plotters::coord::Shift;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::report::Spread;

/// A picture of its own.
pub(super) struct Figure {
    pub(super) title: &'static str,
    pub(super) panels: Vec<Panel>,
}

/// One pair of axes.
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    /// Not empty, nor is any of them.
    pub(super) series: Vec<Series>,
}

/// A scale with its title, which names the unit.
pub(super) struct Axis {
    pub(super) kind: AxisKind,
    pub(super) title: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AxisKind {
    /// From 0.
    Linear,
    Logarithmic,
    /// Logarithmic, with ticks at the values: for a few that were chosen.
    Given,
}

/// Points of one name, joined by a line; each with the range of its rounds.
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, Spread)>,
}

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const PANEL: (u32, u32) = (480, 300);
const HEAD: u32 = 68;
const COLUMNS: usize = 2;
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(40, 40, 40);
const FAINT: RGBColor = RGBColor(225, 225, 225);

/// Of the targets, the same in every plot: told apart by people who do not see all colours, and on white.
const COLOURS: [(&str, RGBColor); 7] = [
    ("null", RGBColor(90, 90, 90)),
    ("escrow, embedded", RGBColor(0, 114, 178)),
    ("escrow, SQLite", RGBColor(0, 158, 115)),
    ("dtmrs, SQLite", RGBColor(213, 94, 0)),
    ("dtmrs, Redis", RGBColor(204, 121, 167)),
    ("dtmrs, PostgreSQL", RGBColor(230, 159, 0)),
    ("DTM, BoltDB", RGBColor(86, 180, 233)),
];

impl Figure {
    /// As the text of an SVG file.
    ///
    /// # Errors
    /// It cannot be drawn.
    pub(super) fn draw(&self) -> anyhow::Result<String> {
        let mut svg = String::new();
        let columns = self.panels.len().min(COLUMNS);
        let rows = self.panels.len().div_ceil(COLUMNS);
        let size = (PANEL.0 * columns.max(COLUMNS) as u32, HEAD + PANEL.1 * rows as u32);
        let names = self.names();
        {
            let canvas = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            canvas.fill(&WHITE)?;
            let (head, body) = canvas.split_vertically(HEAD);
            head_of(&head, self.title, &names)?;
            for (panel, area) in self.panels.iter().zip(body.split_evenly((rows, columns))) {
                panel.draw(&area)?;
            }
            canvas.present()?;
        }
        Ok(svg)
    }

    /// Of all panels' series, in the order in which they come up.
    fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for series in self.panels.iter().flat_map(|panel| &panel.series) {
            if !names.contains(&series.name.as_str()) {
                names.push(series.name.as_str());
            }
        }
        names
    }
}

/// Black for a name that is none of a target.
fn colour(name: &str) -> RGBColor {
    COLOURS.iter().find(|(known, _)| *known == name).map_or(BLACK, |(_, colour)| *colour)
}

fn text(size: u32) -> TextStyle<'static> {
    TextStyle::from((FONT, size).into_font()).color(&INK)
}

/// Title and legend.
fn head_of(area: &Canvas, title: &str, names: &[&str]) -> anyhow::Result<()> {
    area.draw_text(title, &text(20), (16, 12))?;
    let mut left = 16;
    for name in names {
        let colour = colour(name);
        area.draw(&PathElement::new([(left, 52), (left + 24, 52)], colour.stroke_width(2)))?;
        area.draw(&Circle::new((left + 12, 52), 4, colour.filled()))?;
        area.draw_text(name, &text(14).pos(Pos::new(HPos::Left, VPos::Center)), (left + 32, 52))?;
        left += 56 + 8 * name.chars().count() as i32;
    }
    Ok(())
}

impl Panel {
    fn draw(&self, area: &Canvas) -> anyhow::Result<()> {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let x = self.x.scale(points().map(|(x, _)| *x));
        let y = self.y.scale(points().flat_map(|(_, y)| [y.low, y.high]));
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, text(16))
            .margin(12)
            .margin_right(24)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .bold_line_style(FAINT)
            .axis_style(INK)
            .label_style(text(13))
            .axis_desc_style(text(13))
            .x_desc(&self.x.title)
            .y_desc(&self.y.title)
            .x_label_formatter(&|value| tick(*value))
            .y_label_formatter(&|value| tick(*value))
            .draw()?;
        for series in &self.series {
            let colour = colour(&series.name);
            let medians = || series.points.iter().map(|(at, spread)| (*at, spread.median));
            chart.draw_series(LineSeries::new(medians(), colour.stroke_width(2)))?;
            chart.draw_series(medians().map(|median| Circle::new(median, 3, colour.filled())))?;
            let ranges = series.points.iter().map(|(at, spread)| [(*at, spread.low), (*at, spread.high)]);
            chart.draw_series(ranges.map(|range| PathElement::new(range, colour.stroke_width(1))))?;
        }
        Ok(())
    }
}

/// An axis with its length.
struct Scale {
    kind: AxisKind,
    /// Ascending, at least one.
    ticks: Vec<f64>,
    /// As [`AxisKind::place`] has it.
    ends: (f64, f64),
}

impl AxisKind {
    /// Where a value stands, in units of the axis' own.
    fn place(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Logarithmic | Self::Given => value.log10(),
        }
    }
}

impl Axis {
    /// Long enough for these values. What has no place on it, as 0 has none on a logarithmic one, does not count.
    fn scale(&self, values: impl Iterator<Item = f64>) -> Scale {
        let kind = self.kind;
        let mut values: Vec<f64> = values.filter(|value| kind.place(*value).is_finite()).collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        if values.is_empty() {
            values.push(1.0);
        }
        let (low, high) = (values[0], values[values.len() - 1]);
        let ticks = match kind {
            AxisKind::Linear => linear_ticks(high),
            AxisKind::Logarithmic => logarithmic_ticks(low, high),
            AxisKind::Given => values,
        };
        let (first, last) = (kind.place(ticks[0]), kind.place(ticks[ticks.len() - 1]));
        // Ticks at the values themselves keep a little room beside them; a single one would be an axis without length.
        let room = if kind == AxisKind::Given { 0.05 * (last - first).max(1.0) } else { 0.0 };
        Scale { kind, ticks, ends: (first - room, last + room) }
    }
}

impl Ranged for Scale {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let share = (self.kind.place(*value) - self.ends.0) / (self.ends.1 - self.ends.0);
        from + (f64::from(to - from) * share.clamp(0.0, 1.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.ticks[0]..self.ticks[self.ticks.len() - 1]
    }
}

/// From 0 to `high` and a little more, four to eight steps of 1, 2 or 5 times a power of ten.
fn linear_ticks(high: f64) -> Vec<f64> {
    let high = if high > 0.0 { high } else { 1.0 };
    let power = 10_f64.powf((high / 4.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| high / step <= 6.0);
    let step = step.unwrap_or(10.0 * power);
    (0..=(high * 1.05 / step).ceil() as u32).map(|index| f64::from(index) * step).collect()
}

/// Powers of ten with twice and five times them, or powers alone where there are many: the ends enclose `low` and `high`.
fn logarithmic_ticks(low: f64, high: f64) -> Vec<f64> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let factors: &[f64] = if last - first > 3 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let all: Vec<f64> =
        (first..=last).flat_map(|power| factors.iter().map(move |factor| factor * 10_f64.powi(power))).collect();
    // Computed powers may be a hair off the value they stand for.
    let begin = all.iter().rposition(|tick| *tick <= low * 1.000_001).unwrap_or(0);
    let end = all.iter().position(|tick| *tick >= high * 0.999_999).unwrap_or(all.len() - 1);
    all[begin..=end.max(begin + 1).min(all.len() - 1)].to_vec()
}

/// A round number in few characters: `0.5`, `200`, `20k`, `5M`.
fn tick(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        ..9_999.5 => (value, ""),
        ..999_500.0 => (value / 1e3, "k"),
        _ => (value / 1e6, "M"),
    };
    let text = format!("{scaled:.3}");
    format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::{DtmrsStore, Target};

    #[test]
    fn logarithmic_ticks_enclose_what_they_are_for() {
        assert_eq!(logarithmic_ticks(45.0, 180.0), [20.0, 50.0, 100.0, 200.0]);
        assert_eq!(logarithmic_ticks(1000.0, 1_000_000.0), [1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6]);
        assert_eq!(logarithmic_ticks(0.3, 40_000.0), [0.1, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5]);
        for single in [0.02, 1.0, 3.0, 10.0, 950.0] {
            let ticks = logarithmic_ticks(single, single);
            assert!(ticks.len() >= 2 && ticks[0] <= single && single <= ticks[ticks.len() - 1], "{single}: {ticks:?}");
        }
    }

    #[test]
    fn linear_ticks_begin_at_zero_and_leave_room_above() {
        assert_eq!(linear_ticks(1.07).len(), 7);
        for high in [0.0, 0.3, 1.0, 7.2, 99.0, 100.0] {
            let ticks = linear_ticks(high);
            assert!(
                ticks[0] == 0.0 && ticks[ticks.len() - 1] > high && (3..=9).contains(&ticks.len()),
                "{high}: {ticks:?}"
            );
        }
    }

    #[test]
    fn every_target_has_a_colour_of_its_own() {
        let dtmrs = [DtmrsStore::Sqlite, DtmrsStore::Redis, DtmrsStore::Postgres].map(Target::Dtmrs);
        let targets = [Target::Null, Target::Embedded, Target::Sqlite, Target::Dtm("dtm".into())];
        let mut seen = vec![BLACK];
        for target in targets.iter().chain(&dtmrs) {
            let colour = colour(&target.to_string());
            assert!(!seen.contains(&colour), "{target}");
            seen.push(colour);
        }
    }

    #[test]
    fn ticks_are_short() {
        assert_eq!([0.05, 1.0, 2000.0, 20_000.0, 1e6, 5e6].map(tick), ["0.05", "1", "2000", "20k", "1M", "5M"]);
    }

    #[test]
    fn an_axis_with_given_ticks_has_them_where_the_values_are() {
        let axis = Axis { kind: AxisKind::Given, title: String::new() };
        let scale = axis.scale([1.0, 16.0, 64.0, 16.0].into_iter());
        assert_eq!(scale.ticks, [1.0, 16.0, 64.0]);
        let (left, right) = (scale.map(&1.0, (0, 1000)), scale.map(&64.0, (0, 1000)));
        assert!(0 < left && left < 100 && 900 < right && right < 1000, "{left} {right}");
        assert_eq!(scale.map(&8.0, (0, 1000)), 500);
    }
}

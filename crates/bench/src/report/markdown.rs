//! Tables in Markdown, aligned so that they can be read in a terminal too.

use super::figures::NONE;

/// A table in the making.
#[derive(Debug)]
pub(crate) struct Table {
    /// So many columns at the left are words and stand left, all others are numbers and stand right.
    words: usize,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(words: usize, head: &[&str]) -> Self {
        Self { words, head: head.iter().map(|&cell| cell.to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row of as many cells as the head has.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let shown = |cell: String| if cell.is_empty() { NONE.to_owned() } else { cell.replace('|', "\\|") };
        self.rows.push(cells.into_iter().map(shown).collect());
    }

    /// Under a heading, with words between; `None` without rows.
    pub(crate) fn section(&self, title: &str, words: &str) -> Option<String> {
        (!self.rows.is_empty()).then(|| format!("## {title}\n\n{words}\n\n{}", self.markdown()))
    }

    fn markdown(&self) -> String {
        let widths: Vec<usize> = (0..self.head.len()).map(|column| self.width(column)).collect();
        let rule = widths.iter().enumerate().map(|(column, width)| match column < self.words {
            true => "-".repeat(*width),
            false => format!("{}:", "-".repeat(width - 1)),
        });
        let rule: Vec<String> = rule.collect();
        [&self.head, &rule].into_iter().chain(&self.rows).map(|cells| self.line(cells, &widths)).collect()
    }

    /// Of the widest cell, and no less than a rule with its colon takes.
    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().chain([&self.head]).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let padded = cells.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column < self.words {
            true => format!("{cell:<width$}"),
            false => format!("{cell:>width$}"),
        });
        format!("| {} |\n", padded.collect::<Vec<_>>().join(" | "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_left_numbers_right_and_no_cell_breaks_the_table() {
        let mut table = Table::new(1, &["a", "b"]);
        table.row(["x|y".to_owned(), String::new()]);
        table.row(["z".to_owned(), "12,345".to_owned()]);
        assert_eq!(table.markdown(), "| a    |      b |\n| ---- | -----: |\n| x\\|y |      – |\n| z    | 12,345 |\n");
    }

    #[test]
    fn a_table_without_rows_is_no_section() {
        assert_eq!(Table::new(1, &["a"]).section("title", "words"), None);
    }
}

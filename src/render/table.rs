//! A table for people and for spreadsheets: fitted to a terminal, as Markdown, or as CSV.
//!
//! In: columns of plain text from any verb. Out: text whose every cell went through the sink's function
//! in [`super::safe`].

use std::borrow::Cow;

use tabled::builder::Builder;
use tabled::settings::object::Columns;
use tabled::settings::{Alignment, Style};

use super::fold::{self, width};
use super::safe;

/// Between columns in a terminal.
const COLUMN_GAP: usize = 2;

/// One column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its title.
    pub title: String,
    /// Its cells, plain text.
    pub cells: Vec<String>,
    /// Whether it holds numbers, which line up on the right.
    pub numeric: bool,
    /// Which columns go first where the terminal is too narrow: those of the lowest rank, from the right.
    /// Columns of rank [`Column::KEEP`] stay.
    pub rank: u8,
}

impl Column {
    /// The rank of a column that is never left out.
    pub const KEEP: u8 = u8::MAX;

    /// A column of texts.
    pub fn text(title: &str, rank: u8) -> Self {
        Column { title: title.to_owned(), cells: Vec::new(), numeric: false, rank }
    }

    /// A column of numbers.
    pub fn number(title: &str, rank: u8) -> Self {
        Column { numeric: true, ..Column::text(title, rank) }
    }

    fn width(&self) -> usize {
        Shown::of(self).width
    }
}

/// A column as a terminal shows it: its title and cells, each with the columns it takes.
struct Shown<'a> {
    cells: Vec<(Cow<'a, str>, usize)>,
    width: usize,
}

impl<'a> Shown<'a> {
    fn of(column: &'a Column) -> Self {
        let cells = std::iter::once(&column.title).chain(&column.cells);
        let cells: Vec<_> = cells.map(|cell| safe::terminal(cell)).map(|c| (width(&c), c)).collect();
        let width = cells.iter().map(|(width, _)| *width).max().unwrap_or(0);
        let cells = cells.into_iter().map(|(width, cell)| (cell, width)).collect();
        Shown { cells, width }
    }
}

/// Columns of equal length.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Left to right.
    pub columns: Vec<Column>,
}

impl Table {
    /// Adds a row; missing cells are empty.
    pub fn push<S: Into<String>>(&mut self, row: impl IntoIterator<Item = S>) {
        let mut cells = row.into_iter().map(Into::into);
        for column in &mut self.columns {
            column.cells.push(cells.next().unwrap_or_default());
        }
    }

    fn rows(&self) -> usize {
        self.columns.iter().map(|c| c.cells.len()).max().unwrap_or(0)
    }

    /// Leaves out columns until `width` suffices; returns the titles of those left out.
    pub fn fit(&mut self, width: usize) -> Vec<String> {
        let mut widths: Vec<_> = self.columns.iter().map(Column::width).collect();
        let mut left_out = Vec::new();
        let needed =
            |widths: &[usize]| widths.iter().sum::<usize>() + COLUMN_GAP * widths.len().saturating_sub(1);
        while needed(&widths) > width {
            let droppable = self.columns.iter().enumerate().filter(|(_, c)| c.rank != Column::KEEP);
            let Some((at, _)) = droppable.min_by_key(|(i, c)| (c.rank, usize::MAX - i)) else { break };
            left_out.push(self.columns.remove(at).title);
            widths.remove(at);
        }
        left_out
    }

    /// Lines for a terminal: a heading, then the rows. The heading is bold where `color`.
    ///
    /// Laid out here: a general table maker takes as long for 260 rows as reading the registry does.
    pub fn terminal(&self, color: bool) -> String {
        let columns: Vec<_> = self.columns.iter().map(Shown::of).collect();
        let widths: Vec<_> = columns.iter().map(|c| c.width).collect();
        let mut out = String::new();
        for row in 0..=self.rows() {
            let cells =
                columns.iter().map(|c| c.cells.get(row).map_or(("", 0), |(cell, width)| (cell, *width)));
            self.line(cells, &widths, row == 0 && color, &mut out);
        }
        out
    }

    /// The same in lines of at most `most` columns, where that can be: texts too long for their share of them
    /// go on below.
    pub fn folded(&self, most: Option<usize>, color: bool) -> String {
        let columns: Vec<_> = self.columns.iter().map(Shown::of).collect();
        let natural: Vec<_> = columns.iter().map(|c| c.width).collect();
        let gaps = COLUMN_GAP * natural.len().saturating_sub(1);
        let Some(room) =
            most.map(|m| m.saturating_sub(gaps)).filter(|room| natural.iter().sum::<usize>() > *room)
        else {
            return self.terminal(color);
        };
        let widths = shares(&natural, room);
        let mut out = String::new();
        for row in 0..=self.rows() {
            let cell = |(c, width): (&Shown<'_>, &usize)| match c.cells.get(row) {
                Some((cell, _)) => fold::pieces(cell, *width).into_iter().map(|p| p.into_owned()).collect(),
                None => Vec::new(),
            };
            let cells: Vec<Vec<String>> = columns.iter().zip(&widths).map(cell).collect();
            for at in 0..cells.iter().map(Vec::len).max().unwrap_or(0) {
                let pieces = cells.iter().map(|c| c.get(at).map_or(("", 0), |p| (p.as_str(), width(p))));
                self.line(pieces, &widths, row == 0 && color, &mut out);
            }
        }
        out
    }

    /// One line of cells with the columns each takes.
    fn line<'a>(
        &self,
        cells: impl Iterator<Item = (&'a str, usize)>,
        widths: &[usize],
        bold: bool,
        out: &mut String,
    ) {
        let start = out.len();
        let mut gap = 0;
        for ((column, (cell, taken)), width) in self.columns.iter().zip(cells).zip(widths) {
            let room = width.saturating_sub(taken);
            let (before, after) = if column.numeric { (room, 0) } else { (0, room) };
            out.extend(std::iter::repeat_n(' ', gap + before));
            out.push_str(cell);
            gap = after + COLUMN_GAP;
        }
        out.truncate(start + out.get(start..).unwrap_or_default().trim_end().len());
        if bold {
            out.insert_str(start, "\u{1b}[1m");
            out.push_str("\u{1b}[0m");
        }
        out.push('\n');
    }

    /// A GitHub-flavoured Markdown table.
    pub fn markdown(&self) -> String {
        let mut table = self.grid(|cell| safe::markdown(cell).into_owned());
        table.with(Style::markdown());
        self.align(&mut table);
        format!("{table}\n")
    }

    /// CSV with a heading.
    pub fn csv(&self) -> String {
        let mut out = String::new();
        let mut line = |cells: &mut dyn Iterator<Item = &str>| {
            let cells: Vec<_> = cells.map(safe::csv).collect();
            out.push_str(&cells.join(","));
            out.push('\n');
        };
        line(&mut self.columns.iter().map(|c| c.title.as_str()));
        for row in 0..self.rows() {
            line(&mut self.columns.iter().map(|c| c.cells.get(row).map_or("", String::as_str)));
        }
        out
    }

    fn grid(&self, safe: impl Fn(&str) -> String) -> tabled::Table {
        let mut builder = Builder::with_capacity(self.rows() + 1, self.columns.len());
        builder.push_record(self.columns.iter().map(|c| safe(&c.title)));
        for row in 0..self.rows() {
            builder.push_record(
                self.columns.iter().map(|c| c.cells.get(row).map_or_else(String::new, |c| safe(c))),
            );
        }
        builder.build()
    }

    fn align(&self, table: &mut tabled::Table) {
        for (at, column) in self.columns.iter().enumerate() {
            let side = if column.numeric { Alignment::right() } else { Alignment::left() };
            table.modify(Columns::one(at), side);
        }
    }
}

/// The narrowest that a column is made.
const MIN_COLUMN_WIDTH: usize = 8;

/// Columns of `room` for columns that would take more: what is narrower than its share keeps its width, and the
/// others share the rest.
fn shares(natural: &[usize], room: usize) -> Vec<usize> {
    let (mut left, mut open) = (room, natural.len());
    let mut sorted = natural.to_vec();
    sorted.sort_unstable();
    let mut share = MIN_COLUMN_WIDTH;
    for width in sorted {
        share = (left / open.max(1)).max(MIN_COLUMN_WIDTH);
        if width > share {
            break;
        }
        left = left.saturating_sub(width);
        open -= 1;
    }
    natural.iter().map(|width| (*width).min(share)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table {
            columns: vec![Column::text("name", Column::KEEP), Column::number("n", 2), Column::text("why", 1)],
        };
        table.push(["a|b", "1", "x"]);
        table.push(["\u{1b}[31m", "-20", "=cmd"]);
        table
    }

    #[test]
    fn numbers_line_up_and_hostile_cells_are_harmless() {
        assert_eq!(
            table().terminal(false),
            "name          n  why\na|b           1  x\n\\u{1b}[31m  -20  =cmd\n"
        );
        assert_eq!(table().csv(), "name,n,why\na|b,1,x\n\\u{1b}[31m,-20,\"'=cmd\"\n");
        assert!(table().markdown().contains("| a\\|b "));
    }

    #[test]
    fn wide_letters_line_up_and_missing_cells_are_empty() {
        let mut table =
            Table { columns: vec![Column::text("a", 1), Column::number("b", 1), Column::text("c", 1)] };
        table.push(["日本", "1", "x"]);
        table.push(["é≠", "22"]);
        assert_eq!(table.terminal(false), "a      b  c\n日本   1  x\né≠    22\n");
        assert_eq!(table.terminal(true).lines().next(), Some("\u{1b}[1ma      b  c\u{1b}[0m"));
    }

    #[test]
    fn long_texts_go_on_below() {
        let mut table =
            Table { columns: vec![Column::text("a", 1), Column::text("b", 1), Column::number("n", 1)] };
        table.push(["x", "https://example.org/files/a.pth", "1"]);
        table.push(["y", "short", "22"]);
        assert_eq!(
            table.folded(Some(22), false),
            "a  b                 n\nx  https://          1\n   example.org/\n   files/a.pth\ny  short            22\n"
        );
        assert_eq!(table.folded(None, false), table.terminal(false));
        assert_eq!(table.folded(Some(200), true), table.terminal(true));
        assert_eq!(shares(&[3, 100, 40], 60), [3, 28, 28]);
    }

    #[test]
    fn a_narrow_terminal_loses_the_lowest_rank_first() {
        let mut narrow = table();
        assert_eq!(narrow.fit(16), ["why"]);
        assert_eq!(narrow.fit(3), ["n"]);
        assert_eq!(narrow.columns.len(), 1);
    }
}
